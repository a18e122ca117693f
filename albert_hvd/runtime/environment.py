"""Versions of what is installed, for reports that must say what they were made with."""

import importlib.metadata
import platform


def installed_versions(packages):
    """{"python": version, package: version, ...}, without those of `packages` that are not installed."""
    versions = {"python": platform.python_version()}
    for name in packages:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pass
    return versions
