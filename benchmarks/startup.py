r"""Start-up of the commands: seconds to their end on very little work, of bin/pretrain also to its first update.

    bin/benchmark startup --bert_config_file=albert_config/albert_config_tiny.json --cold

Each command is run as a user runs it: bin/pretrain, alone and under horovodrun, makes one update of random full rows,
which includes compiling the graph; bin/validate scores them; bin/fill_mask and bin/predict (with a head of random
weights) answer one line with the shipped model tiny-bahasa. With --cold each runs once more after the page cache has let
go of this program's and the environment's files. The second table is of one further run under Python's profiler, which
makes Python's share longer by up to a third: seconds in parts that do not overlap, in the thread that starts the command.
"""

import dataclasses
import os
import pstats
import shutil
import statistics
import sys
import tempfile
import time
from typing import NamedTuple

from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.run_folder.layout import TRAIN_LOG
from benchmarks.command_usage import run_command
from benchmarks.flag_checks import check_least, check_positions
from benchmarks.launcher import launch_words
from benchmarks.random_rows import num_predictions, random_rows
from benchmarks.report import Report
from benchmarks.shipped_model import MODEL, write_classifier

TEXT = "Kuala Lumpur ialah ibu <mask> Malaysia"
# What a command spends its time in -> (end of the file's name, function) of the profiler's entries whose time, with all
# that they call, is counted. None is called by another.
PARTS = {
    "TensorFlow's import s": [("packages/tensorflow/__init__.py", "<module>")],
    "MPI's start s": [("horovod/common/basics.py", "init")],
    "first weights s": [("training/resume.py", "restore"), ("formats/sources.py", "read_model"),
                        ("finetuning/task_model.py", "read_task_model"), ("run_folder/checkpoints.py", "restore_variables")],
    "tracing s": [("tracing_compilation.py", "trace_function")],
    "graphs' first calls s": [("~", "<built-in method tensorflow.python._pywrap_tfe.TFE_Py_Execute>")],
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    bert_config_file: str = option("albert_config/albert_config_tiny.json", "JSON file of the model's sizes")
    max_seq_length: int = option(128, "positions of a row")
    train_batch_size: int = option(16, "rows of the update")
    xla: bool = option(False, "as bin/pretrain")
    repeats: int = option(3, "runs; the median of each column is shown")
    cold: bool = option(False, "run each command without its files in the page cache as well")


class _Command(NamedTuple):
    """What is run: `name`, in tables; `launcher`, words; `program`, in bin/; `flags`; `input_path`; `log`, that is written
    at the first update, or None."""

    name: str
    launcher: list
    program: str
    flags: dict
    input_path: str = os.devnull
    log: str | None = None

    def words(self, command_folder, *interpreter):
        return [*self.launcher, *interpreter, os.path.join(command_folder, self.program),
                *(f"--{name}={value}" for name, value in self.flags.items())]


def run(options, command_folder):
    """Measure; `command_folder` holds the commands. Returns a `Report`; raises InputError for bad flags."""
    config = AlbertConfig.from_json_file(options.bert_config_file)
    check_least(options, 1, "repeats")
    check_positions(options.max_seq_length, config)
    report = Report("startup", dataclasses.asdict(options))
    parts = []
    with tempfile.TemporaryDirectory(prefix="benchmark-startup-") as folder:
        for command in _commands(options, config, folder):
            row = {"what": command.name}
            if options.cold:
                _forget_files(command_folder)
                row["cold s"] = _run_once(command, command_folder)["s"]
            figures = [_run_once(command, command_folder) for _ in range(options.repeats)]
            report.rows.append(row | {name: statistics.median(f[name] for f in figures) for name in figures[0]})
            if not command.launcher:
                parts.append({"what": command.name, **_parts(command, command_folder, folder)})
    report.sections["where the seconds go, under Python's profiler"] = parts
    return report


def _commands(options, config, folder):
    """The commands in an order in which each finds what it needs; yields `_Command`."""
    records = os.path.join(folder, "records.tfrecord")
    with RecordWriter(records) as writer:
        writer.write_batch(random_rows(config, options.train_batch_size, options.max_seq_length))
    shape = {"max_seq_length": options.max_seq_length, "max_predictions_per_seq": num_predictions(options.max_seq_length)}
    for what, launcher in (("bin/pretrain", []), ("horovodrun -np 1 bin/pretrain", launch_words(1))):
        output_dir = os.path.join(folder, f"run{len(launcher)}")
        flags = {**{name: getattr(options, name) for name in ("bert_config_file", "train_batch_size", "xla")}, **shape,
                 "input_file": records, "output_dir": output_dir, "num_train_steps": 1, "num_warmup_steps": 0}
        yield _Command(what, launcher, "pretrain", flags, log=os.path.join(output_dir, TRAIN_LOG))
    yield _Command("bin/validate", [], "validate", {"output_dir": output_dir, "input_file": records,
                                                  "bert_config_file": options.bert_config_file, **shape})
    lines = os.path.join(folder, "lines.txt")
    with open(lines, "w", encoding="utf-8") as file:
        file.write(TEXT + "\n")
    yield _Command("bin/fill_mask", [], "fill_mask", {"model": MODEL}, lines)
    write_classifier(os.path.join(folder, "task"))
    yield _Command("bin/predict", [], "predict", {"model": os.path.join(folder, "task")}, lines)


def _run_once(command, command_folder):
    """{column: value} of one run."""
    _begin_again(command)
    began = time.time()
    usage = run_command(command.words(command_folder), command.input_path)
    # The log's one line is written right after the update.
    first = {"to the first update s": os.stat(command.log).st_mtime - began} if command.log else {}
    return first | {"s": usage.wall_sec, "CPU s": usage.cpu_sec, "peak MiB": usage.largest_mib}


def _begin_again(command):
    """Remove the run of an earlier repeat, which would be resumed."""
    if command.log:
        shutil.rmtree(os.path.dirname(command.log), ignore_errors=True)


def _parts(command, command_folder, folder):
    """{part: seconds} of one run under the profiler."""
    profile = os.path.join(folder, "profile")
    _begin_again(command)
    run_command(command.words(command_folder, sys.executable, "-m", "cProfile", "-o", profile), command.input_path)
    stats = pstats.Stats(profile).stats  # {(file, line, function): (calls, all calls, own time, time with callees, ...)}
    total = sum(entry[2] for entry in stats.values())
    parts = {part: sum(entry[3] for (file, _, function), entry in stats.items()
                       if any(file.endswith(end) and function == name for end, name in places))
             for part, places in PARTS.items()}
    return {**parts, "the rest s": total - sum(parts.values()), "together s": total}


def _forget_files(command_folder):
    """Let the page cache go of all files of the environment and of this program."""
    for top in (sys.prefix, os.path.dirname(command_folder)):
        for folder, _, names in os.walk(top):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path) and not os.path.islink(path):
                    with open(path, "rb") as file:
                        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
