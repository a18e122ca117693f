"""SentencePiece vocabularies: training one, and text <-> ids.

The defaults of `train_tokenizer` are those of the old project's `sp10m.cased.v8`, whose models load
here unchanged. Special pieces are looked up by name, never by a fixed id: that model pads with 5.
"""

import hashlib
import io
import os
import re

import numpy as np

from albert_hvd.errors import InputError
from albert_hvd.runtime.files import check_readable, make_folder, whole_file

WORD_START = "\u2581"  # SentencePiece's mark for "a space stood here"
SPECIAL_PIECE = re.compile(r"<[^<>\s]+>|\[[A-Z]+\]")  # <cls>, <eop>; [CLS] in Google's vocabularies

CONTROL_SYMBOLS = ("<cls>", "<sep>", "<pad>", "<mask>", "<eod>")
USER_DEFINED_SYMBOLS = ("<eop>", ".", "(", ")", '"', "-", "–", "£", "€", "#", "'")

# SentencePiece silently skips a longer line (its own default), so longer ones are cut before it.
MAX_SENTENCE_BYTES = 4192


class Tokenizer:
    """A SentencePiece model with the ids that pre-training needs.

    Attributes: `vocab_size`; `cls_id sep_id mask_id pad_id unk_id`; `starts_word` bool (V,), pieces
    that begin with U+2581; `is_special` bool (V,), pieces that are never masked nor drawn as a random
    replacement; `model`, the bytes of the model file; their `sha256`; `path`.
    """

    @classmethod
    def from_file(cls, path, flag="--tokenizer"):
        """Load `path`; InputError when it is missing, no SentencePiece model, or lacks a special piece."""
        if not os.path.isfile(path):
            raise InputError(f"{flag}={path}: no such file; give a SentencePiece .model "
                             f"(bin/train_tokenizer makes one)")
        check_readable(path, flag)
        with open(path, "rb") as file:
            return cls(file.read(), path, flag)

    def __init__(self, model, path="", flag="--tokenizer"):
        """Args: `model`, the bytes of a .model file; `path` and `flag`, for messages."""
        import sentencepiece

        self.path, self.model = path, model
        self.sha256 = hashlib.sha256(model).hexdigest()
        if not model:  # which SentencePiece takes for a vocabulary without pieces
            raise InputError(f"{flag}={path}: an empty file; give a SentencePiece .model")
        try:
            self._processor = processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            everyone = list(range(processor.get_piece_size()))
            self._pieces = processor.id_to_piece(everyone)
        except (RuntimeError, OSError, UnicodeDecodeError) as error:
            raise InputError(f"{flag}={path}: not a SentencePiece model ({error}); "
                             f"give the .model file, not the .vocab") from None
        self.vocab_size = len(everyone)
        self._ids = {piece: i for i, piece in enumerate(self._pieces)}
        self.unk_id = processor.unk_id()
        self.cls_id = self._special_id(flag, "<cls>", "[CLS]")
        self.sep_id = self._special_id(flag, "<sep>", "[SEP]")
        self.mask_id = self._special_id(flag, "<mask>", "[MASK]")
        self.pad_id = self._ids.get("<pad>", self._ids.get("[PAD]", 0))
        self.starts_word = np.array([piece.startswith(WORD_START) for piece in self._pieces])
        self.is_special = np.array([processor.is_control(everyone), processor.is_unknown(everyone),
                                    processor.is_unused(everyone)]).any(axis=0)
        self.is_special[[i for piece, i in self._ids.items() if SPECIAL_PIECE.fullmatch(piece)]] = True
        self.is_special[self.pad_id] = True

    def _special_id(self, flag, *names):
        for name in names:
            if name in self._ids:
                return self._ids[name]
        raise InputError(f"{flag}={self.path}: the vocabulary has no {names[0]} piece; train one with "
                         f"bin/train_tokenizer, or give one made with that control symbol")

    def __reduce__(self):
        return Tokenizer, (self.model, self.path)

    def piece(self, token_id):
        """The piece of an id, with its U+2581 mark."""
        return self._pieces[token_id]

    def encode_lines(self, lines, num_threads=1):
        """Ids of each line, without special tokens: a list of int32 arrays (n_i,)."""
        if not lines:
            return []
        return self._processor.encode(lines, return_type="numpy", num_threads=num_threads)

    def decode(self, ids):
        """The text of a sequence of ids."""
        return self._processor.decode([int(i) for i in ids])


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


def train_tokenizer(lines, model_prefix, vocab_size=32000, model_type="unigram",
                    character_coverage=0.99995, control_symbols=CONTROL_SYMBOLS,
                    user_defined_symbols=USER_DEFINED_SYMBOLS, input_sentence_size=2_000_000,
                    random_seed=12345):
    """Train a vocabulary and write `<model_prefix>.model` and `.vocab` (piece, tab, score).

    The same lines and settings give the same bytes: sampling is seeded, and SentencePiece's number
    of threads, which decides how its sums are split, is fixed.

    Args:
      lines: an iterable of str, one sentence each.
      input_sentence_size: at most this many lines are sampled, which bounds the memory.
    Returns: the new `Tokenizer`.
    Raises: InputError when the text is empty, or too small for `vocab_size`.
    """
    import sentencepiece

    make_folder(os.path.dirname(os.path.abspath(model_prefix)), "--model_prefix")
    sentencepiece.set_random_generator_seed(random_seed)
    counted, model = _NonEmpty(lines), io.BytesIO()
    try:
        # Into memory: a file name would become part of the model, and of its hash.
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(counted), model_writer=model, vocab_size=vocab_size, model_type=model_type,
            character_coverage=character_coverage, control_symbols=list(control_symbols),
            user_defined_symbols=list(user_defined_symbols), input_sentence_size=input_sentence_size,
            shuffle_input_sentence=True, max_sentence_length=MAX_SENTENCE_BYTES + 1, num_threads=16, minloglevel=2)
    except (RuntimeError, OSError) as error:
        raise _training_error(str(error), counted, vocab_size) from error
    processor = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    vocabulary = "".join(f"{processor.id_to_piece(i)}\t{processor.get_score(i):g}\n"
                         for i in range(processor.get_piece_size()))
    for ending, data in ((".model", model.getvalue()), (".vocab", vocabulary.encode("utf-8"))):
        with whole_file(model_prefix + ending, "--model_prefix") as file:
            file.write(data)
    return Tokenizer.from_file(model_prefix + ".model", "--model_prefix")


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
        return InputError("--input_file: no text in it; give files with at least some sentences")
    largest = re.search(r"set it to a value <= (\d+)", message)
    if largest:
        return InputError(f"--vocab_size={vocab_size}: too large for this text; the largest that works "
                          f"is {largest.group(1)}: set --vocab_size to that or less, or give more text")
    smallest = re.search(r"smaller than required_chars\. \d+ vs (\d+)", message)
    if smallest:
        return InputError(f"--vocab_size={vocab_size}: too small for the characters of this text; set it "
                          f"above {smallest.group(1)}, or lower --character_coverage")
    return InputError(f"--vocab_size={vocab_size}: SentencePiece could not train: {message}")


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
