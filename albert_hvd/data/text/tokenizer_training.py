"""The job of bin/train_tokenizer: files in, vocabulary and coverage report out.

The defaults of `VocabularyOptions` are those of the old project's `sp10m.cased.v8`.
"""

import dataclasses
import io
import itertools
import os
import re

from albert_hvd.data.text.corpus import check_is_plain, read_lines
from albert_hvd.data.text.streams import on_disk
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError, parameter
from albert_hvd.options import option
from albert_hvd.runtime.files import expand_input_files, make_folder, whole_file

CONTROL_SYMBOLS = ("<cls>", "<sep>", "<pad>", "<mask>", "<eod>")
USER_DEFINED_SYMBOLS = ("<eop>", ".", "(", ")", '"', "-", "–", "£", "€", "#", "'")

# SentencePiece silently skips a longer line (its own default), so longer ones are cut before it.
MAX_SENTENCE_BYTES = 4192

# The report needs a fair impression, not every line of a big corpus.
MAX_REPORT_LINES = 50_000


@dataclasses.dataclass(frozen=True)
class VocabularyOptions:
    """What decides the vocabulary that a text gets: flags of `bin/train_tokenizer`."""

    vocab_size: int = option(32000, "number of pieces")
    model_type: str = option("unigram", "kind of SentencePiece model", choices=["unigram", "bpe"])
    character_coverage: float = option(0.99995, "share of the text's characters that get a piece", least=0.9, most=1.0)
    # Bounds the memory.
    input_sentence_size: int = option(2_000_000, "train on a sample of at most so many lines")
    random_seed: int = option(12345, "seed of that sample", least=0)


def train(input_file, model_prefix, coverage_file=None, report=print, **settings):
    """Train a vocabulary on `input_file` (pattern) and report how it fits `coverage_file` (or the input).

    Returns: the `Tokenizer`.
    """
    paths = expand_input_files(input_file, pipes=True)
    held_out = expand_input_files(coverage_file, "coverage_file") if coverage_file else paths
    with on_disk(paths) as places:
        for path in [*paths, *held_out]:
            check_is_plain(places.get(path, path), "input_file" if path in paths else "coverage_file", path)
        return _train([places[path] for path in paths], [places.get(path, path) for path in held_out], model_prefix,
                      coverage_file, report, settings)


def _train(paths, held_out, model_prefix, coverage_file, report, settings):
    if coverage_file and next(read_lines(held_out), None) is None:
        raise InputError("no text in it", "give held-out text or leave the flag out", name="coverage_file",
                         value=coverage_file)
    tokenizer = train_tokenizer(read_lines(paths), model_prefix, **settings)
    report(f"{model_prefix}.model and .vocab: {tokenizer.vocab_size} pieces, sha256 {tokenizer.sha256[:16]}...")
    coverage = coverage_report(tokenizer, itertools.islice(read_lines(held_out), MAX_REPORT_LINES))
    where = ("held-out text" if coverage_file else
             f"the training text (give {parameter('coverage_file')} for held-out text)")
    report(f"on {coverage['words']} words of {where}: {coverage['bytes_per_token']:.3f} bytes per token, "
           f"{coverage['pieces_per_word']:.3f} pieces per word, unknown rate {coverage['unknown_rate']:.6f}")
    return tokenizer


def split_long_line(line, max_bytes=MAX_SENTENCE_BYTES):
    """Cut a line into pieces of at most `max_bytes` UTF-8 bytes, at a space where there is one."""
    pieces, start = [], 0
    while start < len(line):
        # A character takes at least one byte, so `max_bytes` characters are enough to look at.
        head = line[start:start + max_bytes].encode("utf-8")[:max_bytes].decode("utf-8", errors="ignore")
        if start + len(head) < len(line):
            head = head[:head.rfind(" ") + 1] or head
        start += len(head)
        if head.strip():
            pieces.append(head.strip())
    return pieces


def train_tokenizer(lines, model_prefix, control_symbols=CONTROL_SYMBOLS, user_defined_symbols=USER_DEFINED_SYMBOLS,
                    **settings):
    """Train a vocabulary and write `<model_prefix>.model` and `.vocab` (piece, tab, score).

    The same lines and settings give the same bytes: sampling is seeded, and SentencePiece's number
    of threads, which decides how its sums are split, is fixed.

    Args:
      lines: an iterable of str, one sentence each.
      settings: the fields of `VocabularyOptions`.
    Returns: the new `Tokenizer`.
    Raises: InputError when the text is empty, or too small for `vocab_size`.
    """
    import sentencepiece

    options = VocabularyOptions(**settings)
    make_folder(os.path.dirname(os.path.abspath(model_prefix)), "model_prefix")
    sentencepiece.set_random_generator_seed(options.random_seed)
    counted, model = _NonEmpty(lines), io.BytesIO()
    try:
        # Into memory: a file name would become part of the model, and of its hash.
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(counted), model_writer=model, vocab_size=options.vocab_size,
            model_type=options.model_type, character_coverage=options.character_coverage,
            control_symbols=list(control_symbols), user_defined_symbols=list(user_defined_symbols),
            input_sentence_size=options.input_sentence_size, shuffle_input_sentence=True,
            max_sentence_length=MAX_SENTENCE_BYTES + 1, num_threads=16, minloglevel=2)
    except (RuntimeError, OSError) as error:
        raise _training_error(str(error), counted, options.vocab_size) from error
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    vocabulary = "".join(f"{processor.id_to_piece(i)}\t{processor.get_score(i):g}\n"
                         for i in range(processor.get_piece_size()))
    for ending, data in ((".model", model.getvalue()), (".vocab", vocabulary.encode("utf-8"))):
        with whole_file(model_prefix + ending, "model_prefix") as file:
            file.write(data)
    return Tokenizer.from_file(model_prefix + ".model", "model_prefix")


class _NonEmpty:
    """The non-empty lines of an iterable, long ones cut; `number` counts those handed out."""

    def __init__(self, lines):
        self._lines = lines
        self.number = 0

    def __iter__(self):
        for line in self._lines:
            # SentencePiece takes U+2581 for its own mark and a NUL for the end of the line.
            line = line.replace("\0", " ").strip()
            for piece in split_long_line(line):
                self.number += 1
                yield piece


def _training_error(message, counted, vocab_size):
    if counted.number == 0:
        return InputError("no text in it", "give files with at least some sentences", name="input_file")
    largest = re.search(r"set it to a value <= (\d+)", message)
    if largest:
        return InputError("too large for this text",
                          f"the largest that works is {largest.group(1)}: set {parameter('vocab_size')} to that or "
                          "less, or give more text", name="vocab_size", value=vocab_size)
    smallest = re.search(r"smaller than required_chars\. \d+ vs (\d+)", message)
    if smallest:
        return InputError("too small for the characters of this text",
                          f"set it above {smallest.group(1)}, or lower {parameter('character_coverage')}",
                          name="vocab_size", value=vocab_size)
    return InputError(f"SentencePiece could not train: {message}", name="vocab_size", value=vocab_size)


def coverage_report(tokenizer, lines):
    """How well a vocabulary fits some held-out text.

    Returns: dict with `bytes_per_token`, `unknown_rate` (share of tokens that are `<unk>`),
    `pieces_per_word` (words are runs without white space) and the totals `tokens`, `words`, `bytes`.
    """
    totals = dict(tokens=0, unknown=0, words=0, bytes=0)
    batch = []
    for line in [*lines, None]:
        if line is not None:
            batch.append(line)
        if batch and (line is None or len(batch) == 10_000):
            encoded = tokenizer.encode_lines(batch)
            totals["tokens"] += sum(len(ids) for ids in encoded)
            totals["unknown"] += sum(int((ids == tokenizer.unk_id).sum()) for ids in encoded)
            totals["words"] += sum(len(text.split()) for text in batch)
            totals["bytes"] += sum(len(text.encode("utf-8")) for text in batch)
            batch = []
    tokens, words = max(totals["tokens"], 1), max(totals["words"], 1)
    return {"bytes_per_token": totals["bytes"] / tokens, "unknown_rate": totals["unknown"] / tokens,
            "pieces_per_word": totals["tokens"] / words, "tokens": totals["tokens"],
            "words": totals["words"], "bytes": totals["bytes"]}
