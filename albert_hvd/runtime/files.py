"""Input patterns, output folders, and files that appear under their name only when whole."""

import contextlib
import glob
import json
import os
import shutil

from albert_hvd.errors import InputError


def expand_input_files(pattern, flag="--input_file"):
    """The files of a comma list of paths and globs, each glob's in sorted order.

    Raises: InputError naming `flag` for a missing or unreadable file or a glob that matches nothing.
    """
    paths = []
    for part in filter(None, (part.strip() for part in (pattern or "").split(","))):
        if glob.has_magic(part):
            found = sorted(path for path in glob.glob(part, recursive=True) if os.path.isfile(path))
            # A glob such as data/* is not meant to take in what describes the shards.
            found = [path for path in found if os.path.basename(path) != "manifest.json"]
            if not found:
                raise InputError(f"{flag}={part}: no file matches this pattern; check the folder and quote "
                                 f"the pattern in the shell")
            paths.extend(found)
        elif os.path.isfile(part):
            paths.append(part)
        else:
            what = "is a folder" if os.path.isdir(part) else "no such file"
            raise InputError(f"{flag}={part}: {what}; give files, globs, or a comma list of them")
    if not paths:
        raise InputError(f"{flag} is empty; give files, globs, or a comma list of them")
    for path in paths:
        check_readable(path, flag)
    return paths


def check_readable(path, flag):
    """InputError naming `flag` when the file `path` cannot be opened or its first bytes cannot be read."""
    try:
        with open(path, "rb") as file:
            file.read(1)
    except OSError as error:
        raise InputError(f"{flag}={path}: cannot be read ({error.strerror}); fix that or give another file") from None


def make_folder(folder, flag):
    """Create `folder`; InputError naming `flag` when it cannot be written."""
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise InputError(f"{flag}: cannot make the folder {folder} ({error.strerror}); "
                         f"choose another place") from None
    if not os.access(folder, os.W_OK):
        raise InputError(f"{flag}: the folder {folder} is not writable; choose another place")


def check_place(path, flag):
    """InputError naming `flag` when a file `path`, to be written after long work, cannot be; makes its folder."""
    make_folder(os.path.dirname(os.path.abspath(path)), flag)
    if os.path.isdir(path):
        raise InputError(f"{flag}={path}: is a folder; name a file in it")


def check_free(folder, flag="--output_dir"):
    """InputError naming `flag` unless there is nothing at `folder`, or an empty folder."""
    if os.path.lexists(folder) and (not os.path.isdir(folder) or os.listdir(folder)):
        raise InputError(f"{flag}={folder}: it exists and holds something; give a new or empty folder")


def read_json_object(path):
    """The object in a JSON file as a dict; an empty one when the file is missing or holds something else."""
    try:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


@contextlib.contextmanager
def whole_file(path, flag="--output_file"):
    """A binary file to write that gets the name `path` only when the block ends without an error.

    The temporary name begins with a dot, so that no glob of the user's takes a half-written file.
    """
    folder, name = os.path.split(os.path.abspath(path))
    make_folder(folder, flag)
    partial = os.path.join(folder, f".{name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"{flag}={path}: cannot write it ({error.strerror}); "
                         f"make room or choose another place") from error
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def remove_partial_files(folder, name="*"):
    """Delete what writes of `name` (a pattern) that were interrupted left in a folder that nobody writes to now."""
    for path in glob.glob(os.path.join(glob.escape(folder), f".{name}.*.partial")):
        if os.path.isfile(path):
            os.remove(path)


@contextlib.contextmanager
def scratch_folder(path, flag="--output_dir", errors=()):
    """An empty folder beside `path`, removed when the block ends unless it was renamed.

    Errors of the system and those of the classes `errors` become an InputError naming `flag`.
    """
    parent, name = os.path.split(os.path.abspath(path))
    make_folder(parent, flag)
    folder = os.path.join(parent, f".{name}.{os.getpid()}.partial")
    try:
        os.mkdir(folder)
        yield folder
    except (OSError, *errors) as error:
        raise InputError(f"{flag}={path}: cannot write it ({error}); give a new or empty folder with room "
                         f"for it") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def whole_folder(path, flag="--output_dir", errors=()):
    """A folder to write into that becomes `path` only when the block ends without an error."""
    with scratch_folder(path, flag, errors) as folder:
        yield folder
        os.rename(folder, path)  # onto an empty folder too, but not onto one that holds something
