"""`flags_history.jsonl`: with which flags which updates of a run were made, over all resumptions. Rank 0 only.

A JSON object a line: `step`, after which these flags hold; `time`, in seconds since 1970; `flags`, all of them.
"""

import json
import os
import time

from albert_hvd.errors import parameter
from albert_hvd.run_folder.layout import FLAGS, FLAGS_HISTORY
from albert_hvd.run_folder.logs import read_log, write_atomically
from albert_hvd.runtime.files import read_json_object

# Where a folder lies has no influence; the others follow from flags and machine.
_NOT_SHOWN = ("output_dir", "micro_batch_size", "python")
_NO_FLAGS = {"size": "ranks"}  # what they are called


def note_flags(output_dir, step, flags):
    """Note the flags of a start.

    Those of starts whose updates were all lost are forgotten: a run that was killed goes on at an earlier step.

    Args:
      output_dir: the run's folder; `flags.json` in it is still that of the start before.
      step: updates made so far.
      flags: dict of JSON-able values.

    Returns:
      A line that says what is different from the flags of the updates so far; "" for nothing.

    Raises:
      InputError: the folder cannot be written.
    """
    path = os.path.join(output_dir, FLAGS_HISTORY)
    flags = json.loads(json.dumps(flags))  # as they will be read
    entries = [entry for entry in _read(path) if entry["step"] < step]
    if not entries and step and (before := read_json_object(os.path.join(output_dir, FLAGS))):
        entries = [{"step": 0, "time": None, "flags": before}]  # of a version that kept no history
    changes = _changes(entries[-1]["flags"], flags) if entries else []
    if changes or not entries:
        entries.append({"step": step, "time": time.time(), "flags": flags})
    write_atomically(path, "".join(json.dumps(entry) + "\n" for entry in entries))
    return f"changed since step {entries[-2]['step']}: {', '.join(changes)}" if changes else ""


def _read(path):
    entries = read_log(path) if os.path.exists(path) else []
    return [entry for entry in entries if isinstance(entry.get("flags"), dict)]


def _changes(before, now):
    """Words such as "seed 1 -> 2"; flags that another version has no name for are left out."""
    return [f"{_NO_FLAGS.get(name) or parameter(name)} {_shown(before[name])} -> {_shown(value)}"
            for name, value in now.items()
            if name in before and name not in _NOT_SHOWN and before[name] != value]


def _shown(value):
    return "unset" if value is None else value if isinstance(value, str) else json.dumps(value)
