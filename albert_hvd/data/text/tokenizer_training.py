"""The job of bin/train_tokenizer: files in, vocabulary and coverage report out."""

import itertools

from albert_hvd.data.text.corpus import check_is_plain, read_lines
from albert_hvd.data.text.tokenizer import coverage_report, train_tokenizer
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import expand_input_files

# The report needs a fair impression, not every line of a big corpus.
MAX_REPORT_LINES = 50_000


def train(input_file, model_prefix, coverage_file=None, report=print, **settings):
    """Train a vocabulary on `input_file` (pattern) and report how it fits `coverage_file` (or the input).

    Returns: the `Tokenizer`.
    """
    paths = expand_input_files(input_file)
    held_out = expand_input_files(coverage_file, "--coverage_file") if coverage_file else paths
    for path in [*paths, *held_out]:
        check_is_plain(path, "--input_file" if path in paths else "--coverage_file")
    if coverage_file and next(read_lines(held_out), None) is None:
        raise InputError(f"--coverage_file={coverage_file}: no text in it; give held-out text or leave the flag out")
    tokenizer = train_tokenizer(read_lines(paths), model_prefix, **settings)
    report(f"{model_prefix}.model and .vocab: {tokenizer.vocab_size} pieces, sha256 {tokenizer.sha256[:16]}...")
    coverage = coverage_report(tokenizer, itertools.islice(read_lines(held_out), MAX_REPORT_LINES))
    where = "held-out text" if coverage_file else "the training text (give --coverage_file for held-out text)"
    report(f"on {coverage['words']} words of {where}: {coverage['bytes_per_token']:.3f} bytes per token, "
           f"{coverage['pieces_per_word']:.3f} pieces per word, unknown rate {coverage['unknown_rate']:.6f}")
    return tokenizer
