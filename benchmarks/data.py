"""Speed and memory of bin/create_pretraining_data, beside SentencePiece alone on the same text; or of bin/preprocess.

    bin/benchmark data --input_file=news.txt --tokenizer=malay.model --num_workers=2
    bin/benchmark data --input_file=news.txt --tokenizer=malay.model --sizes=50,1000,8000 --repeats=1 --num_shards=2
    bin/benchmark data --command=preprocess --input_file=news.txt --sizes=50,1000,8000 --repeats=1

The command is run as a user runs it, on the text and on one document of it (start-up alone), and all its
processes are measured. With --sizes the text is repeated up to that many MB with other words, so that no two documents
are the same: peak memory must not grow with the text.
"""

import dataclasses
import functools
import os
import shutil
import tempfile
import time

from albert_hvd.data.records.manifest import read_manifest
from albert_hvd.data.text import cleaning, duplicates
from albert_hvd.data.text.corpus import plan_blocks, read_block
from albert_hvd.data.text.preprocess import CleaningOptions
from albert_hvd.data.text.sentences import split_sentences
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError
from albert_hvd.options import option
from albert_hvd.runtime.files import expand_input_files, whole_file
from benchmarks.command_usage import run_command
from benchmarks.flag_checks import check_least, check_scratch_dir
from benchmarks.repeated_text import repeat
from benchmarks.report import Report

# "ALBERT-brightmart-Bahasa"'s create-pretraining-data.py, as measured by others on 2 cores; not
# measured by this program.
PUBLISHED_MB_PER_SEC = {"news, 512/51, dupe_factor 5": "0.42 to 0.45 (549 MB of memory for 2.9 MB of text)",
                        "tweets, 512/51, dupe_factor 1": "0.37"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    command: str = option("create_pretraining_data", "the command to measure",
                          choices=("create_pretraining_data", "preprocess"))
    input_file: str = option(None, "text files, as bin/create_pretraining_data")
    tokenizer: str = option(None, "the SentencePiece .model file")
    max_seq_length: int = option(512, "positions of a record")
    max_predictions_per_seq: int = option(51, "most masked tokens of a record")
    dupe_factor: int = option(5, "how often each document is used")
    padding: bool = option(True, "with padding in the records, which texts of a line need much room for")
    num_workers: int = option(2, "processes")
    num_shards: int = option(1, "output files")
    sizes: str = option(None, "comma list of MB: repeat the text up to each size instead of taking it as it is")
    repeats: int = option(3, "runs of each line of the table; the one of the least CPU time is shown")
    scratch_dir: str = option(None,
        "where text and records of the benchmark go, and are deleted; default: the system's temporary folder")
    compare_published: bool = option(False, "name the old project's published speed below the table")


def run(options, command_folder):
    """Measure; `command_folder` holds the commands. Returns a `Report`; raises InputError for bad flags."""
    makes_records = options.command == "create_pretraining_data"
    for name in ("input_file", "tokenizer") if makes_records else ("input_file",):
        if not getattr(options, name):
            raise InputError(f"--{name} is missing; see bin/benchmark data --help")
    check_least(options, 1, "num_workers", "num_shards", "repeats")
    paths, sizes = expand_input_files(options.input_file), _parse_sizes(options.sizes)
    tokenizer = Tokenizer.from_file(options.tokenizer) if makes_records else None
    documents = [document for block in plan_blocks(paths) for document in read_block(block)[0]]
    if not documents:
        raise InputError(f"--input_file={options.input_file}: no text in it; give files with at least one sentence")
    report = Report("data", dataclasses.asdict(options))
    check_scratch_dir(options.scratch_dir)
    with tempfile.TemporaryDirectory(dir=options.scratch_dir, prefix="benchmark-data-") as folder:
        command = _Command(options, command_folder, folder)
        one_document = os.path.join(folder, "one.txt")
        _write_documents(one_document, documents[:1])
        start_up = command.measure("one document", [one_document])
        rows = [start_up]
        for size in sizes:
            text = os.path.join(folder, "text.txt")
            _write_texts(text, repeat(documents, size * 1_000_000))
            rows.append(command.measure(f"text repeated to {size:g} MB", [text]))
        if not sizes:
            rows.append(command.measure("the text", paths))
    for row in rows[1:]:
        row["MB/s"] = row["MB"] / row["wall s"]
        row["MB/s net"] = (row["MB"] - start_up["MB"]) / max(row["wall s"] - start_up["wall s"], 1e-9)
        row["MB/CPU-s net"] = (row["MB"] - start_up["MB"]) / max(row["CPU s"] - start_up["CPU s"], 1e-9)
        if makes_records:
            row["tokens/s"] = row["tokens"] / row["wall s"]
    for row in rows:
        row.pop("tokens", None)
    threads = sorted({1, options.num_workers}) if makes_records else []
    report.rows = rows + [_encode_alone(tokenizer, documents, number, options.repeats) for number in threads]
    report.notes = _notes(report.rows, rows, options)
    if not makes_records:
        report.notes.append(_steps_note(documents))
    return report


def _parse_sizes(text):
    try:
        sizes = [float(part) for part in (text or "").split(",") if part.strip()]
    except ValueError:
        sizes = [0.0]
    if any(not 0 < size < 1e6 for size in sizes):
        raise InputError(f"--sizes={text}: give MB of text, such as 10,200")
    return sizes


class _Command:
    """The command with the benchmark's settings."""

    def __init__(self, options, command_folder, folder):
        self._options, self._folder = options, folder
        self._program = os.path.join(command_folder, options.command)

    def measure(self, what, paths):
        """A row of the table: the run of least CPU time."""
        usages = []
        for number in range(self._options.repeats):
            output = os.path.join(self._folder, "made", str(number))
            usages.append(run_command([self._program, *self._flags(paths, output)]))
            made = sum(os.path.getsize(os.path.join(output, name)) for name in os.listdir(output))
            builds = read_manifest(output).get("builds", {})
            shutil.rmtree(output)
        usage = min(usages, key=lambda usage: usage.cpu_sec)
        return {"what": what, "MB": sum(map(os.path.getsize, paths)) / 1e6, "wall s": usage.wall_sec,
                "CPU s": usage.cpu_sec, "RSS sum MiB": usage.sum_mib, "RSS largest MiB": usage.largest_mib,
                "MB out": made / 1e6,
                **{"tokens": build["statistics"]["num_real_tokens"] for build in builds.values()}}

    def _flags(self, paths, output):
        options, names = self._options, ["num_workers"]
        if options.command == "create_pretraining_data":
            names += ["tokenizer", "max_seq_length", "max_predictions_per_seq", "dupe_factor", "padding"]
        shards = f"@{options.num_shards}" if options.num_shards > 1 else ""
        flags = {"input_file": ",".join(paths), "output_file": f"{output}/made{shards}",
                 **{name: getattr(options, name) for name in names}}
        return [f"--{name}={value}" for name, value in flags.items()]


def _encode_alone(tokenizer, documents, threads, repeats):
    """A row of the table: SentencePiece's batch encoding of the text's lines, in memory, and nothing else."""
    lines = [line for document in documents for line in document]
    mb = sum(len(line.encode("utf-8")) + 1 for line in lines) / 1e6
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        tokenizer.encode_lines(lines, threads)
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    cpu_sec, wall_sec = min(times)
    return {"what": f"SentencePiece alone, {threads} thread{'s' * (threads > 1)}", "MB": mb, "wall s": wall_sec,
            "CPU s": cpu_sec, "MB/s": mb / wall_sec, "MB/s net": mb / wall_sec, "MB/CPU-s net": mb / cpu_sec}


def _steps_note(documents):
    """What each step of cleaning takes, on the text in memory."""
    mb = sum(len(line.encode("utf-8")) + 1 for document in documents for line in document) / 1e6
    options, times, clock = CleaningOptions(), {}, time.process_time

    def timed(name, function):
        begin = clock()
        result = function()
        times[name] = clock() - begin
        return result

    lines = [line for document in documents for line in document]
    for name, step in cleaning.STEPS:
        if name in cleaning.REPLACING_STEPS:
            step = functools.partial(step, how=getattr(options, name))
        lines = timed(name, lambda: cleaning.apply_step(name, step, lines))
    lines = timed("collapse_spaces", lambda: list(map(cleaning.collapse_spaces, lines)))
    timed("split_sentences", lambda: list(map(split_sentences, lines)))
    duplicates.signature(["a"], 1)  # loads what it needs
    words = timed("words", lambda: list(map(duplicates.words_of, documents)))
    timed("exact_key", lambda: list(map(duplicates.exact_key, documents, words)))
    timed("signature", lambda: duplicates.signatures(words, options.near_duplicate_min_words))
    slowest = sorted(times, key=times.get, reverse=True)
    return (f"CPU seconds by step, {mb:.1f} MB in memory once: "
            + ", ".join(f"{name} {times[name]:.3f}" for name in slowest) + f"; together {sum(times.values()):.2f}.")


def _notes(all_rows, rows, options):
    last = rows[-1]
    notes = ["net: without the time of one document (start-up). RSS sum counts shared pages in every process."]
    if len(all_rows) > len(rows):
        floor = all_rows[len(rows)]
        share = (floor["CPU s"] / floor["MB"]) / (last["CPU s"] / last["MB"])
        net_ratio = floor["MB/CPU-s net"] / last["MB/CPU-s net"]
        notes.append(f"SentencePiece takes {100 * share:.0f} % of the command's CPU time; net, the command takes "
                     f"{net_ratio:.2f} times SentencePiece's CPU time.")
    free = options.num_workers * last["MB/CPU-s net"]
    notes.append(f"Calculated: {options.num_workers} cores with nothing else to do give {free:.2f} MB/s net.")
    if len(rows) > 2:
        notes.append(f"Peak RSS of all processes, {rows[-1]['what']} against {rows[1]['what']}: "
                     f"{rows[-1]['RSS sum MiB'] / rows[1]['RSS sum MiB']:.2f} times; MB per CPU second, net: "
                     f"{rows[-1]['MB/CPU-s net'] / rows[1]['MB/CPU-s net']:.2f} times.")
    if options.compare_published:
        notes += [f"Published, not measured here: the old script, {what}: {speed} MB/s."
                  for what, speed in PUBLISHED_MB_PER_SEC.items()]
    return notes


def _write_texts(path, texts):
    with whole_file(path, "scratch_dir", sync=False) as file:
        for text in texts:
            file.write(text.encode("utf-8") + b"\n")


def _write_documents(path, documents):
    _write_texts(path, ("\n".join(document) + "\n" for document in documents))
