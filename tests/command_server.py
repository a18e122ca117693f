"""Runs commands of `bin/` in forks of a process that has imported already what they import.

A start then costs some hundredths of a second instead of some seconds, and is a start for all that: a
process of its own with the command's `__main__`, its exit code and its standard error.

`CommandServer` is the tests' side; started as a program this file is the process that forks.
"""

import atexit
import gc
import importlib
import json
import os
import pathlib
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import time
import traceback

BIN = pathlib.Path(__file__).resolve().parents[1] / "bin"


class CommandServer:
    """A context in which commands can be run.

    Args:
      environment: dict, the environment of the commands.
    """

    def __init__(self, environment):
        # bin/demo would run bin/setup first.
        self._environment = {**environment, "ALBERT_HVD_IS_SET_UP": "1"}

    def __enter__(self):
        self._process = subprocess.Popen([sys.executable, __file__], env=self._environment, text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(self, *error):
        self._process.stdin.close()
        self._process.wait()

    def run(self, words, folder, limit_sec):
        """Run `bin/<words[0]> words[1:]` in `folder`: (exit code or None after `limit_sec`, standard error)."""
        return self._ask("__main__", words, folder, limit_sec)[:2]

    def describe(self, *words):
        """(the command's flags, its global `BENCHMARKS` or []); see `_describe`."""
        code, errors, output = self._ask("description", words, str(BIN), 60)
        assert code == 0, errors
        return json.loads(output)

    def _ask(self, *request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


def _describe(path):
    """Print the flags that a command defines: a list of dicts of name, type, default, lower, upper; and its words."""
    from absl import app, flags, logging  # noqa: F401 - they define flags of their own

    of_absl = set(flags.FLAGS)
    words = runpy.run_path(path, run_name="description").get("BENCHMARKS", ())
    found = [{"name": flag.name, "type": flag.flag_type(), "default": flag.default,
              "lower": getattr(flag.parser, "lower_bound", None), "upper": getattr(flag.parser, "upper_bound", None)}
             for flag in {flags.FLAGS[name].name: flags.FLAGS[name] for name in set(flags.FLAGS) - of_absl}.values()]
    print(json.dumps([sorted(found, key=lambda flag: flag["name"]), words]))


def _become(purpose, words, folder, files):
    """In the fork: stand where the command would, and run it or describe it; returns the exit code."""
    os.setsid()
    os.chdir(folder)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    for descriptor, file in enumerate(files, start=1):
        os.dup2(file.fileno(), descriptor)
    path = str(BIN / words[0])
    sys.path[0] = str(BIN)
    sys.argv = [path, *words[1:]]
    try:
        _describe(path) if purpose == "description" else runpy.run_path(path, run_name="__main__")
    except SystemExit as error:
        return error.code or 0
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
    return 0


def _wait(pid, limit_sec):
    """The exit code of a fork, or None after killing it with all that it has started."""
    deadline = time.monotonic() + limit_sec
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def _import_everything():
    import albert_hvd
    import benchmarks
    from albert_hvd.runtime import tensorflow_import

    tensorflow_import.install()
    import horovod.tensorflow  # noqa: F401

    for module in [*pkgutil.walk_packages(albert_hvd.__path__, "albert_hvd."),
                   *pkgutil.walk_packages(benchmarks.__path__, "benchmarks.")]:
        importlib.import_module(module.name)


def _main():
    sys.path.append(str(BIN.parent))
    _import_everything()
    gc.freeze()  # a collection in a fork would copy all that is imported
    for line in sys.stdin:
        purpose, words, folder, limit_sec = json.loads(line)
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
            pid = os.fork()
            if not pid:
                # Without the interpreter's own end, which would touch, and so copy, all that is imported.
                os._exit(_become(purpose, words, folder, [output, errors]))
            code = _wait(pid, limit_sec)
            texts = [os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace") for file in (errors, output)]
        print(json.dumps([code, *texts]), flush=True)


if __name__ == "__main__":
    _main()
