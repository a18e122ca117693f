"""The job of bin/create_pretraining_data: text in, shards of records with a manifest out.

The work is laid out once (blocks of text, buckets, shards) from the input and the options, then done by
one process, by `num_workers` processes or by the ranks of an MPI job, with the same bytes as result
(see example_stages.py). What is finished stays in a scratch folder beside the output, so that the same
command goes on where it was interrupted; it is deleted when all is done.
"""

import collections
import concurrent.futures
from dataclasses import asdict, dataclass
import functools
import hashlib
import json
import multiprocessing
import os
import re
import shutil

from albert_hvd import corpus, instances, masking
from albert_hvd.data_report import statistics_table
from albert_hvd.errors import InputError
from albert_hvd.example_stages import ExampleOptions, bucket_records, sort_block
from albert_hvd.files import expand_input_files, make_folder, whole_file
from albert_hvd.shards import RecordWriter, read_manifest, write_manifest
from albert_hvd.tokenization import Tokenizer

FORMAT_VERSION = 1  # raise it when the same options give other bytes
BUCKET_BYTES = 16 << 20  # tokens of a bucket, which stage 2 holds in memory


@dataclass(frozen=True)
class Plan:
    """The work: read by every process, and the same for any number of them."""

    blocks: list
    outputs: list
    buckets_per_shard: int
    tokenizer: str
    options: ExampleOptions
    scratch: str
    fingerprint: str

    @property
    def num_buckets(self):
        return self.buckets_per_shard * len(self.outputs)

    def buckets_of(self, shard):
        return range(shard * self.buckets_per_shard, (shard + 1) * self.buckets_per_shard)

    def block_path(self, number):
        return os.path.join(self.scratch, f"block-{number:06d}")

    def shard_note(self, shard):
        return os.path.join(self.scratch, f"shard-{shard:05d}.json")

    def part_path(self, bucket):
        return os.path.join(self.scratch, f"part-{bucket:06d}")


def expand_outputs(output_file):
    """`a,b` -> [a, b]; `name@4` -> name-00000-of-00004 ... name-00003-of-00004."""
    outputs = []
    for part in filter(None, (part.strip() for part in output_file.split(","))):
        sharded = re.fullmatch(r"(.+)@(\d+)", part)
        number = int(sharded.group(2)) if sharded else 1
        if sharded and not 1 <= number <= 99999:
            raise InputError(f"--output_file={part}: the number of shards after @ must be 1 to 99999")
        outputs += ([f"{sharded.group(1)}-{i:05d}-of-{number:05d}" for i in range(number)] if sharded else [part])
    if not outputs or len(set(map(os.path.abspath, outputs))) < len(outputs):
        raise InputError(f"--output_file={output_file}: give one or more different names, or name@16 for 16 shards")
    return outputs


def check_options(options):
    """InputError for a setting with which no record can be made."""
    limits = [("max_seq_length", 8, 65535), ("max_predictions_per_seq", 1, options.max_seq_length),
              ("dupe_factor", 1, 1000), ("masked_lm_prob", 0.0, 1.0), ("short_seq_prob", 0.0, 1.0),
              ("min_fill", 0.0, 1.0), ("random_seed", 0, 2**63)]
    for name, least, most in limits:
        value = getattr(options, name)
        if not least <= value <= most:
            raise InputError(f"--{name}={value}: must be from {least} to {most}")
    for name, choices in (("sentence_objective", instances.OBJECTIVES), ("masking", masking.MASKINGS)):
        if getattr(options, name) not in choices:
            raise InputError(f"--{name}={getattr(options, name)}: must be one of {', '.join(choices)}")


def make_plan(input_file, tokenizer_path, output_file, options):
    """Lay the work out; InputError for whatever is wrong with the arguments."""
    check_options(options)
    paths = expand_input_files(input_file)
    tokenizer = Tokenizer.from_file(tokenizer_path)
    outputs = expand_outputs(output_file)
    for output in outputs:
        make_folder(os.path.dirname(os.path.abspath(output)), "--output_file")
    blocks = corpus.plan_blocks(paths)
    if not blocks:
        raise InputError(f"--input_file={input_file}: no text in it; give files with at least one sentence")
    # A text byte makes at most about a quarter of a token of two bytes, dupe_factor times.
    num_buckets = -(-sum(block.end - block.start for block in blocks) * options.dupe_factor // (2 * BUCKET_BYTES))
    files = [(path, os.path.getsize(path), os.stat(path).st_mtime_ns) for path in paths]
    described = json.dumps([FORMAT_VERSION, files, tokenizer.sha256, outputs, asdict(options)])
    folder, name = os.path.split(os.path.abspath(outputs[0]))
    return Plan(blocks, outputs, -(-num_buckets // len(outputs)), tokenizer_path, options,
                os.path.join(folder, f".{name}.building"), hashlib.sha256(described.encode()).hexdigest())


@functools.lru_cache(maxsize=1)
def _tokenizer(path):
    return Tokenizer.from_file(path)


def _load_note(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def _save_note(path, note):
    with whole_file(path) as file:
        file.write(json.dumps(note).encode())


def _do_block(plan, number):
    """Stage 1 of a block, unless an earlier run has done it; returns its counts."""
    path = plan.block_path(number)
    counts = _load_note(path + ".json")
    if counts is None:
        counts = sort_block(number, plan.blocks[number], plan.num_buckets, _tokenizer(plan.tokenizer),
                            plan.options, path)
        _save_note(path + ".json", counts)
    return counts


def _bucket(plan, bucket):
    paths = [plan.block_path(number) for number in range(len(plan.blocks))]
    return bucket_records(bucket, plan.num_buckets, paths, _tokenizer(plan.tokenizer), plan.options)


def _do_part(plan, bucket):
    """Stage 2 of a bucket into a file of its own; returns its counts."""
    counts = collections.Counter()
    with RecordWriter(plan.part_path(bucket)) as writer:
        for data, rows, numbers in _bucket(plan, bucket):
            writer.append(data, rows)
            counts.update(numbers)
    return dict(counts)


def _finished_shard(plan, shard):
    note = _load_note(plan.shard_note(shard))
    return note if note and os.path.exists(plan.outputs[shard]) else None


def _do_shard(plan, shard):
    """Stage 2 of all buckets of a shard, unless an earlier run has finished it; returns its note."""
    note = _finished_shard(plan, shard)
    if note:
        return note
    counts = collections.Counter()
    with RecordWriter(plan.outputs[shard]) as writer:
        for bucket in plan.buckets_of(shard):
            for data, rows, numbers in _bucket(plan, bucket):
                writer.append(data, rows)
                counts.update(numbers)
    return _note_shard(plan, shard, writer, counts)


def _note_shard(plan, shard, writer, counts):
    note = {"num_bytes": writer.num_bytes, "sha256": writer.sha256, **counts}
    _save_note(plan.shard_note(shard), note)
    return note


class _Serial:
    """One process: this one."""

    rank, size = 0, 1

    def map(self, function, plan, numbers):
        return (function(plan, number) for number in numbers)

    def write_shards(self, plan):
        return self.map(_do_shard, plan, range(len(plan.outputs)))

    def barrier(self):
        pass


class _Pool(_Serial):
    """A pool of processes. With fewer shards than processes the buckets are shared out instead."""

    def __init__(self, num_workers):
        self._num_workers = num_workers
        # Not fork: the parent may have threads (SentencePiece, NumPy), whose locks a child would inherit.
        self._executor = concurrent.futures.ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn"))

    def map(self, function, plan, numbers):
        return self._executor.map(functools.partial(function, plan), numbers)

    def write_shards(self, plan):
        if len(plan.outputs) >= self._num_workers:
            yield from self.map(_do_shard, plan, range(len(plan.outputs)))
            return
        missing = [shard for shard in range(len(plan.outputs)) if not _finished_shard(plan, shard)]
        parts = self.map(_do_part, plan, [bucket for shard in missing for bucket in plan.buckets_of(shard)])
        for shard in range(len(plan.outputs)):
            if shard not in missing:
                yield _finished_shard(plan, shard)
                continue
            counts = collections.Counter()
            with RecordWriter(plan.outputs[shard]) as writer:
                for bucket in plan.buckets_of(shard):
                    counts.update(next(parts))
                    writer.append_shard(plan.part_path(bucket))
                    os.remove(plan.part_path(bucket))
            yield _note_shard(plan, shard, writer, counts)


class _Ranks(_Serial):
    """The ranks of an MPI job: each does every size-th block, and owns every size-th shard."""

    def __init__(self):
        from mpi4py import MPI

        self._world = MPI.COMM_WORLD
        self.rank, self.size = self._world.rank, self._world.size

    def map(self, function, plan, numbers):
        numbers = list(numbers)
        for number in numbers[self.rank::self.size]:
            yield function(plan, number)

    def barrier(self):
        self._world.Barrier()


def build(input_file, tokenizer, output_file, options, num_workers=1, use_mpi=False, report=print):
    """Make pre-training records.

    Args:
      input_file, output_file: patterns as the flags take them.
      tokenizer: path of a SentencePiece model.
      options: `ExampleOptions`.
      num_workers: processes (0: one per core); without effect on the result, and under MPI, where
        each rank is one process.
      report: called with each line of the closing table, on rank 0 only.
    Returns: dict of the totals (rank 0), as in `manifest.json`.
    """
    plan = make_plan(input_file, tokenizer, output_file, options)
    num_workers = num_workers or len(os.sched_getaffinity(0))
    team = _Ranks() if use_mpi else _Pool(num_workers) if num_workers > 1 else _Serial()
    report = report if team.rank == 0 else lambda line: None
    totals = _already_built(plan)
    if totals:
        report(f"{output_file}: already complete, nothing to do (delete it to build it again)")
        return totals
    if team.rank == 0:
        _open_scratch(plan)
    team.barrier()
    text_mb = sum(block.end - block.start for block in plan.blocks) / 1e6
    for _ in _progress(team.map(_do_block, plan, range(len(plan.blocks))), len(plan.blocks), "encode",
                       text_mb, team):
        pass
    team.barrier()
    for _ in _progress(team.write_shards(plan), len(plan.outputs), "write", text_mb, team):
        pass
    team.barrier()
    if team.rank == 0:
        totals = _finish(plan, output_file)
        for line in statistics_table(totals, options):
            report(line)
    team.barrier()
    return totals


def _open_scratch(plan):
    """The scratch folder: kept when it is of the same build, else emptied."""
    path = os.path.join(plan.scratch, "plan.json")
    if _load_note(path) != plan.fingerprint:
        shutil.rmtree(plan.scratch, ignore_errors=True)
        make_folder(plan.scratch, "--output_file")
        _save_note(path, plan.fingerprint)


def _progress(results, total, what, text_mb, team):
    """Pass results on; on a terminal, with a bar in MB of input text."""
    from tqdm import tqdm

    with tqdm(total=round(text_mb, 1), desc=what, unit="MB", disable=None if team.rank == 0 else True) as bar:
        for result in results:
            bar.update(min(text_mb / total * team.size, bar.total - bar.n))
            yield result


def _already_built(plan):
    """The totals of a finished build with the same fingerprint whose shards are all there, or None."""
    folder, name = os.path.split(os.path.abspath(plan.outputs[0]))
    manifest = read_manifest(folder)
    build = manifest.get("builds", {}).get(manifest.get("shards", {}).get(name, {}).get("build"), {})
    if build.get("fingerprint") != plan.fingerprint or os.path.exists(plan.scratch):
        return None
    for output in plan.outputs:
        folder, name = os.path.split(os.path.abspath(output))
        entry = read_manifest(folder).get("shards", {}).get(name, {})
        if not os.path.exists(output) or entry.get("num_bytes") != os.path.getsize(output):
            return None
    return build["statistics"]


def _finish(plan, output_file):
    """Write the manifest of each output folder, delete the scratch folder; returns the totals."""
    notes = [_load_note(plan.shard_note(shard)) for shard in range(len(plan.outputs))]
    totals = collections.Counter()
    for number in range(len(plan.blocks)):
        totals.update(_load_note(plan.block_path(number) + ".json"))
    for note in notes:
        totals.update({name: value for name, value in note.items() if name not in ("sha256", "num_bytes")})
    totals = dict(totals)
    tokenizer = _tokenizer(plan.tokenizer)
    build = {"fingerprint": plan.fingerprint, "options": asdict(plan.options), "statistics": totals,
             "input_files": sorted({block.path for block in plan.blocks}), "num_shards": len(plan.outputs),
             "tokenizer": {"path": plan.tokenizer, "sha256": tokenizer.sha256, "vocab_size": tokenizer.vocab_size,
                           **{f"{name}_id": int(getattr(tokenizer, f"{name}_id"))
                              for name in ("cls", "sep", "mask", "pad", "unk")}}}
    folders = collections.defaultdict(dict)
    for output, note in zip(plan.outputs, notes):
        folder, name = os.path.split(os.path.abspath(output))
        folders[folder][name] = {key: note.get(key, 0) for key in
                                 ("num_records", "num_real_tokens", "num_bytes", "sha256")}
    for folder, shards in folders.items():
        write_manifest(folder, output_file, build, shards)
    shutil.rmtree(plan.scratch)
    return totals
