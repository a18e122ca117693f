"""Options that commands have as flags: dataclass fields that carry their help, bounds and choices.

An option is declared here in the library alone; `bin/option_flags.py` makes its flag.
"""

import dataclasses


def option(default=dataclasses.MISSING, help="", *, least=None, most=None, choices=None, flag=None):
    """A field of a dataclass that is a flag too.

    Args:
      default: of the field and of the flag; without one it must be given.
      help: one sentence for `--help`.
      least: the smallest number allowed; see `bounds` for what None means.
      most: the largest number allowed; None: any.
      choices: the texts allowed; None: any.
      flag: the flag's name where it is not the field's.
    """
    return dataclasses.field(default=default, metadata={"help": help, "least": least, "most": most, "choices": choices,
                                                        "flag": flag})


def bounds(field):
    """(smallest, largest) value of a number's field, None for no bound.

    Without `least` of its own, a count is at least 1, or 0 where that is its default; a float at least 0.0.
    """
    least = field.metadata["least"]
    if least is None:
        least = min(field.default, 1) if field.type is int else 0.0
    return least, field.metadata["most"]
