"""The exceptions that an entry point turns into an exit code, and how their messages call a parameter."""

import contextlib

EXIT_BAD_INPUT = 2
EXIT_STOPPED = 75

_prefix = ""  # what messages write in front of a parameter's name


class InputError(Exception):
    """A parameter, a file or a setting that the user can fix.

    `str()` of it is one line, `name=value: problem; fix`, without the parts that are None.
    `bin/entry_point.py` prints it once, with the parameter as its flag and without a traceback, and exits with 2.
    """

    def __init__(self, problem, fix=None, *, name=None, value=None):
        """
        Args:
          problem: what is wrong.
          fix: what the user can do about it; None when `problem` says it.
          name: of the parameter that it is about, such as "train_batch_size"; None when it is about something else.
          value: what the parameter is; without `name`, the file or the setting that it is about.
        """
        super().__init__(problem)
        self.problem, self.fix, self.name, self.value = str(problem), fix, name, value

    def __reduce__(self):
        return _input_error, (self.problem, self.fix, self.name, self.value)  # what other processes and ranks get

    def __str__(self):
        if self.name is None:
            about = self.value
        else:
            about = parameter(self.name) if self.value is None else setting(self.name, self.value)
        return (f"{about}: " if about is not None else "") + self.problem + (f"; {self.fix}" if self.fix else "")


def _input_error(problem, fix, name, value):
    return InputError(problem, fix, name=name, value=value)


class StoppedBySignal(Exception):
    """Training stopped on request, on all ranks, after saving a checkpoint and saying so (exit code 75)."""


class RunFailed(Exception):
    """The work cannot continue; the message is one line for the user (exit code 1, no traceback)."""


def parameter(name):
    """How messages call the parameter `name`: by its name, or by its flag within `parameters_as_flags`."""
    return f"{_prefix}{name}"


def setting(name, value):
    """How messages call a parameter that has a value: `name=value`."""
    return f"{parameter(name)}={value}"


@contextlib.contextmanager
def parameters_as_flags():
    """Within the block, messages call parameters as the user of a command types them: `--name` for `name`."""
    before = _prefix
    use_spelling("--")
    try:
        yield
    finally:
        use_spelling(before)


def spelling():
    """What messages of this process write in front of a parameter's name: "" or "--"."""
    return _prefix


def use_spelling(prefix):
    """Set `spelling()`: a process that is not forked is told its parent's."""
    global _prefix
    _prefix = prefix


def command(program, **flags):
    """A command of bin/ as it is typed, such as `bin/plot --kind=comparison`; `flags` as of `as_flags`."""
    return " ".join([f"bin/{program}", *as_flags(**flags)])


def as_flags(**values):
    """The words of a command line for values by name; "" stands for a flag without one, such as `--allow_pickle`."""
    return [f"--{name}" + (f"={value}" if value != "" else "") for name, value in values.items()]
