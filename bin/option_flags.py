"""Flags from the fields of option dataclasses (see albert_hvd/options.py), and options from the parsed flags."""

import dataclasses

from absl import flags

from albert_hvd.options import bounds

flags.disclaim_key_flags()  # --help shows them as flags of the command that calls `define`

_NUMBERS = {int: flags.DEFINE_integer, float: flags.DEFINE_float}
# A list is given as a comma list, a tuple by repeating the flag.
_OTHERS = {str: flags.DEFINE_string, bool: flags.DEFINE_boolean, list: flags.DEFINE_list,
           tuple: flags.DEFINE_multi_string}


def define(*classes, required=True):
    """Define a flag for each field of some dataclasses, once for those that several of them have.

    Args:
      classes: dataclasses with fields made by `albert_hvd.options.option`.
      required: whether the parser insists on flags without a default; they are None otherwise, and the command checks.
    """
    for field in {field.name: field for options in classes for field in dataclasses.fields(options)}.values():
        _define(field, required and field.default is dataclasses.MISSING)


def _define(field, required):
    default = None if field.default is dataclasses.MISSING else field.default
    name, text, choices = _name(field), field.metadata["help"], field.metadata["choices"]
    if choices:
        flags.DEFINE_enum(name, default, choices, text, required=required)
    elif field.type in _NUMBERS:
        _NUMBERS[field.type](name, default, text, *bounds(field), required=required)
    else:
        default = list(default) if isinstance(default, tuple) else default
        _OTHERS[field.type](name, default, text, required=required)


def _name(field):
    return field.metadata["flag"] or field.name


def values(*classes):
    """{field: value of its flag} of the fields of some dataclasses."""
    return {field.name: flags.FLAGS[_name(field)].value for options in classes for field in dataclasses.fields(options)}


def options(dataclass, given=None):
    """An object of `dataclass` from the parsed flags, or from `given`, a dict of at least its fields' values."""
    given = values(dataclass) if given is None else given
    return dataclass(**{field.name: given[field.name] for field in dataclasses.fields(dataclass)})
