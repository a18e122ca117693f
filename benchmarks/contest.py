"""Several programs measured by turns, each in a process of its own, so that a disturbance hits all of them alike."""

import concurrent.futures
import contextlib
import multiprocessing
import sys
import time
import traceback

from albert_hvd.errors import InputError, RunFailed, spelling, use_spelling

_SETUP_SHARE = 0.75  # of the time; who is not ready by then leaves the rest to the others


def run_by_turns(contestants, rounds, limit_sec=None, failures=None, together=()):
    """Measure.

    Args:
      contestants: dict of name to (function, arguments): in a new process, `function(*arguments)` sets up, warms up
        and returns a callable, each call of which is a round and returns figures that can be pickled.
      rounds: how many each has, in turns.
      limit_sec: how long all of it may take, of which setting up gets three quarters; None: for ever.
      failures: dict that takes the last words of contestants that fail, by name, so that the others go on; None: the
        first failure is raised.
      together: names of those that set up at the same time as each other and as the rest, which do so one after the
        other.

    Returns:
      dict of name to (list of the rounds' figures, what the callable's `finish()` returns, or without one the peak
      resident size of the process in bytes; None when that failed), of all that had their rounds.

    Raises:
      InputError: a contestant's own, such as for a package that it lacks.
      RunFailed: one failed or ran out of time, with its last words.
    """
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        processes = {name: _Contestant(name, *call) for name, call in contestants.items()}
        if limit_sec is not None:
            for process in processes.values():
                process.deadline = began + _SETUP_SHARE * limit_sec

        def ask_all(ask, names):
            answers = {}
            for name in names:
                process = processes[name]
                try:
                    answers[name] = ask(process)
                except RunFailed as error:
                    if failures is None:
                        raise
                    failures[name] = str(error)
                    processes.pop(name).kill()
            return answers

        for name in together:
            stack.enter_context(processes[name])
        ask_all(lambda process: stack.enter_context(process).wait_until_ready(),
                [name for name in contestants if name not in together])
        ask_all(_Contestant.wait_until_ready, together)
        if limit_sec is not None:
            for process in processes.values():
                process.deadline = began + limit_sec
        turns = [ask_all(lambda process: process.ask("round"), list(processes)) for _ in range(rounds)]
        ends = ask_all(lambda process: process.ask("finish"), list(processes))
        return {name: ([turn[name] for turn in turns], ends.get(name)) for name in turns[-1]}


class _Contestant:
    """The parent's end of one process, which starts when it is entered."""

    deadline = None  # of the next answer

    def __init__(self, name, function, arguments):
        self._name = name
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, spelling(), function, arguments), daemon=True)
        self._theirs = theirs

    def __enter__(self):
        self._process.start()
        self._theirs.close()  # so that its end is noticed
        return self

    def __exit__(self, *_):
        self._connection.close()
        self._process.join(timeout=3)
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
            if self.deadline and not self._connection.poll(max(0.0, self.deadline - time.monotonic())):
                raise RunFailed(f"{self._name}: not done in time")
            kind, value = self._connection.recv()
        except EOFError:
            self._process.join()
            raise RunFailed(f"{self._name} ended with exit code {self._process.exitcode}") from None
        if kind == "input error":
            raise value
        if kind == "failed":
            raise RunFailed(f"{self._name}: {value}")
        return value


def _serve(connection, parent_spelling, function, arguments):
    """The process of a contestant: answers until the parent hangs up."""
    use_spelling(parent_spelling)
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
        connection.send(("input error", error))
    except RunFailed as error:
        connection.send(("failed", str(error)))
    except Exception as error:  # to be raised in the parent
        traceback.print_exc(file=sys.stderr)
        connection.send(("failed", f"{type(error).__name__}: {error}"))


def peak_bytes():
    """The largest resident size of this process so far. (getrusage's begins with the parent's.)"""
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM:"))


def in_own_process(function, *arguments):
    """What `function(*arguments)` returns or raises in a new process, with threads and memory of its own.

    It is spawned, not forked: a fork begins with the memory of its parent.
    """
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), use_spelling,
                                                (spelling(),)) as process:
        return process.submit(function, *arguments).result()
