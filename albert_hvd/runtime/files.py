"""Input patterns, output folders, and files that appear under their name only when whole."""

import contextlib
import fnmatch
import glob
import json
import os
import shutil

from albert_hvd.errors import InputError, parameter

# The copy of a vocabulary beside the records that it made, by the first digits of its hash.
VOCABULARY_COPY = "vocabulary-????????.model"


def expand_input_files(pattern, option="input_file"):
    """The files of a comma list of paths and globs, each glob's in sorted order.

    Raises: InputError naming `option` for a missing or unreadable file or a glob that matches nothing.
    """
    paths = []
    for part in filter(None, (part.strip() for part in (pattern or "").split(","))):
        if glob.has_magic(part):
            found = sorted(path for path in glob.glob(part, recursive=True) if os.path.isfile(path))
            # A glob such as data/* is not meant to take in what describes the shards.
            found = [path for path in found if os.path.basename(path) != "manifest.json"
                     and not fnmatch.fnmatch(os.path.basename(path), VOCABULARY_COPY)]
            if not found:
                raise InputError("no file matches this pattern",
                                 "check the folder and quote the pattern in the shell", name=option, value=part)
            paths.extend(found)
        elif os.path.isfile(part):
            paths.append(part)
        else:
            what = "is a folder" if os.path.isdir(part) else "no such file"
            raise InputError(what, "give files, globs, or a comma list of them", name=option, value=part)
    if not paths:
        raise InputError(f"{parameter(option)} is empty", "give files, globs, or a comma list of them")
    for path in paths:
        check_readable(path, option)
    return paths


def check_readable(path, option):
    """InputError naming `option` when the file `path` cannot be opened or its first bytes cannot be read."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror})", "fix that or give another file", name=option,
                         value=path) from None


def make_folder(folder, option):
    """Create `folder`; InputError naming `option` when it cannot be written."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder} ({error.strerror})", "choose another place",
                         name=option) from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"the folder {folder} is not writable", "choose another place", name=option)


def check_place(path, option):
    """InputError naming `option` when a file `path`, to be written after long work, cannot be; makes its folder."""
    make_folder(os.path.dirname(os.path.abspath(path)), option)
    if os.path.isdir(path):
        raise InputError("is a folder", "name a file in it", name=option, value=path)


def check_free(folder):
    """InputError naming output_dir unless there is nothing at `folder`, or an empty folder."""
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise InputError("it exists and holds something", "give a new or empty folder", name="output_dir", value=folder)


def read_json_object(path):
    """The object in a JSON file as a dict; an empty one when the file is missing or holds something else."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def whole_file(path, option="output_file"):
    """A binary file to write that gets the name `path` only when the block ends without an error.

    The temporary name begins with a dot, so that no glob of the user's takes a half-written file.
    """
    folder, name = os.path.split(os.path.abspath(path))
    make_folder(folder, option)
    partial = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write it ({error.strerror})", "make room or choose another place",
                         name=option, value=path) from error
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def remove_partial_files(folder, name="*"):
    """Delete what writes of `name` (a pattern) that were interrupted left in a folder that nobody writes to now."""
    for path in glob.glob(os.path.join(glob.escape(folder), f".{name}.*.partial")):
        if os.path.isfile(path):
            os.remove(path)


@contextlib.contextmanager
def scratch_folder(path, errors=()):
    """An empty folder beside `path`, removed when the block ends unless it was renamed.

    Errors of the system and those of the classes `errors` become an InputError naming output_dir.
    """
    parent, name = os.path.split(os.path.abspath(path))
    make_folder(parent, "output_dir")
    folder = os.path.join(parent, f".{name}.{os.getpid()}.partial")
    try:
        os.mkdir(folder)
        yield folder
    except (OSError, *errors) as error:
        raise InputError(f"cannot write it ({error})", "give a new or empty folder with room for it",
                         name="output_dir", value=path) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def whole_folder(path, errors=()):
    """A folder to write into that becomes `path` only when the block ends without an error."""
    with scratch_folder(path, errors) as folder:
        yield folder
        os.rename(folder, path)  # onto an empty folder too, but not onto one that holds something
