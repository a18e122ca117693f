"""What the folder of a run says of it: logs, flags, config, evaluations, the newest checkpoint.

Only `train_log.jsonl` must be there. A run that is still going on, was resumed, or lacks some of its
files is read as far as it goes.
"""

import dataclasses
import json
import math
import os

import numpy as np
from safetensors import SafetensorError, safe_open

from albert_hvd.errors import InputError, parameter
from albert_hvd.run_folder.checkpoints import STATE, WEIGHTS, CheckpointFolder
from albert_hvd.run_folder.layout import CONFIG, EVAL_LOG, EVAL_RESULTS, FLAGS, STATUS, TRAIN_LOG
from albert_hvd.runtime.files import read_json_object


@dataclasses.dataclass(frozen=True)
class Metrics:
    """The records of a log as columns.

    Attributes:
      steps: int64 (N,), ascending, each step once.
      columns: dict of name to float64 (N,), NaN where a record has no finite number.
    """

    steps: np.ndarray
    columns: dict

    def column(self, name):
        """The values of a metric, all NaN when the log does not have it."""
        return self.columns.get(name, np.full(len(self.steps), np.nan))

    def last(self, name):
        """The last finite value of a metric, or None."""
        finite = self.column(name)[np.isfinite(self.column(name))]
        return float(finite[-1]) if len(finite) else None


@dataclasses.dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
      folder: its path as the user gave it.
      label: a short name that no other run of the report has.
      training, held_out: `Metrics` of `train_log.jsonl` and `eval_log.jsonl`.
      flags, config, status, evaluation: what `flags.json`, `config.json`, `status.json` and
        `eval_results.json` hold; empty when there is no such file.
      checkpoint: `state.json` of the newest checkpoint; empty without one.
      num_parameters: of that checkpoint's weights; None without one.
    """

    folder: str
    label: str
    training: Metrics
    held_out: Metrics
    flags: dict
    config: dict
    status: dict
    evaluation: dict
    checkpoint: dict
    num_parameters: int | None


def read_runs(folders):
    """Read runs in the order given.

    Returns:
      list of `Run`.

    Raises:
      InputError: no folder was named, or one has no usable log.
    """
    if not folders:
        raise InputError(f"RUN_DIR is missing: name the {parameter('output_dir')} of one or several runs")
    return [_read_run(folder, label) for folder, label in zip(folders, distinct_labels(folders))]


def distinct_labels(folders):
    """The shortest endings of the paths that tell all of them apart; the same path twice gets a number."""
    parts = [os.path.abspath(folder).strip(os.sep).split(os.sep) for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        labels = ["/".join(path[-length:]) for path in parts]
        if len(set(labels)) == len(set(map(tuple, parts))):
            break
    return [f"{label} ({labels[:number].count(label) + 1})" if label in labels[:number] else label
            for number, label in enumerate(labels)]


def _read_run(folder, label):
    if not os.path.isdir(folder):
        raise InputError(f"RUN_DIR {folder}: no such folder", f"name the {parameter('output_dir')} of a run")
    checkpoint, num_parameters = _read_checkpoint(folder)
    return Run(folder, label, _read_training(os.path.join(folder, TRAIN_LOG)),
               _as_metrics(_read_records(os.path.join(folder, EVAL_LOG))[0]),
               flags=read_json_object(os.path.join(folder, FLAGS)),
               config=read_json_object(os.path.join(folder, CONFIG)),
               status=read_json_object(os.path.join(folder, STATUS)),
               evaluation=read_json_object(os.path.join(folder, EVAL_RESULTS)),
               checkpoint=checkpoint, num_parameters=num_parameters)


def _read_training(path):
    if not os.path.exists(path):
        raise InputError("no such file", f"name the {parameter('output_dir')} of a run that has trained", value=path)
    records, num_lines = _read_records(path)
    if not records:
        found = f"none of its {num_lines} lines is a record of a step" if num_lines else "it is empty"
        raise InputError(found, f"name the {parameter('output_dir')} of a run that has trained for a step",
                         value=path)
    return _as_metrics(records)


def _read_records(path):
    """(records, number of lines) of a log; ([], 0) without one. Lines that are no records are left out.

    A step that is not above the one before is where a run was resumed: it replaces what came after.
    """
    records, num_lines = [], 0
    if not os.path.exists(path):
        return records, num_lines
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for num_lines, line in enumerate(file, start=1):
                record = _parse_record(line)
                while record and records and records[-1]["step"] >= record["step"]:
                    records.pop()
                records += [record] if record else []
    except OSError as error:
        raise InputError(f"cannot read it ({error.strerror})", "fix that or name another run", value=path) from None
    return records, num_lines


def _as_metrics(records):
    names = dict.fromkeys(name for record in records for name in record if name != "step")
    return Metrics(np.array([record["step"] for record in records], np.int64),
                   {name: np.array([_number(record.get(name)) for record in records]) for name in names})


def _parse_record(line):
    """The dict of one line of a log, or None when it is cut off or something else."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    is_record = isinstance(record, dict) and type(record.get("step")) is int and 0 <= record["step"] < 2**63
    return record if is_record else None


def _number(value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if is_number else math.nan


def _read_checkpoint(folder):
    """(state, number of parameters) of the newest checkpoint; ({}, None) without one.

    Its checksums are not looked at: a report must not read gigabytes.
    """
    checkpoints = CheckpointFolder(os.path.join(folder, "checkpoints"))
    steps = checkpoints.steps()
    if not steps:
        return {}, None
    path = checkpoints.path(steps[-1])
    try:
        with safe_open(os.path.join(path, WEIGHTS), framework="numpy") as weights:
            num_parameters = sum(math.prod(weights.get_slice(name).get_shape()) for name in weights.keys())
    except (OSError, SafetensorError):
        num_parameters = None
    return read_json_object(os.path.join(path, STATE)), num_parameters
