"""The two stages that make pre-training records, each bounded in memory.

Stage 1, per block of text: encode, cut into instances (`dupe_factor` times), and send each instance to
a random bucket; many blocks together are a run, sorted by bucket (see spill.py). Stage 2, per bucket: collect its
instances from all runs, shuffle, lay out, mask, serialize. A shard is the records of its buckets in
order. Random bucket and shuffle within it together are a uniform shuffle of everything.

What a stage makes depends on the options, the seed and the number of its block or bucket, and on
nothing else: not on which process runs it, nor on when.
"""

import collections
from dataclasses import dataclass

import numpy as np

from albert_hvd.data.records import masking, segments
from albert_hvd.data.records.example import SEQUENCE_FIELDS, encode_rows
from albert_hvd.data.records.spill import ROW_DTYPE
from albert_hvd.data.records.tfrecord import index_rows, join_frames
from albert_hvd.data.text.corpus import read_block
from albert_hvd.options import option

ROWS_AT_ONCE = 8192  # records that stage 2 holds in memory
SIMILAR_ROWS = 256  # of these, records of about the same length are made together, in the processor's cache
HISTOGRAM_BINS = 10


@dataclass(frozen=True)
class ExampleOptions:
    """What decides the content of the records: flags of `bin/create_pretraining_data`."""

    max_seq_length: int = option(512, "positions of a record", least=8, most=65535)
    max_predictions_per_seq: int = option(51, "most masked tokens of a record")
    masked_lm_prob: float = option(0.15, "share of a record's tokens that are masked", most=1.0)
    dupe_factor: int = option(5, "how often each document is used, each time cut and masked differently", most=1000)
    short_seq_prob: float = option(0.1, "share of documents cut into shorter sequences", most=1.0)
    random_seed: int = option(12345, "seed of everything that is random", least=0, most=2**63)
    sentence_objective: str = option("sop",
        "sop: label 1 = the two segments swapped; nsp: label 1 = the second is from another document",
        choices=segments.OBJECTIVES)
    masking: str = option("whole_word", "what is masked together", choices=masking.MASKINGS)
    min_fill: float = option(0.0,
        "join neighbouring documents until each is this share of a record long, so that tweets do not leave most of it "
        "empty; 0: never join. Still shorter: what is left over of a longer document, and what --short_seq_prob cuts "
        "short", most=1.0)
    padding: bool = option(True, "fill sequences up to --max_seq_length; without, records of short texts take a fraction of "
                                 "the disk, and this program alone reads them")


def _generator(options, stage, number):
    return np.random.Generator(np.random.PCG64([options.random_seed, stage, number]))


def token_dtype(tokenizer):
    """How runs hold tokens."""
    return np.dtype("<u2" if tokenizer.vocab_size <= 1 << 16 else "<i4")


def sort_block(number, block, num_buckets, tokenizer, options):
    """Stage 1: the instances of one block, sorted by bucket.

    Returns: their rows (`ROW_DTYPE`), their tokens, int64 (num_buckets + 1, 2), where each bucket's rows and tokens
      begin; and a dict of counts.
    """
    texts, num_invalid = read_block(block)
    lines = [line for document in texts for line in document]
    encoded = iter(tokenizer.encode_lines(lines))
    documents = segments.encode_documents([[next(encoded) for _ in document] for document in texts])
    counts = {"documents": len(texts), "sentences": len(lines), "tokens": len(documents.tokens),
              "invalid_bytes": num_invalid, "documents_without_tokens": len(texts) + 1 - len(documents.document_starts)}
    documents = segments.join_documents(documents, options.min_fill * options.max_seq_length)
    generator = _generator(options, 1, number)
    passes = [segments.build_instances(documents, tokenizer.starts_word, generator, options.max_seq_length,
                                       options.short_seq_prob, options.sentence_objective)
              for _ in range(options.dupe_factor)]
    spans = segments.Spans(*map(np.concatenate, zip(*passes)))
    buckets = generator.integers(0, num_buckets, len(spans.labels))
    order = np.argsort(buckets, kind="stable")
    spans = segments.Spans(*(values[order] for values in spans))
    rows = np.empty(len(order), ROW_DTYPE)
    rows["first_length"] = spans.first_end - spans.first_start
    rows["second_length"] = spans.second_end - spans.second_start
    rows["label"] = spans.labels
    tokens = segments.gather(
        documents.tokens.astype(token_dtype(tokenizer)),
        np.stack([spans.first_start, spans.second_start], axis=1).ravel(),
        np.stack([spans.first_end, spans.second_end], axis=1).ravel())
    row_starts = np.searchsorted(buckets[order], np.arange(num_buckets + 1))
    token_starts = np.concatenate([[0], np.cumsum(rows["first_length"].astype(np.int64) + rows["second_length"])])
    return rows, tokens, np.stack([row_starts, token_starts[row_starts]], axis=1), counts


def bucket_records(bucket, rows, tokens, tokenizer, options):
    """Stage 2: yield a bucket's records in their final order, `ROWS_AT_ONCE` at a time.

    Args: `rows`, `tokens`, the bucket's, as `RunReader.read` gives them.
    Yields: (uint8 (bytes,) of framed records, their index entries with offsets from 0, dict of counts).
    """
    lengths = rows["first_length"].astype(np.int64) + rows["second_length"]
    ends = np.cumsum(lengths)
    generator = _generator(options, 2, bucket)
    order = generator.permutation(len(rows))
    for start in range(0, len(order), ROWS_AT_ONCE):
        chosen = order[start:start + ROWS_AT_ONCE]
        # Rows of one length make arrays without padding: for tweets a tenth of the work.
        by_length = np.argsort(lengths[chosen], kind="stable")
        groups, counts = [], collections.Counter()
        num_predictions = np.zeros(len(chosen), np.int64)
        for group in np.split(by_length, range(SIMILAR_ROWS, len(by_length), SIMILAR_ROWS)):
            members = chosen[group]
            batch, masked = _masked_batch(rows[members], tokens, ends[members] - lengths[members], tokenizer, options,
                                          generator)
            num_tokens = lengths[members] + segments.NUM_SPECIAL_TOKENS
            groups += _encode(batch, group, num_tokens, tokenizer, options)
            num_predictions[group] = masked.num_predictions
            counts.update(_count(masked, num_tokens, rows["label"][members], tokenizer, options.max_seq_length))
        data, offsets = join_frames(groups, len(chosen))
        yield data, index_rows(offsets, lengths[chosen] + segments.NUM_SPECIAL_TOKENS, num_predictions), counts


def _encode(batch, places, num_tokens, tokenizer, options):
    """Yield (`ByteRows` of serialized rows, their places) of a batch, which is sorted by length."""
    if options.padding:
        yield encode_rows(batch, options.max_seq_length - batch["input_ids"].shape[1], tokenizer.pad_id), places
        return
    for part in np.split(np.arange(len(num_tokens)), np.flatnonzero(np.diff(num_tokens)) + 1):
        yield encode_rows({field: values[part, :num_tokens[part[0]]] if field in SEQUENCE_FIELDS else values[part]
                           for field, values in batch.items()}), places[part]


def _masked_batch(rows, tokens, starts, tokenizer, options, generator):
    """The seven fields of some rows, as wide as the longest; and `Masked`."""
    first, second = rows["first_length"].astype(np.int64), rows["second_length"].astype(np.int64)
    width = int((first + second).max()) + segments.NUM_SPECIAL_TOKENS
    input_ids, input_mask, segment_ids, lengths = segments.lay_out(tokens, first, second, tokenizer, width, starts)
    bits = masking.draw_bits(generator, len(rows), width, options.max_predictions_per_seq, options.masking)
    masked = masking.mask_batch(input_ids, lengths, tokenizer, bits, options.masking, options.masked_lm_prob,
                                options.max_predictions_per_seq)
    return {"input_ids": masked.input_ids, "input_mask": input_mask, "segment_ids": segment_ids,
            "masked_lm_positions": masked.positions, "masked_lm_ids": masked.ids,
            "masked_lm_weights": masked.weights, "next_sentence_labels": rows["label"][:, None]}, masked


def _count(masked, num_tokens, labels, tokenizer, max_seq_length):
    """What the manifest tells about some records: plain integers that add up."""
    is_mask = masked.replaced == tokenizer.mask_id
    unchanged = masked.replaced == masked.originals
    bins = (num_tokens - 1) * HISTOGRAM_BINS // max_seq_length
    return {"num_records": len(num_tokens), "num_real_tokens": int(num_tokens.sum()),
            "num_masked": len(is_mask), "num_masked_units": int(masked.num_units.sum()),
            "num_replaced_by_mask": int(is_mask.sum()), "num_unchanged": int(unchanged.sum()),
            "num_replaced_by_random": int((~(is_mask | unchanged)).sum()),
            "num_label_1": int(labels.sum()),
            **{f"length_bin_{i}": int(n) for i, n in enumerate(np.bincount(bins, minlength=HISTOGRAM_BINS))}}
