"""The machine, and versions of what is installed, for reports that must say what they were made with."""

import importlib.metadata
import os
import platform

from albert_hvd import __version__

_PACKAGES = ("tensorflow-cpu", "tensorflow", "horovod", "numpy", "sentencepiece", "google-crc32c", "torch",
             "transformers")


def installed_versions(packages):
    """{"python": version, package: version, ...}, without those of `packages` that are not installed."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return versions


def machine():
    """Processor, cores that this process may use, memory, operating system, and the load at this moment."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    return {"processor": names[0] if names else platform.machine(), "cores": len(os.sched_getaffinity(0)),
            "memory_gib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
            "system": platform.platform(), "load_average": os.getloadavg()[0]}


def versions():
    """This project's version, Python's, and those of the packages that decide the figures."""
    return {"albert_hvd": __version__, **installed_versions(_PACKAGES)}
