"""Corpora that are mixed: which files are whose, and how often each record of theirs comes in an epoch."""

import collections
import glob
import math
import os

from albert_hvd.errors import InputError
from albert_hvd.runtime.files import expand_input_files, split_patterns

# A corpus of a mixture: `name` in the log; its records are numbers `first` ... `first + num_records - 1` of the dataset, of
# which `per_epoch` come in an epoch: `weight` times their number, rounded.
Source = collections.namedtuple("Source", ["name", "weight", "first", "num_records", "per_epoch"])


def parse_sources(pattern, option="input_file"):
    """The corpora of an option such as "news*.tfrecord*:2,tweets*.tfrecord*:0.5", a list of (name, weight, its files).

    A part without a weight weighs 1. A colon in a name that exists, or in a glob that something matches, is one of the
    name.

    Returns:
      An empty list when no part has a weight: all files are one corpus.

    Raises:
      InputError: a weight is not above 0, or there are no such files.
    """
    parts = [_split_weight(part, option) for part in split_patterns(pattern)]
    if all(weight is None for _, weight in parts):
        return []
    names = _short_names([files for files, _ in parts])
    return [(name, 1.0 if weight is None else weight, expand_input_files(files, option))
            for name, (files, weight) in zip(names, parts)]


def make_sources(parsed, counts, option="input_file"):
    """The `Source`s of what `parse_sources` gives.

    Args:
      counts: the number of records of each of their files, in order.

    Raises:
      InputError: one is too small for its weight: not one of its records would come in an epoch.
    """
    sources, first, counts = [], 0, list(counts)
    for name, weight, files in parsed:
        num_records = int(sum(counts[:len(files)]))
        del counts[:len(files)]
        per_epoch = math.floor(weight * num_records + 0.5)
        if per_epoch < 1:
            raise InputError(f"{weight:g} times the {num_records} records of {name} is less than one an epoch",
                             "give it a larger weight or leave it out", name=option)
        sources.append(Source(name, weight, first, num_records, per_epoch))
        first += num_records
    return tuple(sources)


def _split_weight(part, option):
    """(files, weight or None)."""
    files, colon, number = part.rpartition(":")
    if not colon or os.path.exists(part) or glob.has_magic(part) and glob.glob(part):
        return part, None
    try:
        weight = float(number)
    except ValueError:
        return part, None
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"the weight {number} is not above 0", "give how often its records come in an epoch, such as 2 "
                         "or 0.5, or leave it out", name=option, value=part)
    return files, weight


def _short_names(patterns):
    """A name for each pattern: its last part, or as much of it as tells it from the others."""
    depth = 1
    while True:
        names = ["/".join(pattern.split("/")[-depth:]) for pattern in patterns]
        if len(set(names)) == len(names):
            return names
        if depth > max(pattern.count("/") for pattern in patterns):
            return [f"{name} ({number})" for number, name in enumerate(names, 1)]
        depth += 1
