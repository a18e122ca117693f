"""The plan of a data build: what is read, what is written, and where the work in between is kept.

It follows from the input and the options alone, so that every process of every run lays it out the same.
"""

import functools
import hashlib
import json
import os
from dataclasses import asdict, dataclass, fields

from albert_hvd.data.records import masking, segments
from albert_hvd.data.records.build_stages import ExampleOptions
from albert_hvd.data.text import corpus
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError
from albert_hvd.options import bounds
from albert_hvd.runtime.files import check_place, expand_input_files, expand_outputs

# Raise them when the same options give other bytes. Large corpora have larger buckets, of which they need fewer.
SMALL_FORMAT, LARGE_FORMAT = 1, 2
FORMATS = {SMALL_FORMAT: "buckets of 4 MiB of tokens",
           LARGE_FORMAT: "buckets of 128 MiB of tokens, since the corpus has more than 256 MiB; before, they had 4 MiB "
                         "at any size, so the same text and options made other records of the same kind"}
MOST_SMALL_BYTES = 256 << 20  # of tokens in the corpus
BUCKET_BYTES = {SMALL_FORMAT: 4 << 20, LARGE_FORMAT: 128 << 20}  # of tokens, which stage 2 holds in memory
FEWEST_BUCKETS = 8  # so that a small corpus, too, is shared out over the processes
# How stage 1 spills; without effect on the result.
SEGMENT_BYTES = 64 << 20  # of tokens, which stage 1 holds in memory, and once more while it sorts them
FEWEST_SEGMENTS = 16
MOST_RUNS = 256  # files that a process of stage 2 keeps open


@dataclass(frozen=True)
class Plan:
    """The work: read by every process, and the same for any number of them."""

    blocks: list
    runs: list  # of lists of segments, each a range of numbers of blocks
    outputs: list
    buckets_per_shard: int
    tokenizer: str
    options: ExampleOptions
    scratch: str
    fingerprint: str
    format: int

    @property
    def num_buckets(self):
        return self.buckets_per_shard * len(self.outputs)

    def buckets_of(self, shard):
        return range(shard * self.buckets_per_shard, (shard + 1) * self.buckets_per_shard)

    def run_path(self, run):
        return os.path.join(self.scratch, f"run-{run:06d}")

    def shard_note(self, shard):
        return os.path.join(self.scratch, f"shard-{shard:05d}.json")

    def part_path(self, bucket):
        return os.path.join(self.scratch, f"part-{bucket:06d}")


def check_options(options):
    """InputError for a setting with which no record can be made."""
    limits = {field.name: bounds(field) for field in fields(options) if field.type in (int, float)}
    limits["max_predictions_per_seq"] = 1, options.max_seq_length
    for name, (least, most) in limits.items():
        value = getattr(options, name)
        if not least <= value <= most:
            raise InputError(f"must be from {least} to {most}", name=name, value=value)
    for name, choices in (("sentence_objective", segments.OBJECTIVES), ("masking", masking.MASKINGS)):
        if getattr(options, name) not in choices:
            raise InputError(f"must be one of {', '.join(choices)}", name=name, value=getattr(options, name))


def make_plan(input_file, tokenizer_path, output_file, options):
    """Lay the work out; InputError for whatever is wrong with the arguments."""
    check_options(options)
    paths = expand_input_files(input_file)
    tokenizer = load_tokenizer(tokenizer_path)
    outputs = expand_outputs(output_file)
    for output in outputs:
        check_place(output, "output_file")
    blocks = corpus.plan_blocks(paths)
    if not blocks:
        raise InputError("no text in it", "give files with at least one sentence", name="input_file", value=input_file)
    # A text byte makes about a fifth of a token of two bytes, dupe_factor times.
    token_bytes = sum(block.end - block.start for block in blocks) * options.dupe_factor * 2 // 5
    form = SMALL_FORMAT if token_bytes <= MOST_SMALL_BYTES else LARGE_FORMAT
    num_buckets = max(-(-token_bytes // BUCKET_BYTES[form]), FEWEST_BUCKETS)
    files = [(path, os.path.getsize(path), os.stat(path).st_mtime_ns) for path in paths]
    text_form = [] if tokenizer.text_form.is_identity else [tokenizer.text_form.to_dict()]
    settings = asdict(options)
    if options.padding:  # as before there was a choice: what was built then is still complete
        del settings["padding"]
    described = json.dumps([form, files, tokenizer.sha256, outputs, settings, *text_form])
    folder, name = os.path.split(os.path.abspath(outputs[0]))
    return Plan(blocks, _lay_out_runs(blocks, token_bytes), outputs, -(-num_buckets // len(outputs)), tokenizer_path,
                options, os.path.join(folder, f".{name}.building"), hashlib.sha256(described.encode()).hexdigest(), form)


def _lay_out_runs(blocks, token_bytes):
    """Neighbouring blocks as segments of about `SEGMENT_BYTES` of tokens, these as at most `MOST_RUNS` runs."""
    sizes = [block.end - block.start for block in blocks]
    enough = sum(sizes) * min(SEGMENT_BYTES / max(token_bytes, 1), 1 / FEWEST_SEGMENTS)
    segments, first, size = [], 0, 0
    for number, of_block in enumerate(sizes):
        size += of_block
        if size >= enough or number == len(sizes) - 1:
            segments.append(range(first, number + 1))
            first, size = number + 1, 0
    per_run = -(-len(segments) // MOST_RUNS)
    return [segments[start:start + per_run] for start in range(0, len(segments), per_run)]


@functools.lru_cache(maxsize=1)
def load_tokenizer(path):
    """The `Tokenizer` of a file, which a process reads once."""
    return Tokenizer.from_file(path)
