"""Whether a job whose command has ended goes back into the queue; called by slurm/launch.sh.

    requeueing.py begin OUTPUT_DIR JOB_ID
    requeueing.py end OUTPUT_DIR EXIT_CODE SIGNALS MAX_CRASHES

`end` prints the reason in one line and exits with 0 for "requeue", with 1 for "do not". The run's own
`status.json` decides where there is one of this start, since a launcher may lose the exit code of the ranks.
`requeueing.json` in the same folder counts crashes in a row that brought no new checkpoint.
"""

import json
import os
import re
import sys

BAD_INPUT, STOPPED = 2, 75


def begin(folder, job_id):
    """Note where the run stands before the command starts. The count of crashes is that of one job."""
    before = _read(_notes_path(folder))
    notes = {"job_id": job_id, "crashes": before.get("crashes", 0) if before.get("job_id") == job_id else 0,
             "checkpoint": before.get("checkpoint", -1), "status_before": _read(_status_path(folder))}
    _write(_notes_path(folder), notes)


def end(folder, exit_code, signals, max_crashes):
    """Decide, and note a crash.

    Args:
      exit_code: the launcher's.
      signals: how many signals to stop Slurm has sent.
      max_crashes: crashes in a row without a new checkpoint that are requeued.

    Returns:
      (whether to requeue, the reason).
    """
    notes, status = _read(_notes_path(folder)), _read(_status_path(folder))
    if status == notes.get("status_before"):
        status = {}  # of an earlier start: this one ended before it wrote its own
    state, step = status.get("state"), status.get("step")
    if state == "finished" or (state is None and exit_code == 0 and not signals):
        return False, "finished"
    if exit_code == BAD_INPUT:
        return False, "bad flags or input, see above: not requeued"
    if state == "stopped" or exit_code == STOPPED or signals:
        return True, "requeued: " + (f"stopped at step {step}" if state == "stopped" else "stopped by a signal")
    newest = newest_checkpoint(folder)
    crashes = 1 if newest > notes.get("checkpoint", -1) else notes.get("crashes", 0) + 1
    _write(_notes_path(folder), {**notes, "checkpoint": newest, "crashes": crashes})
    what = f"crash {crashes} since the newest checkpoint (exit code {exit_code}{_reason(status)})"
    if crashes > max_crashes:
        return False, f"{what}: not requeued, since MAX_CRASHES={max_crashes} in slurm/cluster.env"
    return True, f"requeued: {what}"


def newest_checkpoint(folder):
    """The step of the newest checkpoint, or -1."""
    try:
        names = os.listdir(os.path.join(folder, "checkpoints"))
    except OSError:
        return -1
    return max((int(match.group(1)) for match in (re.fullmatch(r"step_(\d+)", name) for name in names) if match),
               default=-1)


def _reason(status):
    return f", {status['reason']}" if status.get("reason") else ""


def _status_path(folder):
    return os.path.join(folder, "status.json")


def _notes_path(folder):
    return os.path.join(folder, "requeueing.json")


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError):
        return {}


def _write(path, notes):
    partial = f"{path}.{os.uname().nodename}-{os.getpid()}.partial"
    with open(partial, "w", encoding="utf-8") as file:
        json.dump(notes, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


if __name__ == "__main__":
    action, output_dir, *values = sys.argv[1:]
    if action == "begin":
        begin(output_dir, *values)
    else:
        requeue, line = end(output_dir, *map(int, values))
        print(line)
        sys.exit(not requeue)
