"""Several programs measured by turns, each in a process of its own, so that a disturbance hits all of them alike."""

import contextlib
import multiprocessing
import sys
import traceback

from albert_hvd.errors import InputError, RunFailed


def run_by_turns(contestants, rounds):
    """Measure.

    Args:
      contestants: dict of name to (function, arguments): in a new process, `function(*arguments)` sets up, warms up
        and returns a callable, each call of which is a round and returns figures that can be pickled.
      rounds: how many each has, in turns.

    Returns:
      dict of name to (list of the rounds' figures, peak resident size of the process in bytes).

    Raises:
      InputError: a contestant's own, such as for a package that it lacks.
      RunFailed: one failed, with its last words.
    """
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(_Contestant(name, *call)) for name, call in contestants.items()}
        figures = {name: [] for name in contestants}
        for _ in range(rounds):
            for name, process in processes.items():
                figures[name].append(process.ask("round"))
        return {name: (figures[name], process.ask("peak")) for name, process in processes.items()}


class _Contestant:
    """The parent's end of one process; it has set up when it is entered."""

    def __init__(self, name, function, arguments):
        self._name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function, arguments), daemon=True)
        self._theirs = theirs

    def __enter__(self):
        self._process.start()
        self._theirs.close()  # so that its end is noticed
        self._receive()
        return self

    def __exit__(self, *_):
        self._connection.close()
        self._process.join(timeout=10)
        self._process.kill()

    def ask(self, question):
        self._connection.send(question)
        return self._receive()

    def _receive(self):
        try:
            kind, value = self._connection.recv()
        except EOFError:
            self._process.join()
            raise RunFailed(f"{self._name} ended with exit code {self._process.exitcode}") from None
        if kind == "input error":
            raise InputError(value)
        if kind == "failed":
            raise RunFailed(f"{self._name}: {value}")
        return value


def _serve(connection, function, arguments):
    """The process of a contestant: answers until the parent hangs up."""
    try:
        play = function(*arguments)
        connection.send(("ready", None))
        while True:
            question = connection.recv()
            connection.send(("answer", play() if question == "round" else peak_bytes()))
    except EOFError:
        pass
    except InputError as error:
        connection.send(("input error", str(error)))
    except Exception as error:  # to be raised in the parent
        traceback.print_exc(file=sys.stderr)
        connection.send(("failed", f"{type(error).__name__}: {error}"))


def peak_bytes():
    """The largest resident size of this process so far. (getrusage's begins with the parent's.)"""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
