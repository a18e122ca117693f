"""The tasks: a module of this folder each, whose `TASK` is a `base.Task`. A further task is one more file."""

import importlib
import pkgutil

from albert_hvd.errors import InputError

TASK_NAMES = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "base")


def task_class(name, flag="--task"):
    """The class of the task `name`; InputError for an unknown one."""
    if name not in TASK_NAMES:
        raise InputError(f"{flag}={name}: unknown; give one of {', '.join(TASK_NAMES)}")
    return importlib.import_module(f"{__name__}.{name}").TASK
