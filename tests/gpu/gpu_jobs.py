"""What the GPU suite shares: the card, jobs in processes of their own, and a report that is written as it goes along.

    GPU_REPORT=FILE          lines of JSON, one a finding (default: runs/gpu_report.jsonl)
    GPU_TEST_DEVICE=CPU      a rehearsal of the whole suite on the CPU, with small sizes and without fused attention
"""

import concurrent.futures
import ctypes
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from albert_hvd.runtime.tables import aligned
from conftest import ROOT, command_environment

REHEARSAL = os.environ.get("GPU_TEST_DEVICE") == "CPU"
_REPORT = os.environ.get("GPU_REPORT") or str(ROOT / "runs" / "gpu_report.jsonl")
_FOLDER = pathlib.Path(__file__).resolve().parent
_NOT_IN_TABLE = ("job", "check", "ok", "at_sec", "output", "error", "longest_kernels", "limits")
_MARK = "FINDING "  # begins a line of a job's standard output that is one
_TAG = re.compile(r"\[\d+,\d+\]<std(?:out|err)>:")


def why_no_gpu():
    """Why the suite cannot run here, in words; None when it can. Starts nothing on the card."""
    if REHEARSAL:
        return None
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return "no NVIDIA driver on this machine (libcuda.so.1)"
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return "no GPU on this machine (the driver counts none)"
    return None


def found(**finding):
    """Called by a job: hand a finding to the suite at once."""
    print(_MARK + json.dumps(finding), flush=True)


class GpuReport:
    """Appends findings to a file of JSON lines, and shows each as a line.

    Args:
      show: called with a line.
    """

    def __init__(self, show):
        self._show, self._lock = show, threading.Lock()
        os.makedirs(os.path.dirname(os.path.abspath(_REPORT)), exist_ok=True)
        self.findings, self._began = [], time.monotonic()

    def add(self, job, finding):
        """Take a finding of the job of that name."""
        with self._lock:
            finding = {"job": job, "at_sec": round(time.monotonic() - self._began, 1), **finding}
            self.findings.append(finding)
            with open(_REPORT, "a", encoding="utf-8") as file:
                file.write(json.dumps(finding) + "\n")
            self._show("  ".join(f"{key}={_short(value)}" for key, value in finding.items()))

    def table(self):
        """What was found, a line each, without the output of jobs that failed."""
        rows = [[finding["job"], finding.get("check", "ended"), {True: "ok", False: "WRONG", None: ""}[finding.get("ok")]]
                for finding in self.findings]
        figures = ["  ".join(f"{key} {_short(value)}" for key, value in finding.items() if key not in _NOT_IN_TABLE)
                   for finding in self.findings]
        lines = aligned([["job", "check", "", "."], *([*row, "."] for row in rows)])  # the full stop keeps the widths
        return ["", *(line[:-1] + text for line, text in zip(lines, ["figures", *figures], strict=True))]


def _short(value):
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Outcome:
    """How a job ended: `findings`, `code` (None: it ran out of time) and the end of its `output`."""

    def __init__(self, findings, code, output):
        self.findings, self.code, self.output = findings, code, output

    def check(self):
        """Fail the test unless the job ended well."""
        assert self.code is not None, f"not done in time; its last words:\n{self.output}"
        assert self.code == 0, f"exit code {self.code}; its last words:\n{self.output}"
        return self.findings


class Jobs:
    """Starts processes, three at once for each four cores, each with a time limit of its own.

    Args:
      report: `GpuReport`.
    """

    def __init__(self, report):
        self._report, self._running, self._closed = report, set(), False
        workers = 1 if REHEARSAL else max(2, len(os.sched_getaffinity(0)) * 3 // 4)
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)

    def script(self, name, script, *arguments, limit_sec, ranks=0, environment=None):
        """A future of the `Outcome` of a script of this folder, alone or under horovodrun."""
        launcher = ["horovodrun", "-np", str(ranks)] if ranks else []
        words = [*launcher, sys.executable, str(_FOLDER / script), *map(str, arguments)]
        return self.command(name, words, limit_sec, environment)

    def command(self, name, words, limit_sec, environment=None):
        """A future of the `Outcome` of a command line."""
        return self._pool.submit(self._run, name, words, limit_sec, environment or {})

    def call(self, function, *arguments):
        """A future of a function that runs among the jobs."""
        return self._pool.submit(function, *arguments)

    def run(self, name, words, limit_sec, environment=None):
        """The `Outcome` of a command line, run in this thread."""
        return self._run(name, words, limit_sec, environment or {})

    def close(self):
        """End what still runs, as when the suite itself is interrupted."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for pid in list(self._running):
            _kill_session(pid)

    def _run(self, name, words, limit_sec, environment):
        if self._closed:
            return Outcome([], None, "the suite was interrupted")
        began, findings = time.monotonic(), []
        environment = {**command_environment(), **environment}
        if any(word.startswith(str(_FOLDER)) for word in words):
            environment["PYTHONPATH"] = _python_path()
        if REHEARSAL:
            environment["CUDA_VISIBLE_DEVICES"] = ""
            limit_sec *= 10
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=errors, text=True, start_new_session=True)
            out_of_time = threading.Event()
            timer = threading.Timer(limit_sec, lambda: (out_of_time.set(), _kill_session(process.pid)))
            timer.start()
            self._running.add(process.pid)
            output = []
            for line in process.stdout:
                # horovodrun puts its ranks' numbers before their lines, and sometimes within.
                _, mark, text = _TAG.sub("", line).partition(_MARK)
                if mark:
                    findings.append(json.loads(text))
                    self._report.add(name, findings[-1])
                else:
                    output.append(line)
            code = process.wait()
            self._running.discard(process.pid)
            timer.cancel()
            errors.seek(0)
            output = "".join(output)[-2000:] + errors.read().decode(errors="replace")[-4000:]
        code = None if out_of_time.is_set() else code
        self._report.add(name, {"ended": "out of time" if code is None else code,
                                "seconds": round(time.monotonic() - began, 1),
                                **({} if code == 0 else {"output": output[-1500:]})})
        return Outcome(findings, code, output)


def _python_path():
    """Where jobs find this project and the tests' helpers."""
    return os.pathsep.join([str(ROOT), str(_FOLDER.parent), str(_FOLDER), os.environ.get("PYTHONPATH", "")])


def _kill_session(pid):
    """End a job with its children, of which horovodrun puts the ranks into sessions of their own."""
    import psutil

    try:
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return
    for process in reversed(family):
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            pass
