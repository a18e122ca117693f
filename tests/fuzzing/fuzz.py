"""Fuzz the readers of hostile input with atheris (libFuzzer), each target in a process of its own.

    pip install -r requirements/fuzzing.txt
    python tests/fuzzing/fuzz.py --runs=50000 --jobs=2
    python tests/fuzzing/fuzz.py --runs=200000 --target=manifest,archive --findings=findings

Prints a table: target, executions, executions in a second, findings. A finding is what a target raised that it may
not raise, each place in the program counted once; or the end of the process by a signal, by more than `--seconds` for
one input, or by more memory than a GiB above what the program takes itself. The inputs go to the folder of
--findings; those that are worth keeping belong into tests/fuzzing/regressions/TARGET/.
"""

import argparse
import concurrent.futures
import contextlib
import importlib.util
import mmap
import os
import pathlib
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).resolve().parent
sys.path[1:1] = [str(FOLDER.parent), str(FOLDER.parents[1])]

_MAX_INPUT_BYTES = 16384
_MEMORY_BYTES = 1 << 30
_MOST_RESTARTS = 20  # of a target whose process ends again and again
_ROOM_IN_MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=50_000, help="executions of each target (slow ones: a share)")
    parser.add_argument("--target", help="comma list of targets; unset: all")
    parser.add_argument("--jobs", type=int, default=1, help="targets at a time")
    parser.add_argument("--seconds", type=int, default=10, help="that one input may take")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations")
    parser.add_argument("--findings", default="fuzzing_findings", help="folder for the inputs that found something")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _fuzz(options)
    else:
        sys.exit(_fuzz_all(options))


def _fuzz_all(options):
    """Fuzz the targets asked for and print the table; returns the exit code, 1 after findings."""
    from targets import TARGETS

    if not importlib.util.find_spec("atheris"):  # a child would only end, and be counted as 0 executions
        sys.exit("fuzz.py: atheris is not installed: run .venv/bin/python -m pip install -r requirements/fuzzing.txt")
    names = options.target.split(",") if options.target else list(TARGETS)
    unknown = [name for name in names if name not in TARGETS]
    if unknown:
        sys.exit(f"fuzz.py: --target={options.target}: {unknown[0]} is unknown; give some of {', '.join(TARGETS)}")
    os.makedirs(options.findings, exist_ok=True)
    row = "{:22} {:>12} {:>12} {:>10}"
    print(row.format("target", "executions", "per second", "findings"), flush=True)
    total, found = 0, 0
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as executor:
        runs = [max(1, int(options.runs * TARGETS[name].share)) for name in names]
        for name, (executions, seconds, findings) in zip(names, executor.map(
                lambda name, runs: _fuzz_one(name, runs, options), names, runs)):
            print(row.format(name, executions, round(executions / seconds), len(findings)), flush=True)
            total, found = total + executions, found + len(findings)
    print(row.format("all", total, "", found))
    return 1 if found else 0


def _fuzz_one(name, runs, options):
    """Run a target's process until `runs` executions are made: (executions, seconds, files of findings)."""
    findings = pathlib.Path(options.findings)
    with tempfile.TemporaryDirectory(dir=_ROOM_IN_MEMORY, prefix=f"fuzz-{name}-") as folder:
        counter = pathlib.Path(folder, "counter")
        counter.write_bytes(bytes(16))
        for attempt in range(_MOST_RESTARTS):
            done, seconds = struct.unpack("<qd", counter.read_bytes())
            if done >= runs:
                break
            words = [f"--child={folder}", f"--target={name}", f"--runs={runs - done}",
                     f"--seed={options.seed + attempt}", f"--seconds={options.seconds}",
                     f"--findings={findings.resolve()}"]
            with open(findings / f"{name}.log", "ab") as log:
                subprocess.run([sys.executable, __file__, *words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        done, seconds = struct.unpack("<qd", counter.read_bytes())
    return done, max(seconds, 1e-3), sorted(findings.glob(f"{name}=*"))


def _fuzz(options):
    """The process of one target, which ends as libFuzzer ends it."""
    import atheris

    folder = pathlib.Path(options.child)
    # Readers that a target imports only when it runs are instrumented as well: this is never left.
    instrumented = contextlib.ExitStack()
    instrumented.enter_context(atheris.instrument_imports(include=["albert_hvd", "tarfile", "json"]))
    from fuzz_target import try_input
    from targets import TARGETS

    target = TARGETS[options.target]
    work, corpus = folder / "work", folder / "corpus"
    for path in (work, corpus):
        path.mkdir(exist_ok=True)
    for number, seed in enumerate(target.seeds(str(work))):
        (corpus / f"seed-{number}").write_bytes(seed)
        try_input(target, seed, str(work))  # imports what it needs before memory is limited
    counter = mmap.mmap(os.open(folder / "counter", os.O_RDWR), 16)
    executions, seconds = struct.unpack("<qd", counter)
    started, best = time.monotonic(), {}

    def execute(data):
        nonlocal executions
        executions += 1
        counter[:] = struct.pack("<qd", executions, seconds + time.monotonic() - started)
        finding = try_input(target, data, str(work))
        if finding and len(data) < best.get(finding.place, _MAX_INPUT_BYTES + 1):
            best[finding.place] = len(data)
            _keep(pathlib.Path(options.findings, f"{options.target}={finding.place}"), data, finding.text)

    def mutate(data, max_size, seed):
        drawn = random.Random(seed)
        if drawn.random() < 0.5:
            return atheris.Mutate(data, max_size)
        return target.mutate(data, drawn)[:max_size]

    _limit_memory()
    findings = pathlib.Path(options.findings)
    atheris.Setup([
        "fuzz", f"-runs={options.runs}", f"-seed={options.seed}", f"-max_len={_MAX_INPUT_BYTES}", "-len_control=0",
        f"-timeout={options.seconds}", "-report_slow_units=3600", "-rss_limit_mb=0", "-print_final_stats=1",
        f"-artifact_prefix={findings}/{options.target}=", str(corpus)], execute, custom_mutator=mutate)
    atheris.Fuzz()


def _keep(path, data, text):
    """The smallest input that was found for one place, and the traceback in a file beside it."""
    path.write_bytes(data)
    (path.parent / f"{path.name.replace('=', '-')}.txt").write_text(text, errors="replace")


def _limit_memory():
    """Let an allocation of what a header claims fail."""
    with open("/proc/self/statm", encoding="ascii") as file:
        pages = int(file.read().split()[0])
    limit = pages * resource.getpagesize() + _MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


if __name__ == "__main__":
    main()
