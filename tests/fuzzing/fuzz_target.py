"""What a fuzz target is, how its seeds are mutated without coverage, and what counts as a finding."""

import collections.abc
import contextlib
import dataclasses
import io
import os
import traceback

from mutations import mutate_bytes

from albert_hvd.errors import InputError

_PACKAGE = os.path.join(os.sep, "albert_hvd", "")


@dataclasses.dataclass(frozen=True)
class Target:
    """One reader that is given hostile bytes.

    Attributes:
      name: also of its folder of regressions.
      run: called with the bytes and a folder to write into, which is its own; what it raises but `errors` is a
        finding. It must not take memory or time beyond what the bytes are worth.
      seeds: called with the folder; returns a list of good inputs as bytes, the first of them small.
      errors: what the reader may raise.
      mutate: called with bytes and a `random.Random`; returns other bytes.
      share: of the executions that are asked for; below 1 for slow targets.
    """

    name: str
    run: collections.abc.Callable
    seeds: collections.abc.Callable
    errors: tuple = (InputError,)
    mutate: collections.abc.Callable = mutate_bytes
    share: float = 1.0


@dataclasses.dataclass(frozen=True)
class Finding:
    """What a target raised.

    Attributes:
      place: the exception's type and where in the program it was raised, equal for inputs with one cause.
      text: the traceback.
    """

    place: str
    text: str


def try_input(target, data, folder):
    """Run a target on some bytes, its output swallowed; returns a `Finding`, or None."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            target.run(data, folder)
        except target.errors:
            return None
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, it is a finding
            return Finding(_place(error), "".join(traceback.format_exception(error)))
    return None


def _place(error):
    """The innermost line of the program, or of a target that found something wrong itself."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if _PACKAGE in frame.filename] or frames
    return f"{type(error).__name__}-{os.path.basename(own[-1].filename)}-{own[-1].lineno}"
