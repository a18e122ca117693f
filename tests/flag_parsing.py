"""Parses command lines of `bin/` without running them: a program that forks for each, so that none imports anew.

Reads a JSON list of command lines, each a list of words without `bin/`, and prints a JSON list of what is wrong with
each: null when nothing is. For `null` as a line's second word it prints the command's flags instead.
"""

import json
import os
import pathlib
import runpy
import sys

import numpy  # noqa: F401 - the forks have it then
from absl import flags

BIN = pathlib.Path(__file__).resolve().parents[1] / "bin"


def _parse(name, words):
    """In a fork: what is wrong, or the flags' names."""
    os.environ["ALBERT_HVD_IS_SET_UP"] = "1"  # bin/demo would run bin/setup first
    describe = words and words[-1] is None
    words = words[:-1] if describe else words
    sys.path.insert(0, str(BIN))
    sys.argv = [str(BIN / name), *words]
    runpy.run_path(sys.argv[0], run_name="parsed")
    if describe:
        return sorted(flags.FLAGS)
    flags.FLAGS.set_gnu_getopt(True)
    try:
        flags.FLAGS(sys.argv)
    except flags.Error as error:
        return str(error)
    return None


def _in_a_fork(line):
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        with os.fdopen(writer, "w") as answer:
            try:
                json.dump(_parse(line[0], line[1:]), answer)
            except BaseException as error:  # the parent reports it with the command line
                json.dump(repr(error), answer)
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        found = json.load(answer)
    os.waitpid(pid, 0)
    return found


if __name__ == "__main__":
    print(json.dumps([_in_a_fork(line) for line in json.load(sys.stdin)]))
