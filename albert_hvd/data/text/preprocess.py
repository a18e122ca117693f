"""The job of bin/preprocess: raw files in, clean sentences out, one per line, blank line between documents.

Three steps, of which processes or ranks share the first and the last: units of the input are read and cleaned
(preprocess_units.py); one process looks for duplicates among all documents, in their order; the shards are written.
So the output does not depend on who did what. What is finished stays in a folder beside the output until all is done.
"""

import collections
import contextlib
import functools
import hashlib
import itertools
import json
import operator
import os
import shutil
from dataclasses import asdict, dataclass

from albert_hvd.data.text import cleaning, duplicates
from albert_hvd.data.text.documents import expand_with_folders, read_documents
from albert_hvd.data.text.preprocess_report import summary_table
from albert_hvd.data.text.preprocess_shards import decide, write_shard
from albert_hvd.data.text.preprocess_units import plan_units, size_of, unit_counts, write_unit
from albert_hvd.data.text.sentences import split_sentences
from albert_hvd.errors import InputError
from albert_hvd.options import option
from albert_hvd.runtime.files import check_place, expand_outputs, is_pipe, keep_work, load_note, save_note
from albert_hvd.runtime.lock import RunLock
from albert_hvd.runtime.worker_pool import make_team

FORMAT_VERSION = 1  # of what lies in the folder beside the output
BATCH_CHARACTERS = 1 << 18

_REPLACEMENTS = ("drop", "placeholder", "keep")


@dataclass(frozen=True)
class CleaningOptions:
    """How text is read and what is done to it, with a field for each of `cleaning.STEPS`: flags of `bin/preprocess`."""

    text_field: str = option("text", "key or column of the text in JSON, CSV and Parquet; a.b for nested keys, a,b for "
                                     "the first of these that is there")
    encoding: str = option("utf-8", "of the input files that have no byte order mark")
    skip_bad_lines: bool = option(False, "leave out lines of JSON Lines files that are no JSON, and count them")
    fix_mojibake: bool = option(True, "repair wrongly decoded characters (ftfy)")
    normalize_unicode: bool = option(True, "NFKC, without control and invisible characters")
    remove_html: bool = option(True, "drop tags, decode entities")
    spell_dot: bool = option(True, "contoh(dot)com -> contoh.com")
    emails: str = option("drop", "e-mail addresses", choices=_REPLACEMENTS)
    links: str = option("drop", "URLs", choices=_REPLACEMENTS)
    mentions: str = option("drop", "@mentions", choices=_REPLACEMENTS)
    remove_spam_runs: bool = option(True, "drop ===== and the like")
    shorten_punctuation: bool = option(True, "!!! -> !")
    shorten_letters: bool = option(True, "bestttt -> bestt")
    split_long_tokens: bool = option(True, "cut tokens of more than 30 characters at _ / -")
    split_sentences: bool = option(True, "cut lines into sentences")
    min_words: int = option(1, "drop lines of fewer words", least=0)
    malay_only: bool = option(False, "drop documents whose function words are mostly English")
    exact_duplicates: bool = option(True, "drop documents of the same letters and digits as an earlier one")
    near_duplicates: bool = option(True, "drop documents that are nearly the same as an earlier one (MinHash)")
    near_duplicate_similarity: float = option(0.8, "share of word triples that makes a near duplicate", most=1.0)
    near_duplicate_min_words: int = option(20, "shorter documents are compared exactly only", least=3)


@dataclass(frozen=True)
class MemoryOptions:
    """What the search for duplicates may take, without effect on the result."""

    memory_gb: float = option(0.2, "memory of the search for duplicates: 64 bytes a document, then 256 for each of "
                                   "--near_duplicate_min_words and more; for what is beyond, it reads several times",
                              least=0.001)


@dataclass(frozen=True)
class Plan:
    """The work: the same for any number of processes."""

    units: list  # of lists of `preprocess_units.Part`
    outputs: list
    options: CleaningOptions
    scratch: str
    fingerprint: str

    @property
    def unit_paths(self):
        return [os.path.join(self.scratch, f"unit-{number:06d}") for number in range(len(self.units))]

    @property
    def decision(self):
        return os.path.join(self.scratch, "decision.json")

    def shard_note(self, shard):
        return os.path.join(self.scratch, f"shard-{shard:05d}.json")


def clean_document(lines, options, counts):
    """The sentences of a document: list of str, maybe empty; adds to `counts` what each step changed."""
    return clean_documents([lines], options, counts)[0]


def clean_documents(documents, options, counts):
    """The sentences of some documents: list of lists of str, maybe empty; adds to `counts` what each step changed."""
    lines = [line for document in documents for line in document]
    for name, step in cleaning.STEPS:
        how = getattr(options, name)
        if how is False or how == "keep":
            continue
        apply = functools.partial(step, how=how) if name in cleaning.REPLACING_STEPS else step
        changed = cleaning.apply_step(name, apply, lines)
        counts[f"lines_{name}"] += sum(map(operator.ne, lines, changed))
        lines = changed
    lines = iter(lines)
    return [_sentences(itertools.islice(lines, len(document)), options, counts) for document in documents]


def _sentences(lines, options, counts):
    """The sentences of a document, of which all other steps are done."""
    sentences = []
    for line in lines:
        if not line.isascii():  # half of a surrogate pair, which JSON can hold, has no UTF-8 form
            line = line.encode("utf-8", "replace").decode("utf-8")
        line = cleaning.collapse_spaces(line)
        for sentence in split_sentences(line) if options.split_sentences else [line]:
            if sentence and cleaning.has_words(sentence, options.min_words):
                sentences.append(sentence)
            else:
                counts["lines_too_short"] += 1
    if sentences and options.malay_only and not cleaning.looks_malay(" ".join(sentences)):
        counts["not_malay"] += 1
        return []
    counts["empty_after_cleaning"] += not sentences
    return sentences


def clean_batch(documents, options):
    """Clean some documents.

    Returns: list of (sentences, exact key, MinHash values or None) of those that are not empty, and counts.
    """
    counts = collections.Counter()
    cleaned = list(filter(None, clean_documents(documents, options, counts)))
    words = list(map(duplicates.words_of, cleaned))
    keys = map(duplicates.exact_key, cleaned, words)
    values = (duplicates.signatures(words, options.near_duplicate_min_words) if options.near_duplicates
              else [None] * len(cleaned))
    return list(zip(cleaned, keys, values)), counts


def preprocess(input_file, output_file, options, num_workers=1, report=print, memory_gb=MemoryOptions.memory_gb,
               use_mpi=False):
    """Clean all documents of `input_file` (files, folders, globs) into `output_file`, one file or `name@16`.

    Args:
      num_workers: processes (0: one per core); without effect on the result, and under MPI, where each rank is one.
      report: called with each line of the closing table, on rank 0 only.
      memory_gb: see `MemoryOptions`.
    Returns: dict of counts, which the closing table shows.
    Raises: InputError for missing or damaged input, when no document is left, or when another process writes the same
      output.
    """
    left_out = []
    paths = expand_with_folders(input_file, left_out)
    plan = make_plan(paths, output_file, options)
    folder, name = os.path.split(os.path.abspath(plan.outputs[0]))
    with contextlib.ExitStack() as held, make_team(plan, num_workers, use_mpi) as team:
        lock = RunLock(folder, name=f".{name}.lock", option="output_file", value=output_file)
        team.on_rank_0(lambda: _open(plan, held, lock))
        try:
            counts = _do_steps(plan, team, input_file, memory_gb)
        except InputError:  # a file that is mended or left out makes it another plan
            team.end_workers()
            if team.rank == 0:
                shutil.rmtree(plan.scratch, ignore_errors=True)
            raise
        if team.rank == 0:
            if left_out:
                report(f"left out of the folders: {len(left_out)} with other endings, such as {left_out[0]}")
            for line in summary_table(counts):
                report(line)
        return dict(counts)


def make_plan(paths, output_file, options):
    """Lay the work out; InputError for an output that cannot be written."""
    outputs = expand_outputs(output_file)
    for output in outputs:
        if os.path.abspath(output) in map(os.path.abspath, paths):
            raise InputError("is one of the input files", "choose another name", name="output_file", value=output)
        check_place(output, "output_file")
    files = [(path, os.path.getsize(path), os.stat(path).st_mtime_ns) for path in paths]
    described = json.dumps([FORMAT_VERSION, files, outputs, asdict(options)])
    folder, name = os.path.split(os.path.abspath(outputs[0]))
    return Plan(plan_units(paths, options.encoding), outputs, options, os.path.join(folder, f".{name}.preprocessing"),
                hashlib.sha256(described.encode()).hexdigest())


def _open(plan, held, lock):
    """Rank 0 keeps others out and makes the scratch folder, or finds the one of an interrupted run."""
    held.enter_context(lock)
    keep_work(plan.scratch, plan.fingerprint)


def _do_steps(plan, team, input_file, memory_gb):
    """All three steps; returns the counts."""
    _clean_units(plan, team)
    team.barrier()
    counts = team.on_rank_0(lambda: _decide(plan, input_file, memory_gb))
    missing = team.on_rank_0(lambda: [shard for shard in range(len(plan.outputs)) if not _is_written(plan, shard)])
    for _ in team.map(_write_shard, missing):
        pass
    team.barrier()
    team.on_rank_0(lambda: shutil.rmtree(plan.scratch))
    return counts


def _is_streamed(units, number, team):
    """Whether rank 0 reads a unit and has it cleaned by its processes, batch by batch.

    So it is with a pipe, which other processes do not have, and with files that cannot be cut when they are too few to
    go round.
    """
    if any(is_pipe(part.path) for part in units[number]):
        return True
    return len(units) < 2 * team.width and team.size == 1 and any(part.end is None for part in units[number])


def _clean_units(plan, team):
    """Read and clean all units; on a terminal, with a bar in bytes of the files read."""
    from tqdm import tqdm

    numbers = range(len(plan.units))
    streamed = [number for number in numbers if _is_streamed(plan.units, number, team)]
    others = sorted(set(numbers) - set(streamed))
    total = sum(size_of(part) for unit in plan.units for part in unit)
    with tqdm(total=total, unit="B", unit_scale=True, desc="clean", disable=None if team.rank == 0 else True) as bar:
        for number in streamed if team.rank == 0 else ():
            _clean_unit(plan, number, team.stream, bar.update)
        left = total - bar.n
        for _ in team.map(_clean_unit, others):
            bar.update(min(left * team.size // len(others), total - bar.n))
        bar.update(total - bar.n)


def _clean_unit(plan, number, run=None, progress=lambda num_bytes: None):
    """Read and clean a unit, unless an earlier run has done it.

    Args:
      run: like `OneProcess.stream`; None: all is done here.
      progress: called with how many bytes more of the files have been read.
    """
    path = plan.unit_paths[number]
    if unit_counts(path) is not None:
        return
    counts = collections.Counter()
    batches = _batches(_documents(plan.units[number], plan.options, counts, progress), counts)
    run = run or (lambda function, items: (function(plan, item) for item in items))
    write_unit(path, run(_clean_batch, batches), counts)


def _clean_batch(plan, documents):
    return clean_batch(documents, plan.options)


def _documents(unit, options, counts, progress):
    bad_lines = counts if options.skip_bad_lines else None
    for part in unit:
        span, size, characters = None if part.end is None else (part.start, part.end), size_of(part), 0
        for document in read_documents(part.path, options.text_field, options.encoding, bad_lines, span):
            yield document
            step = min(sum(map(len, document)) + len(document), size - characters)  # compressed files are smaller
            characters += step
            progress(step)
        progress(size - characters)


def _batches(documents, counts):
    """Lists of documents of about `BATCH_CHARACTERS` together; counts what comes in."""
    batch, size = [], 0
    for document in documents:
        counts.update(documents_in=1, lines_in=len(document), characters_in=sum(map(len, document)),
                      invalid_bytes=sum(line.count("\ufffd") for line in document))
        batch.append(document)
        size += sum(map(len, document))
        if size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _decide(plan, input_file, memory_gb):
    """Rank 0 finds the duplicates and lays out the shards, unless an earlier run has; returns all counts."""
    decision = load_note(plan.decision)
    if decision is None:
        counts = sum(map(unit_counts, plan.unit_paths), collections.Counter())
        decision = decide(plan.unit_paths, plan.scratch, len(plan.outputs), counts, plan.options, int(memory_gb * 1e9))
        if not counts["documents_out"]:
            raise InputError(f"no text is left after cleaning ({counts['documents_in']} documents read)",
                             "check the files and the filters", name="input_file", value=input_file)
        save_note(plan.decision, decision)
    return collections.Counter(decision["counts"])


def _is_written(plan, shard):
    return os.path.exists(plan.shard_note(shard)) and os.path.exists(plan.outputs[shard])


def _write_shard(plan, shard):
    starts = load_note(plan.decision)["starts"]
    write_shard(plan.outputs[shard], plan.unit_paths, starts[shard], starts[shard + 1])
    save_note(plan.shard_note(shard), True)
