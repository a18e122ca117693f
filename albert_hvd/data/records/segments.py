"""From encoded documents to pairs of segments, as spans over one flat array of tokens.

A document is cut into chunks of whole sentences that fill a sequence; a sentence longer than that is
cut between words. Each token of each document is in exactly one chunk: neither a tail nor an
overflow is thrown away. A chunk is then split into segments A and B, at a sentence boundary if it has
one, else between two words, so that a document of one sentence (a tweet) gets both labels too.
"""

import bisect
from typing import NamedTuple

import numpy as np

OBJECTIVES = ("sop", "nsp")
NUM_SPECIAL_TOKENS = 3  # <cls> A <sep> B <sep>


class EncodedDocuments(NamedTuple):
    """Documents as one array.

    `tokens` int32 (T,); `sentence_starts` int64 (sentences + 1,), offsets into tokens;
    `document_starts` int64 (documents + 1,), offsets into tokens, a subset of sentence_starts.
    """

    tokens: np.ndarray
    sentence_starts: np.ndarray
    document_starts: np.ndarray


class Spans(NamedTuple):
    """Instances: token spans [first_start, first_end) and [second_start, second_end), int64 (N,), in
    the order in which they stand in the record; `labels` int8 (N,)."""

    first_start: np.ndarray
    first_end: np.ndarray
    second_start: np.ndarray
    second_end: np.ndarray
    labels: np.ndarray


def encode_documents(documents):
    """Join documents, each a list of int32 sentence arrays, into `EncodedDocuments`; empty ones vanish."""
    documents = [[ids for ids in document if len(ids)] for document in documents]
    sentences = [ids for document in documents for ids in document]
    tokens = np.concatenate(sentences) if sentences else np.zeros(0, np.int32)
    sentence_starts = np.cumsum([0, *map(len, sentences)], dtype=np.int64)
    counts = np.cumsum([0, *(len(document) for document in documents if document)])
    return EncodedDocuments(tokens, sentence_starts, sentence_starts[counts])


def join_documents(documents, min_tokens):
    """Join neighbouring documents until each has at least `min_tokens` tokens, the last ones included."""
    starts = documents.document_starts
    if len(starts) < 3 or np.diff(starts).min() >= min_tokens:
        return documents
    joined = [0]
    for start in starts[1:].tolist():
        if start - joined[-1] >= min_tokens:
            joined.append(start)
    if len(joined) > 1:
        joined[-1] = starts[-1]  # what is left over goes to the document before it
    else:
        joined.append(starts[-1])
    return documents._replace(document_starts=np.array(joined, np.int64))


def build_instances(documents, starts_word, generator, max_seq_length, short_seq_prob=0.1, objective="sop"):
    """Cut documents into instances once (one pass of `dupe_factor`).

    Args:
      documents: `EncodedDocuments`.
      starts_word: bool (V,), pieces that begin a word.
      generator: numpy Generator; decides short chunks, split points, labels.
      short_seq_prob: share of documents that are cut into chunks of a random shorter length (BERT's way
        to show the model short sequences as well).
      objective: `sop`, label 1 where the two segments are swapped, always half of them (ALBERT); or
        `nsp`, label 1 where the second comes from another document (BERT).
    Returns: `Spans`.
    """
    max_tokens = max_seq_length - NUM_SPECIAL_TOKENS
    documents = join_documents(documents, 2)  # a single token cannot be split into two segments
    starts, ends = _chunks(documents, starts_word, generator, max_tokens, short_seq_prob)
    middles = _split_points(documents, starts_word, generator, starts, ends)
    if objective == "sop":
        swapped = generator.random(len(starts)) < 0.5
        return Spans(np.where(swapped, middles, starts), np.where(swapped, ends, middles),
                     np.where(swapped, starts, middles), np.where(swapped, middles, ends),
                     swapped.astype(np.int8))
    return _next_sentence_pairs(documents, generator, starts, middles, ends, max_tokens)


def _chunks(documents, starts_word, generator, max_tokens, short_seq_prob):
    """Start and end of each chunk, int64 (C,), in the order of the text."""
    begins, ends = documents.document_starts[:-1], documents.document_starts[1:]
    short = generator.random(len(begins)) < short_seq_prob
    targets = np.where(short, generator.integers(2, max(max_tokens, 2), len(begins), endpoint=True), max_tokens)
    long = np.flatnonzero(ends - begins > targets)
    keep = np.ones(len(begins), bool)
    keep[long] = False
    chunk_starts, chunk_ends = [begins[keep]], [ends[keep]]
    sentence_starts = documents.sentence_starts.tolist()
    for document in long.tolist():
        cuts = _cut_document(documents.tokens, starts_word, sentence_starts, int(begins[document]),
                             int(ends[document]), int(targets[document]), max_tokens)
        chunk_starts.append(np.array(cuts[:-1], np.int64))
        chunk_ends.append(np.array(cuts[1:], np.int64))
    chunk_starts, chunk_ends = np.concatenate(chunk_starts), np.concatenate(chunk_ends)
    order = np.argsort(chunk_starts, kind="stable")
    return chunk_starts[order], chunk_ends[order]


def _cut_document(tokens, starts_word, sentence_starts, begin, end, target, max_tokens):
    """The offsets at which one document is cut, its begin and end included."""
    cuts = [begin]
    while cuts[-1] < end:
        start = cuts[-1]
        # The last sentence end within the target; else the first one, if it fits the sequence.
        nearest = bisect.bisect_right(sentence_starts, start + target) - 1
        cut = sentence_starts[nearest]
        if cut <= start:
            cut = sentence_starts[nearest + 1]
        cut = min(cut, end)
        if cut - start > max_tokens:
            word_starts = np.flatnonzero(starts_word[tokens[start + 1:start + max_tokens + 1]])
            cut = start + 1 + int(word_starts[-1]) if len(word_starts) else start + max_tokens
        # Neither this chunk nor the rest may be a single token, which cannot be split in two.
        if cut - start < 2:
            cut = start + 2
        if end - cut == 1:
            cut = end if end - start <= max_tokens else cut - 1
        cuts.append(min(cut, end))
    return cuts


def _split_points(documents, starts_word, generator, starts, ends):
    """A random sentence boundary inside each chunk, else a random word boundary, else any (C,)."""
    luck = generator.random(len(starts))
    middles = starts + 1 + (luck * (ends - starts - 1)).astype(np.int64)
    middles = np.minimum(middles, ends)
    word_starts = np.flatnonzero(starts_word[documents.tokens])
    for boundaries in (word_starts, documents.sentence_starts):
        first = np.searchsorted(boundaries, starts, side="right")
        number = np.searchsorted(boundaries, ends, side="left") - first
        inside = number > 0
        middles[inside] = boundaries[(first + (luck * number).astype(np.int64))[inside]]
    return middles


def _next_sentence_pairs(documents, generator, starts, middles, ends, max_tokens):
    """NSP pairs: two thirds of the chunks keep A and B; in the others each half is paired with text of
    another document, which gives as many pairs of label 1 as of label 0 and loses nothing."""
    num_documents = len(documents.document_starts) - 1
    apart = generator.random(len(starts)) < (1 / 3 if num_documents > 1 else 0)
    first_start = np.concatenate([starts[~apart], starts[apart], middles[apart]])
    first_end = np.concatenate([middles[~apart], middles[apart], ends[apart]])
    num_alone = len(first_start) - int((~apart).sum())
    own = np.searchsorted(documents.document_starts, first_start[len(first_start) - num_alone:], side="right") - 1
    other = generator.integers(0, max(num_documents - 1, 1), num_alone)
    other += other >= own  # any document but its own
    # The second segment begins at a random sentence of the other document.
    first_sentence = np.searchsorted(documents.sentence_starts, documents.document_starts[other])
    end_sentence = np.searchsorted(documents.sentence_starts, documents.document_starts[other + 1])
    sentence = first_sentence + (generator.random(num_alone) * (end_sentence - first_sentence)).astype(np.int64)
    second_start = documents.sentence_starts[sentence]
    room = max_tokens - (first_end - first_start)[len(first_start) - num_alone:]
    second_end = np.minimum(documents.document_starts[other + 1], second_start + room)
    labels = np.zeros(len(first_start), np.int8)
    labels[len(first_start) - num_alone:] = 1
    return Spans(first_start, first_end, np.concatenate([middles[~apart], second_start]),
                 np.concatenate([ends[~apart], second_end]), labels)


def gather(values, starts, ends):
    """Concatenate values[start:end] of all spans."""
    lengths = ends - starts
    offsets = np.cumsum(lengths) - lengths
    return values[np.repeat(starts - offsets, lengths) + np.arange(int(lengths.sum()))]


def lay_out(tokens, first_lengths, second_lengths, tokenizer, max_seq_length, starts=None):
    """Rows `<cls> first <sep> second <sep>`, padded with the vocabulary's own pad id.

    Args: `tokens` (T,), first and second segment of each row one after the other; lengths (N,); `starts` int64 (N,),
      where each row's begin in `tokens`; None: behind those of the row before it.
    Returns: `input_ids` int32, `input_mask segment_ids` bool (N, S), and the rows' `lengths` int64 (N,).
    """
    first, both = first_lengths.astype(np.int64), (first_lengths + second_lengths).astype(np.int64)
    lengths = both + NUM_SPECIAL_TOKENS
    starts = np.cumsum(both) - both if starts is None else starts
    # Of two bytes, which are compared four times as fast as eight; a record has at most 65,535 positions.
    columns, first_sep = np.arange(max_seq_length, dtype=np.uint16), (first + 1)[:, None].astype(np.uint16)
    input_mask = columns < lengths[:, None].astype(np.uint16)
    behind = columns > first_sep
    # Each column's token stands one place before it, and two behind <sep>; special ones and padding are put in after.
    places = (starts - 1)[:, None] + np.arange(max_seq_length)
    places -= behind
    input_ids = tokens.take(places, mode="clip").astype(np.int32)
    np.copyto(input_ids, tokenizer.pad_id, where=~input_mask)
    everyone = np.arange(len(both))
    input_ids[:, 0] = tokenizer.cls_id
    input_ids[everyone, first + 1] = tokenizer.sep_id
    input_ids[everyone, lengths - 1] = tokenizer.sep_id
    return input_ids, input_mask, behind & input_mask, lengths
