"""The files in which a run says how far it is: `train_log.jsonl`, `eval_log.jsonl`, `status.json`. Rank 0 only."""

import json
import os
import time

from albert_hvd.errors import InputError, RunFailed, parameter
from albert_hvd.run_folder.layout import STATUS
from albert_hvd.runtime.files import whole_file


class JsonLines:
    """A file with a JSON object a line, which a resumed run continues.

    Records of steps after `last_step` and a line that was cut off in the middle, which an interrupted run
    may have left, are removed, so that no step stands there twice. Raises InputError when the file cannot
    be written.
    """

    def __init__(self, path, last_step):
        if os.path.exists(path):
            kept = [json.dumps(record) for record in read_log(path) if record["step"] <= last_step]
            write_atomically(path, "".join(line + "\n" for line in kept))
        # Unbuffered: the line of a step survives a kill if its checkpoint does, which is written later.
        try:
            self._file = open(path, "ab", buffering=0)
        except OSError as error:
            raise InputError(cannot_write(path, error.strerror)) from None

    def write(self, record):
        """Append a record. Raises RunFailed when the disk is full."""
        line = json.dumps(record).encode("utf-8") + b"\n"
        try:
            reason = "" if self._file.write(line) == len(line) else "No space left on device"
        except OSError as error:
            reason = error.strerror
        if reason:
            raise RunFailed(cannot_write(self._file.name, reason))

    def close(self):
        self._file.close()


def cannot_write(path, reason):
    """The line for a file of the run's folder that could not be written."""
    return f"{parameter('output_dir')}: cannot write to {path} ({reason}); make room, then run the same command again"


def read_log(path):
    """The records of a `train_log.jsonl` or `eval_log.jsonl`, a list of dicts; torn or damaged lines are left out."""
    records = []
    with open(path, "rb") as file:
        for line in file:
            try:
                record = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(record, dict) and isinstance(record.get("step"), int):
                records.append(record)
    return records


def write_status(output_dir, state, step, reason=""):
    """Write `status.json`: state is running, finished, stopped or failed."""
    text = json.dumps({"state": state, "step": step, "reason": reason, "time": time.time()})
    write_atomically(os.path.join(output_dir, STATUS), text + "\n")


def write_atomically(path, text):
    """Write a small text file so that readers see the old one or the new one, never a part."""
    with whole_file(path, "output_dir") as file:
        file.write(text.encode("utf-8"))
