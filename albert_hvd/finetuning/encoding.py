"""Texts, pairs of texts and sentences as rows of piece ids, and which positions of a row are scored.

A *slot* is what gets a label: a text or pair as a whole, or one word of a sentence. A text that is longer than a
row is cut at the end or becomes several rows.
"""

import dataclasses

import numpy as np

LONG_TEXTS = ("truncate", "window")

_SPECIAL_PIECES = 2  # <cls> and <sep>


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of N examples, in the order of the examples.

    Attributes:
      input_ids: list of R int32 arrays, <cls> ... <sep> without padding.
      positions: list of R int32 arrays: for each slot that the row scores, the position to read.
      first_slot: int64 (R,): the row scores the slots first_slot, first_slot + 1, ... of all examples' slots.
      example: int64 (R,): which example the row belongs to.
      num_slots: int64 (N,): the slots of each example, those that were cut off included.
      max_seq_length: most positions of a row.
      num_long: how many examples did not fit into one row.
      num_cut_slots: how many slots no row scores.
      second_segment: int64 (R,): the position at which the second text begins; None where each row has one text.
      features: list of an int32 array for each slot of all examples, `word_features.hashed`; None: not wanted.
    """

    input_ids: list
    positions: list
    first_slot: np.ndarray
    example: np.ndarray
    num_slots: np.ndarray
    max_seq_length: int
    num_long: int
    num_cut_slots: int
    second_segment: np.ndarray = None
    features: list = None

    @property
    def lengths(self):
        """int64 (R,)."""
        return np.array([len(ids) for ids in self.input_ids], np.int64)


def encode_texts(texts, tokenizer, max_seq_length, long_texts):
    """Rows of texts; each row has one slot, read at <cls>, and windows of one text share theirs.

    Args:
      texts: list of str.
      tokenizer: `tokenizer.Tokenizer`.
      long_texts: "truncate" keeps the beginning of a long text, "window" makes rows of equal length of it.

    Returns:
      `Rows`.
    """
    room = max_seq_length - _SPECIAL_PIECES
    rows, examples, num_long = [], [], 0
    for number, body in enumerate(tokenizer.encode_lines(list(texts))):
        parts = [body]
        if len(body) > room:
            num_long += 1
            parts = [body[:room]] if long_texts == "truncate" else np.array_split(body, -(-len(body) // room))
        for part in parts:
            rows.append(_row(part, tokenizer))
            examples.append(number)
    examples = np.array(examples, np.int64)
    return Rows(rows, [np.zeros(1, np.int32)] * len(rows), examples, examples, np.ones(len(texts), np.int64),
                max_seq_length, num_long, num_cut_slots=0)


def encode_pairs(pairs, tokenizer, max_seq_length, long_texts="truncate"):
    """Rows of pairs of texts: <cls> first <sep> second <sep>, with one slot each, read at <cls>.

    Args:
      pairs: list of pairs of str.
      tokenizer: `tokenizer.Tokenizer`.
      long_texts: "truncate": see `longest_first`.

    Returns:
      `Rows`, of which each row is one segment up to its first <sep> and another behind it.
    """
    assert long_texts == "truncate", long_texts
    bodies = tokenizer.encode_lines([text for pair in pairs for text in pair])
    room = max_seq_length - _SPECIAL_PIECES - 1
    rows, starts, num_long = [], [], 0
    for first, second in zip(bodies[::2], bodies[1::2], strict=True):
        lengths = longest_first(len(first), len(second), room)
        num_long += lengths != (len(first), len(second))
        rows.append(_row(np.concatenate([first[:lengths[0]], [tokenizer.sep_id], second[:lengths[1]]]), tokenizer))
        starts.append(lengths[0] + _SPECIAL_PIECES)
    numbers = np.arange(len(pairs), dtype=np.int64)
    return Rows(rows, [np.zeros(1, np.int32)] * len(rows), numbers, numbers, np.ones(len(pairs), np.int64),
                max_seq_length, num_long, 0, np.array(starts, np.int64))


def longest_first(first, second, room):
    """How many pieces two texts keep: the longer one loses the last ones until both fit.

    Where both must lose some, they keep half of the room each, and the longer one, or the second, the odd piece: what
    Hugging Face's tokenizers do with truncation="longest_first" (`truncate_encodings` in utils/truncation.rs).

    Args:
      first, second: pieces that they have.
      room: pieces that they may have together.

    Returns:
      (pieces of the first, pieces of the second).
    """
    if first + second <= room:
        return first, second
    shorter = min(first, second)
    shorter = shorter if 2 * shorter <= room else room // 2
    return (room - shorter, shorter) if first > second else (shorter, room - shorter)


def encode_sentences(sentences, tokenizer, max_seq_length, long_texts):
    """Rows of sentences that are split into words; a word is read at its first piece.

    A word is never split over two rows; of one that is longer than a row, the beginning is kept. A word of
    which the vocabulary leaves nothing (control characters) becomes the unknown piece.

    Args:
      sentences: list of sequences of str.
      tokenizer, long_texts: as in `encode_texts`.

    Returns:
      `Rows`.
    """
    room = max_seq_length - _SPECIAL_PIECES
    pieces = iter(tokenizer.encode_lines([word for words in sentences for word in words]))
    unknown = np.array([tokenizer.unk_id], np.int32)
    input_ids, positions, first_slots, examples = [], [], [], []
    slot = num_long = num_cut = 0
    for number, words in enumerate(sentences):
        bodies = [next(pieces)[:room] for _ in words]
        bodies = [body if len(body) else unknown for body in bodies]
        rows = _rows_of_words(bodies, room)
        num_long += len(rows) > 1
        if long_texts == "truncate":
            num_cut += sum(map(len, rows[1:]))
            rows = rows[:1]
        start = slot
        for row in rows:
            lengths = [len(body) for body in row]
            input_ids.append(_row(np.concatenate(row), tokenizer))
            positions.append(np.cumsum([1, *lengths[:-1]]).astype(np.int32))
            first_slots.append(start)
            examples.append(number)
            start += len(row)
        slot += len(words)
    return Rows(input_ids, positions, np.array(first_slots, np.int64), np.array(examples, np.int64),
                np.array([len(words) for words in sentences], np.int64), max_seq_length, num_long, num_cut)


def _row(body, tokenizer):
    return np.concatenate([[tokenizer.cls_id], body, [tokenizer.sep_id]]).astype(np.int32)


def _rows_of_words(bodies, room):
    """Consecutive words in rows of at most `room` pieces."""
    rows, used = [[]], 0
    for body in bodies:
        if used + len(body) > room:
            rows.append([])
            used = 0
        rows[-1].append(body)
        used += len(body)
    return rows
