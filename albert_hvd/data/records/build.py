"""The job of bin/create_pretraining_data: text in, shards of records with a manifest out.

The work is laid out once (blocks of text, runs of them, buckets, shards) from the input and the options, then done by
one process, by `num_workers` processes or by the ranks of an MPI job, with the same bytes as result
(see build_stages.py). What is finished stays in a scratch folder beside the output, so that the same
command continues where it was interrupted; it is deleted when all is done.
"""

import collections
import contextlib
import functools
import glob
import itertools
import os
import shutil
from dataclasses import asdict

from albert_hvd.data.records.build_plan import FORMATS, load_tokenizer, make_plan
from albert_hvd.data.records.build_report import statistics_table
from albert_hvd.data.records.build_stages import (ExampleOptions, bucket_records, sort_block,  # noqa: F401 - for callers
                                                  token_dtype)
from albert_hvd.data.records.manifest import read_manifest, write_manifest
from albert_hvd.data.records.spill import RunReader, RunWriter
from albert_hvd.data.records.tfrecord import RecordWriter, index_path
from albert_hvd.data.records.vocabulary import store_vocabulary
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import keep_work, load_note, remove_partial_files, save_note, whole_file
from albert_hvd.runtime.lock import RunLock
from albert_hvd.runtime.worker_pool import make_team

# Shares of a stage that differ by less than this over the processes are not worth copying every record once more.
_MOST_IDLE = 0.1


class _Work:
    """What each process of a build needs: the plan, the vocabulary, and the runs once stage 1 is done."""

    def __init__(self, plan):
        self.plan = plan

    @property
    def tokenizer(self):
        return load_tokenizer(self.plan.tokenizer)

    @functools.cached_property
    def runs(self):
        paths = [self.plan.run_path(run) for run in range(len(self.plan.runs))]
        return RunReader(paths, token_dtype(self.tokenizer))

    def close(self):
        if "runs" in self.__dict__:
            self.runs.close()


def _do_run(work, run):
    """Stage 1 of a run, unless an earlier build has done it; returns its counts."""
    plan, path = work.plan, work.plan.run_path(run)
    note = load_note(path + ".json")
    if note is not None:
        return note
    counts = collections.Counter()
    with whole_file(path) as file:
        writer = RunWriter(file)
        for segment in plan.runs[run]:
            blocks = []
            for number in segment:
                *block, numbers = sort_block(number, plan.blocks[number], plan.num_buckets, work.tokenizer, plan.options)
                blocks.append(block)
                counts.update(numbers)
            writer.write_segment(blocks)
        writer.finish()
    save_note(path + ".json", dict(counts))
    return dict(counts)


def _append_bucket(work, bucket, writer, counts):
    """Stage 2 of a bucket."""
    plan = work.plan
    for data, rows, numbers in bucket_records(bucket, *work.runs.read(bucket), work.tokenizer, plan.options):
        writer.append(data, rows)
        counts.update(numbers)


def _do_part(work, bucket):
    """Stage 2 of a bucket into a file of its own, unless an earlier build has done it."""
    path, counts = work.plan.part_path(bucket), collections.Counter()
    if load_note(path + ".json") is None:
        with RecordWriter(path, with_digest=False) as writer:  # that of the shard is made when it is joined
            _append_bucket(work, bucket, writer, counts)
        save_note(path + ".json", dict(counts))


def _finished_shard(plan, shard):
    note = load_note(plan.shard_note(shard))
    return note if note and os.path.exists(plan.outputs[shard]) else None


def _do_shard(work, shard):
    """Stage 2 of all buckets of a shard."""
    plan, counts = work.plan, collections.Counter()
    with RecordWriter(plan.outputs[shard]) as writer:
        for bucket in plan.buckets_of(shard):
            _append_bucket(work, bucket, writer, counts)
    _note_shard(plan, shard, writer, counts)


def _join_shard(plan, shard):
    """Make a shard of the parts of its buckets."""
    counts = collections.Counter()
    with RecordWriter(plan.outputs[shard]) as writer:
        for bucket in plan.buckets_of(shard):
            counts.update(load_note(plan.part_path(bucket) + ".json"))
            writer.append_shard(plan.part_path(bucket))
    _note_shard(plan, shard, writer, counts)
    for path in map(plan.part_path, plan.buckets_of(shard)):
        for name in (path + ".json", path, index_path(path)):
            os.remove(name)


def _note_shard(plan, shard, writer, counts):
    save_note(plan.shard_note(shard), {"num_bytes": writer.num_bytes, "sha256": writer.sha256, **counts})


def _write_shards(plan, team):
    """Stage 2 of all shards that are not finished: (number of its steps, an iterator over this rank's)."""
    missing = team.on_rank_0(lambda: [shard for shard in range(len(plan.outputs)) if not _finished_shard(plan, shard)])
    rounds = -(-len(missing) // team.width)
    if rounds * team.width <= (1 + _MOST_IDLE) * len(missing):
        return len(missing), team.map(_do_shard, missing)
    # Too few shards to go round: each process does its share of the buckets.
    buckets = [bucket for shard in missing for bucket in plan.buckets_of(shard)]
    return len(buckets), _write_by_parts(plan, team, missing, team.map(_do_part, buckets))


def _write_by_parts(plan, team, missing, parts):
    if team.size > 1:  # any of them may have made the parts of a shard
        yield from parts
        team.barrier()
    for shard in missing[team.rank::team.size]:
        yield from itertools.islice(parts, plan.buckets_per_shard)
        _join_shard(plan, shard)


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
    Raises: InputError for a setting or a file that is not as it must be, when there is no text, or when another
      process builds the same output.
    """
    plan = make_plan(input_file, tokenizer, output_file, options)
    work = _Work(plan)
    folder, name = os.path.split(os.path.abspath(plan.outputs[0]))
    with contextlib.ExitStack() as held, make_team(work, num_workers, use_mpi) as team:
        report = report if team.rank == 0 else lambda line: None
        lock = RunLock(folder, name=f".{name}.lock", option="output_file", value=output_file)
        totals = team.on_rank_0(lambda: _open(plan, held, lock))
        if totals:
            report(f"{output_file}: already complete, nothing to do (delete it to build it again)")
            return totals
        with contextlib.closing(work):
            _do_stages(plan, team, input_file)
        team.end_workers()
        team.barrier()  # a network file system does not forget files that a process still has open
        totals = team.on_rank_0(lambda: _finish(plan, output_file))
        for line in statistics_table(totals, plan.options):
            report(line)
        return totals


def _open(plan, held, lock):
    """Rank 0 keeps other builds out and makes the scratch folder; the totals where all is done already."""
    held.enter_context(lock)
    totals = _already_built(plan)
    if not totals:
        _open_scratch(plan)
    return totals


def _do_stages(plan, team, input_file):
    """Both stages by `team`."""
    text_mb = sum(block.end - block.start for block in plan.blocks) / 1e6
    runs = range(len(plan.runs))
    for _ in _progress(team.map(_do_run, runs), len(runs), "encode", text_mb, team):
        pass
    team.barrier()
    team.on_rank_0(lambda: _check_text(plan, input_file))
    steps, results = _write_shards(plan, team)
    for _ in _progress(results, steps, "write", text_mb, team):
        pass


def _check_text(plan, input_file):
    """InputError when stage 1 found no token in the whole input."""
    if not any(load_note(plan.run_path(run) + ".json")["tokens"] for run in range(len(plan.runs))):
        shutil.rmtree(plan.scratch)
        raise InputError("no text in it", "give files with at least one sentence", name="input_file", value=input_file)


def _open_scratch(plan):
    """The scratch folder: kept when it is of the same build, else emptied; and away with half shards."""
    for output in plan.outputs:
        for path in (output, index_path(output)):
            folder, name = os.path.split(os.path.abspath(path))
            remove_partial_files(folder, glob.escape(name))
    keep_work(plan.scratch, plan.fingerprint)


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
    for run in range(len(plan.runs)):
        totals.update(load_note(plan.run_path(run) + ".json"))
    for note in notes:
        totals.update({name: value for name, value in note.items() if name not in ("sha256", "num_bytes")})
    totals = dict(totals)
    tokenizer = load_tokenizer(plan.tokenizer)
    build = {"fingerprint": plan.fingerprint, "format": f"{plan.format}: {FORMATS[plan.format]}", "options": asdict(plan.options), "statistics": totals,
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
