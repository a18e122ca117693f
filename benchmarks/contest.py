"""Several programs measured by turns, each in a process of its own, so that a disturbance hits all of them alike."""

import contextlib
import multiprocessing
import sys
import time
import traceback

from albert_hvd.errors import InputError, RunFailed


def run_by_turns(contestants, rounds, limit_sec=None, failures=None):
    """Measure.

    Args:
      contestants: dict of name to (function, arguments): in a new process, `function(*arguments)` sets up, warms up
        and returns a callable, each call of which is a round and returns figures that can be pickled.
      rounds: how many each has, in turns.
      limit_sec: how long all of it may take; None: for ever.
      failures: dict that takes the last words of contestants that fail, by name, so that the others go on; all set
        up at the same time then. None: one after the other, and the first failure is raised.

    Returns:
      dict of name to (list of the rounds' figures, what the callable's `finish()` returns, or without one the peak
      resident size of the process in bytes).

    Raises:
      InputError: a contestant's own, such as for a package that it lacks.
      RunFailed: one failed or ran out of time, with its last words.
    """
    deadline = None if limit_sec is None else time.monotonic() + limit_sec
    with contextlib.ExitStack() as stack:
        processes = {name: _Contestant(name, *call, deadline) for name, call in contestants.items()}
        for process in processes.values():
            stack.enter_context(process)
            if failures is None:
                process.wait_until_ready()

        def ask_all(ask):
            answers = {}
            for name, process in list(processes.items()):
                try:
                    answers[name] = ask(process)
                except RunFailed as error:
                    if failures is None:
                        raise
                    failures[name] = str(error)
                    processes.pop(name).kill()
            return answers

        if failures is not None:
            ask_all(_Contestant.wait_until_ready)
        turns = [ask_all(lambda process: process.ask("round")) for _ in range(rounds)]
        ends = ask_all(lambda process: process.ask("finish"))
        return {name: ([turn[name] for turn in turns], end) for name, end in ends.items()}


class _Contestant:
    """The parent's end of one process, which starts when it is entered."""

    def __init__(self, name, function, arguments, deadline):
        self._name, self._deadline = name, deadline
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, function, arguments), daemon=True)
        self._theirs = theirs

    def __enter__(self):
        self._process.start()
        self._theirs.close()  # so that its end is noticed
        return self

    def __exit__(self, *_):
        self._connection.close()
        self._process.join(timeout=10)
        self.kill()

    def kill(self):
        self._process.kill()

    def wait_until_ready(self):
        self._receive()

    def ask(self, question):
        self._connection.send(question)
        return self._receive()

    def _receive(self):
        try:
            if self._deadline and not self._connection.poll(max(0.0, self._deadline - time.monotonic())):
                raise RunFailed(f"{self._name}: not done in time")
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
            answer = play if question == "round" else getattr(play, "finish", peak_bytes)
            connection.send(("answer", answer()))
    except EOFError:
        pass
    except InputError as error:
        connection.send(("input error", str(error)))
    except RunFailed as error:
        connection.send(("failed", str(error)))
    except Exception as error:  # to be raised in the parent
        traceback.print_exc(file=sys.stderr)
        connection.send(("failed", f"{type(error).__name__}: {error}"))


def peak_bytes():
    """The largest resident size of this process so far. (getrusage's begins with the parent's.)"""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))
