"""Copies records to this node's own disk; called by slurm/stage_data.sh, which says how.

What is copied lies in SCRATCH/<fingerprint>/<full path of the original>. The fingerprint is that of the names, sizes
and times of the shards, so that shards of an earlier build never lie beside those of today's. Indexes, manifests and
vocabularies beside the shards go with them: a run that began with the originals goes on with the copies, and the other
way round.
"""

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import sys

MANIFEST = "manifest.json"


class Refused(Exception):
    """What the user has to see to, in a line."""


def find_shards(patterns):
    """The files of patterns with full paths, as bin/pretrain finds them; Refused for one that matches nothing."""
    found = []
    for pattern in map(without_weight, patterns):
        paths = sorted(path for path in glob.glob(pattern, recursive=True) if os.path.isfile(path))
        if not paths and os.path.isfile(pattern):
            paths = [pattern]
        if not paths:
            raise Refused(f"no file matches {pattern}: fix --input_file, or share that folder with this node")
        # A glob such as data/* is not meant to take in what describes the shards.
        found += [path for path in paths if path == pattern or not path.endswith((f"/{MANIFEST}", ".model"))]
    return found


def without_weight(pattern):
    """A part of a mixture such as "news*:2" without its weight; a colon in a name that exists is one of the name."""
    files, colon, weight = pattern.rpartition(":")
    if colon and not glob.glob(pattern) and not os.path.exists(pattern):
        with contextlib.suppress(ValueError):
            float(weight)
            return files
    return pattern


def fingerprint(shards):
    """Sixteen hexadecimal digits of what the shards are called, how long they are, and when they were written."""
    digest = hashlib.sha256()
    for path in shards:
        digest.update(json.dumps([path, *_version(path)]).encode())
    return digest.hexdigest()[:16]


def companions(shards):
    """What describes the shards: their indexes, and the manifests and vocabularies beside them."""
    folders = sorted({os.path.dirname(path) for path in shards})
    indexes = [os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.index") for path in shards]
    described = [os.path.join(folder, MANIFEST) for folder in folders]
    vocabularies = [path for folder in folders
                    for path in sorted(glob.glob(os.path.join(glob.escape(folder), "*.model")))]
    return [path for path in (*indexes, *described, *vocabularies) if os.path.isfile(path)]


def copy_missing(files, folder):
    """Copy files that are not in `folder`, or are others there; returns how many."""
    missing = [path for path in files if _version(folder + path) != _version(path)]
    needed, free = sum(os.path.getsize(path) for path in missing), shutil.disk_usage(folder).free
    if needed >= free:
        raise Refused(f"{needed // 10 ** 6} MB of records and {free // 10 ** 6} MB free in {folder}: make room there, "
                      "or set LOCAL_SCRATCH in slurm/cluster.env to another folder, or to nothing")
    for path in missing:
        os.makedirs(os.path.dirname(folder + path), exist_ok=True)
        partial = f"{folder}{path}.{os.uname().nodename}-{os.getpid()}.partial"
        shutil.copyfile(path, partial)
        shutil.copystat(path, partial)
        os.replace(partial, folder + path)
    return len(missing)


def remove_stale(scratch, notes, current, pattern):
    """Remove the copies that were made of the same pattern when it was other shards; returns how many folders.

    Args:
      notes: the open lock file, which says in JSON of which pattern each folder is a copy.
      current: the name of the folder that `pattern` has now.
    """
    try:
        made_of = {name: one for name, one in json.load(notes).items() if re.fullmatch("[0-9a-f]{16}", name)}
    except (ValueError, AttributeError):
        made_of = {}
    stale = [name for name, one in made_of.items() if one == pattern and name != current]
    for name in stale:
        shutil.rmtree(os.path.join(scratch, name), ignore_errors=True)
        del made_of[name]
    notes.seek(0)
    notes.truncate()
    json.dump({**made_of, current: pattern}, notes)
    return len(stale)


def stage(patterns, scratch):
    """Copy what is missing, on this node; returns a line that says what was done."""
    shards = find_shards(patterns)
    pattern, folder = ",".join(patterns), os.path.join(scratch, fingerprint(shards))
    try:
        os.makedirs(scratch, exist_ok=True)
    except OSError as error:
        raise Refused(f"{scratch} cannot be made ({error.strerror}): set LOCAL_SCRATCH in slurm/cluster.env to a "
                      "folder on this disk") from None
    with open(os.open(os.path.join(scratch, ".staging.lock"), os.O_RDWR | os.O_CREAT, 0o666), "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another job of the same user may be copying the same files
        removed = remove_stale(scratch, lock, os.path.basename(folder), pattern)
        os.makedirs(folder, exist_ok=True)
        files = [*shards, *companions(shards)]
        copied = copy_missing(files, folder)
    return (f"{copied} files copied to {folder}, {len(files) - copied} were there"
            + (f", {removed} stale copies removed" if removed else ""))


def staged_pattern(patterns, scratch):
    """The pattern of the copies."""
    folder = os.path.join(scratch, fingerprint(find_shards(patterns)))
    return ",".join((glob.escape(folder) if glob.has_magic(pattern) else folder) + pattern for pattern in patterns)


def _version(path):
    """Size and time in seconds: a file server may cut off fractions. None for a file that is not there."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_size, int(status.st_mtime)


def main(words):
    """Returns the exit code."""
    only_pattern = words[:1] == ["--staged-pattern"]
    try:
        pattern, scratch = words[only_pattern:]
    except ValueError:
        sys.stderr.write("usage: stage_data.sh [--staged-pattern] PATTERN SCRATCH\n")
        return 2
    patterns = [os.path.join(os.getcwd(), part.strip()) for part in pattern.split(",") if part.strip()]
    scratch = os.path.abspath(scratch)
    host = os.uname().nodename
    try:
        if only_pattern:
            print(staged_pattern(patterns, scratch))
        else:
            print(f"stage_data.sh: {host}: {stage(patterns, scratch)}")
    except Refused as refusal:
        sys.stderr.write(f"stage_data.sh: {host}: {refusal}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"stage_data.sh: {host}: the records cannot be copied ({error}): see to both disks\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
