"""Checks of flags that several benchmarks have; each raises InputError."""

import os

from albert_hvd.errors import InputError


def check_scratch_dir(path):
    """`path`, the value of --scratch_dir, must be a folder, or None."""
    if path and not os.path.isdir(path):
        raise InputError(f"--scratch_dir={path}: no such folder; make it first")


def check_least(options, least, *names):
    """The flags of these names must be at least `least`."""
    for name in names:
        if getattr(options, name) < least:
            raise InputError(f"--{name}={getattr(options, name)}: must be at least {least}")


def check_positions(max_seq_length, config):
    """The model of `config`, an `AlbertConfig`, must have as many positions as a row."""
    if not 1 <= max_seq_length <= config.max_position_embeddings:
        raise InputError(f"--max_seq_length={max_seq_length}: the model has 1 to {config.max_position_embeddings} "
                         f"positions")
