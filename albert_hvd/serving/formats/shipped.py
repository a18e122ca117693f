"""The models that come with the program, which are called by their names."""

import os
import re
import sys

# Beside the package where it runs from its own repository, else where pip installs the files of setup.cfg.
_PLACES = (os.path.join(os.path.dirname(os.path.abspath(__file__)), *[os.pardir] * 3, "models"),
           os.path.join(sys.prefix, "share", "albert_hvd", "models"))
_NAME = re.compile(r"[\w-][\w.-]*")


def located(path):
    """The folder of the shipped model that `path` names; `path` itself when something is there, or no model has the name."""
    if _NAME.fullmatch(path) and not os.path.exists(path):
        for place in _PLACES:
            if os.path.isdir(os.path.join(place, path)):
                return os.path.normpath(os.path.join(place, path))
    return path


def shipped_names():
    """The names of the models, sorted."""
    return sorted({entry.name for place in _PLACES if os.path.isdir(place) for entry in os.scandir(place)
                   if entry.is_dir()})
