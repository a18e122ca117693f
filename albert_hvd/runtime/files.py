"""Input patterns, output folders, and files that appear under their name only when whole."""

import contextlib
import errno
import fnmatch
import glob
import json
import os
import re
import secrets
import shutil
import stat

from albert_hvd.errors import InputError, parameter

# The copy of a vocabulary beside the records that it made, by the first digits of its hash.
VOCABULARY_COPY = "vocabulary-????????.model"


MOST_COMMAS = 16  # in a name


def expand_input_files(pattern, option="input_file", pipes=False):
    """The files of a comma list of paths and globs, each glob's in sorted order.

    A name of a file that exists is that file, whatever commas and brackets are in it.

    Args:
      pipes: also take what can be read once only, such as /dev/stdin.
    Raises: InputError naming `option` for a missing or unreadable file or a glob that matches nothing.
    """
    paths = []
    for part in split_patterns(pattern):
        if os.path.isfile(part) or pipes and is_pipe(part):
            paths.append(part)
        elif glob.has_magic(part):
            found = _matches(part)
            # A glob such as data/* is not meant to take in what describes the shards.
            found = [path for path in found if os.path.basename(path) != "manifest.json"
                     and not fnmatch.fnmatch(os.path.basename(path), VOCABULARY_COPY)]
            if not found:
                raise InputError("no file matches this pattern",
                                 "check the folder and quote the pattern in the shell", name=option, value=part)
            paths.extend(found)
        else:
            what = "is a folder" if os.path.isdir(part) else (
                "is a pipe, which can be read once only" if is_pipe(part) else "no such file")
            raise InputError(what, "give files, globs, or a comma list of them", name=option, value=part)
    if not paths:
        raise InputError(f"{parameter(option)} is empty", "give files, globs, or a comma list of them")
    for path in paths:
        check_readable(path, option)
    return paths


def expand_outputs(output_file):
    """`a,b` -> [a, b]; `name@4` -> name-00000-of-00004 ... name-00003-of-00004."""
    outputs = []
    for part in filter(None, (part.strip() for part in output_file.split(","))):
        sharded = re.fullmatch(r"(.+)@(\d+)", part)
        # The length first: Python refuses to convert thousands of digits.
        number = 1 if not sharded else int(sharded.group(2)) if len(sharded.group(2)) <= 5 else 0
        if not number:
            raise InputError("the number of shards after @ must be 1 to 99999", name="output_file", value=part[:100])
        outputs += ([f"{sharded.group(1)}-{i:05d}-of-{number:05d}" for i in range(number)] if sharded else [part])
    if not outputs or len(set(map(os.path.abspath, outputs))) < len(outputs):
        raise InputError("give one or more different names, or name@16 for 16 shards", name="output_file",
                         value=output_file)
    return outputs


def split_patterns(pattern):
    """The parts of a comma list of paths and globs; a comma in a name that exists separates nothing."""
    if os.path.exists((pattern or "").strip()):
        return [pattern.strip()]
    parts, found, start = (pattern or "").split(","), [], 0
    while start < len(parts):
        ends = range(start + 1, min(len(parts), start + MOST_COMMAS) + 1)
        end = next((end for end in ends if os.path.exists(",".join(parts[start:end]).strip())), start + 1)
        part = ",".join(parts[start:end]).strip()
        found += [part] if part else []
        start = end
    return found


def _matches(pattern):
    """The files that match a glob, sorted; a folder that exists is meant as such, whatever brackets are in it."""
    folder, names = "", []
    for name in pattern.split("/"):
        folder = f"{folder}{name}/"
        names.append(glob.escape(name) if glob.has_magic(name) and os.path.isdir(folder) else name)
    if "**" not in names:
        return sorted(path for path in glob.glob("/".join(names)) if os.path.isfile(path))
    # Not by glob: where links make a circle, it finds each file over and over.
    place = names.index("**")
    top, below = "/".join(names[:place]), "/".join(names[place + 1:]) or "*"
    tops = glob.glob(f"{top}/" if top or pattern.startswith("/") else "./")
    found = {path for one in sorted(tops) for folder, _ in walk_once(one)
             for path in _matches(f"{glob.escape(folder.rstrip('/'))}/{below}")}
    return sorted(found if top or pattern.startswith("/") else (path.removeprefix("./") for path in found))


def walk_once(folder):
    """Yield (folder, names of its files) for a folder and those below it, in sorted order, hidden ones left out.

    Links to folders are followed; a folder that can be reached on several ways comes once.
    """
    seen = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        identity = os.stat(place)
        if (identity.st_dev, identity.st_ino) in seen:
            folders.clear()
            continue
        seen.add((identity.st_dev, identity.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield place, sorted(name for name in names if not name.startswith("."))


def is_pipe(path):
    """Whether `path` is no file on disk but a pipe or a terminal, such as /dev/stdin may be."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def check_readable(path, option):
    """InputError naming `option` when the file `path` cannot be opened or its first bytes cannot be read.

    Nothing is read of a pipe, for it would be lost.
    """
    if is_pipe(path):
        return
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
def whole_file(path, option="output_file", sync=True):
    """A binary file to write that gets the name `path` only when the block ends without an error.

    The temporary name begins with a dot, so that no glob of the user's takes a half-written file. With `sync` the
    content is on the disk before the name is: after a power failure there is the old file or the new one, not an empty
    one.
    """
    folder, name = os.path.split(os.path.abspath(path))
    make_folder(folder, option)
    partial = os.path.join(folder, _partial_name(name))
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise InputError(f"cannot write it ({error.strerror})", "make room or choose another place",
                         name=option, value=path) from error
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def keep_work(folder, fingerprint):
    """A folder for what is finished of some work: kept when it is of the work of that fingerprint, else emptied."""
    path = os.path.join(folder, "plan.json")
    if load_note(path) != fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        make_folder(folder, "output_file")
        save_note(path, fingerprint)
    remove_partial_files(folder)


def load_note(path):
    """What `save_note` left, or None."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def save_note(path, note):
    """Leave a JSON-able value for the next stage or the next run."""
    with whole_file(path) as file:
        file.write(json.dumps(note).encode())


def _partial_name(name):
    """A name that no other process takes, on whatever host or in whatever container, where process numbers repeat."""
    return f".{name}.{os.uname().nodename[:40]}-{os.getpid()}-{secrets.token_hex(4)}.partial"


def use_umask(path):
    """Give a file the mode of a new one; libraries that write to a temporary file first make it for its owner alone."""
    probe = f"{path}.mode"  # asking for the umask itself would change it for other threads
    with open(probe, "xb"):
        pass
    try:
        shutil.copymode(probe, path)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP):  # a file system without modes
            raise
    finally:
        os.remove(probe)


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
    folder = os.path.join(parent, _partial_name(name))
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
