"""The job of bin/create_pretraining_data: text in, shards of records with a manifest out.

The work is laid out once (blocks of text, buckets, shards) from the input and the options, then done by
one process, by `num_workers` processes or by the ranks of an MPI job, with the same bytes as result
(see build_stages.py). What is finished stays in a scratch folder beside the output, so that the same
command continues where it was interrupted; it is deleted when all is done.
"""

import collections
import functools
import glob
import os
import shutil
from dataclasses import asdict

from albert_hvd.data.records.build_plan import load_note, load_tokenizer, make_plan, save_note
from albert_hvd.data.records.build_report import statistics_table
from albert_hvd.data.records.build_stages import ExampleOptions, bucket_records, sort_block  # noqa: F401 - for callers
from albert_hvd.data.records.manifest import read_manifest, write_manifest
from albert_hvd.data.records.tfrecord import RecordWriter, index_path
from albert_hvd.data.records.vocabulary import store_vocabulary
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import make_folder, remove_partial_files
from albert_hvd.runtime.worker_pool import worker_pool


def _do_block(plan, number):
    """Stage 1 of a block, unless an earlier run has done it; returns its counts."""
    path = plan.block_path(number)
    counts = load_note(path + ".json")
    if counts is None:
        counts = sort_block(number, plan.blocks[number], plan.num_buckets, load_tokenizer(plan.tokenizer),
                            plan.options, path)
        save_note(path + ".json", counts)
    return counts


def _bucket(plan, bucket):
    paths = [plan.block_path(number) for number in range(len(plan.blocks))]
    return bucket_records(bucket, plan.num_buckets, paths, load_tokenizer(plan.tokenizer), plan.options)


def _do_part(plan, bucket):
    """Stage 2 of a bucket into a file of its own; returns its counts."""
    counts = collections.Counter()
    with RecordWriter(plan.part_path(bucket)) as writer:
        for data, rows, numbers in _bucket(plan, bucket):
            writer.append(data, rows)
            counts.update(numbers)
    return dict(counts)


def _finished_shard(plan, shard):
    note = load_note(plan.shard_note(shard))
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
    save_note(plan.shard_note(shard), note)
    return note


class _Serial:
    """One process: this one."""

    rank, size = 0, 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

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
        self._executor = worker_pool(num_workers)

    def __exit__(self, *error):
        self._executor.shutdown(cancel_futures=True)

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
    Raises: InputError for a setting or a file that is not as it must be, or when there is no text.
    """
    plan = make_plan(input_file, tokenizer, output_file, options)
    num_workers = num_workers or len(os.sched_getaffinity(0))
    with _Ranks() if use_mpi else _Pool(num_workers) if num_workers > 1 else _Serial() as team:
        report = report if team.rank == 0 else lambda line: None
        totals = _already_built(plan)
        if totals:
            report(f"{output_file}: already complete, nothing to do (delete it to build it again)")
            return totals
        return _build(plan, team, input_file, output_file, report)


def _build(plan, team, input_file, output_file, report):
    """Both stages by `team`, then the manifest and the table by rank 0; returns the totals there."""
    if team.rank == 0:
        _open_scratch(plan)
    team.barrier()
    text_mb = sum(block.end - block.start for block in plan.blocks) / 1e6
    for _ in _progress(team.map(_do_block, plan, range(len(plan.blocks))), len(plan.blocks), "encode",
                       text_mb, team):
        pass
    team.barrier()
    if team.rank == 0:
        _check_text(plan, input_file)
    for _ in _progress(team.write_shards(plan), len(plan.outputs), "write", text_mb, team):
        pass
    team.barrier()
    totals = None
    if team.rank == 0:
        totals = _finish(plan, output_file)
        for line in statistics_table(totals, plan.options):
            report(line)
    team.barrier()
    return totals


def _check_text(plan, input_file):
    """InputError when stage 1 found no token in the whole input."""
    if not any(load_note(plan.block_path(number) + ".json")["tokens"] for number in range(len(plan.blocks))):
        shutil.rmtree(plan.scratch)
        raise InputError("no text in it", "give files with at least one sentence", name="input_file", value=input_file)


def _open_scratch(plan):
    """The scratch folder: kept when it is of the same build, else emptied; and away with half shards."""
    for output in plan.outputs:
        for path in (output, index_path(output)):
            folder, name = os.path.split(os.path.abspath(path))
            remove_partial_files(folder, glob.escape(name))
    path = os.path.join(plan.scratch, "plan.json")
    if load_note(path) != plan.fingerprint:
        shutil.rmtree(plan.scratch, ignore_errors=True)
        make_folder(plan.scratch, "output_file")
        save_note(path, plan.fingerprint)


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


def _text_form(tokenizer):
    return {} if tokenizer.text_form.is_identity else tokenizer.text_form.to_dict()


def _finish(plan, output_file):
    """Write manifest and vocabulary into each output folder, delete the scratch folder; returns the totals."""
    notes = [load_note(plan.shard_note(shard)) for shard in range(len(plan.outputs))]
    totals = collections.Counter()
    for number in range(len(plan.blocks)):
        totals.update(load_note(plan.block_path(number) + ".json"))
    for note in notes:
        totals.update({name: value for name, value in note.items() if name not in ("sha256", "num_bytes")})
    totals = dict(totals)
    tokenizer = load_tokenizer(plan.tokenizer)
    build = {"fingerprint": plan.fingerprint, "options": asdict(plan.options), "statistics": totals,
             "input_files": sorted({block.path for block in plan.blocks}), "num_shards": len(plan.outputs),
             "tokenizer": {"path": os.path.abspath(plan.tokenizer), **_text_form(tokenizer),
                           "sha256": tokenizer.sha256, "vocab_size": tokenizer.vocab_size,
                           **{f"{name}_id": int(getattr(tokenizer, f"{name}_id"))
                              for name in ("cls", "sep", "mask", "pad", "unk")}}}
    folders = collections.defaultdict(dict)
    for output, note in zip(plan.outputs, notes):
        folder, name = os.path.split(os.path.abspath(output))
        folders[folder][name] = {key: note.get(key, 0) for key in
                                 ("num_records", "num_real_tokens", "num_bytes", "sha256")}
    for folder, shards in folders.items():
        store_vocabulary(folder, tokenizer)
        write_manifest(folder, output_file, build, shards)
    shutil.rmtree(plan.scratch)
    return totals
