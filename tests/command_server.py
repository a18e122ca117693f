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
STREAMS = ("stdin", "stdout", "stderr")


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

    def run(self, words, folder, limit_sec, stdin=b"", environment=None, umask=None):
        """Run `bin/<words[0]> words[1:]` in `folder`.

        Args:
          words: list of str.
          folder: str.
          limit_sec: after so many seconds the command is killed with all that it has started.
          stdin: bytes.
          environment: dict, instead of the server's. What is read while modules are imported has been read.
          umask: int, instead of the server's.

        Returns:
          A `subprocess.CompletedProcess` whose output is bytes; its returncode is None for a command that was killed.
        """
        options = {"environment": environment and {**environment, "ALBERT_HVD_IS_SET_UP": "1"}, "umask": umask}
        return self._ask("__main__", words, folder, limit_sec, stdin, options)

    def describe(self, *words):
        """(the command's flags, its global `BENCHMARKS` or []); see `_describe`."""
        result = self._ask("description", words, str(BIN), 60)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def _ask(self, purpose, words, folder, limit_sec, stdin=b"", options=None):
        with tempfile.TemporaryDirectory() as streams:
            stdin_path, *outputs = paths = [pathlib.Path(streams, name) for name in STREAMS]
            stdin_path.write_bytes(stdin)
            code = self._answer([purpose, words, folder, limit_sec, list(map(str, paths)), options or {}])
            return subprocess.CompletedProcess(words, code, *(path.read_bytes() for path in outputs))

    def _answer(self, request):
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())
        except BaseException:
            # A test that is aborted must not leave its answer to the next one.
            self._process.kill()
            self.__exit__()
            self.__enter__()
            raise


def _describe(path):
    """Print the flags that a command defines: a list of dicts of name, type, default, lower, upper; and its words."""
    from absl import app, flags, logging  # noqa: F401 - they define flags of their own

    of_absl = set(flags.FLAGS)
    words = runpy.run_path(path, run_name="description").get("BENCHMARKS", ())
    found = [{"name": flag.name, "type": flag.flag_type(), "default": flag.default,
              "lower": getattr(flag.parser, "lower_bound", None), "upper": getattr(flag.parser, "upper_bound", None)}
             for flag in {flags.FLAGS[name].name: flags.FLAGS[name] for name in set(flags.FLAGS) - of_absl}.values()]
    print(json.dumps([sorted(found, key=lambda flag: flag["name"]), words]))


def _become(purpose, words, folder, streams, environment=None, umask=None):
    """In the fork: stand where the command would, and run it or describe it; returns the exit code."""
    os.setsid()
    os.chdir(folder)
    for descriptor, path in enumerate(streams):
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        os.dup2(file, descriptor)
        os.close(file)
    if umask is not None:
        os.umask(umask)
    if environment:
        os.environ.clear()
        os.environ.update(environment)
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
        purpose, words, folder, limit_sec, streams, options = json.loads(line)
        pid = os.fork()
        if not pid:
            # Without the interpreter's own end, which would touch, and so copy, all that is imported.
            os._exit(_become(purpose, words, folder, streams, **options))
        print(json.dumps(_wait(pid, limit_sec)), flush=True)


if __name__ == "__main__":
    _main()
