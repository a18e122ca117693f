"""A long run: memory, files and threads of every rank stay as they are, and the logs grow by the line."""

import json

import numpy as np
import psutil
import pytest

from albert_hvd.run_folder.checkpoints import CheckpointFolder
from pretraining_runs import flags, json_lines, logged_lines, ranks_of, start, status, wait_until

pytestmark = [pytest.mark.tier("ci"), pytest.mark.timeout(7200)]

RECORDS, BATCH = 41, 12
LOGGED, SAVED = 400, 40  # log lines and checkpoints of a run
# TensorFlow, Horovod and the allocator come to rest in the first quarter. From the middle of the second quarter to the
# middle of the last, 10000 of 20000 steps, a hundred bytes a step are this much; so are 5 KiB a log line.
GROWTH_BYTES = 1 << 20


def observe(rank):
    """(resident bytes, open files, threads) of a process."""
    with rank.oneshot():
        return rank.memory_info().rss, rank.num_fds(), rank.num_threads()


def run_and_observe(ranks, run_flags):
    """Run to the end; returns what was seen meanwhile, each time at a new log line: int64 (times, ranks, 3)."""
    seen = []
    process = start(ranks, run_flags)
    found = wait_until(lambda: logged_lines(run_flags["output_dir"]) and ranks_of(process), process, "a log line", 1800)

    def is_over():
        if logged_lines(run_flags["output_dir"]) > len(seen):
            try:
                seen.append([observe(rank) for rank in found])
            except psutil.NoSuchProcess:
                pass  # the last line is followed by the end
        return status(run_flags["output_dir"])["state"] == "finished"

    wait_until(is_over, process, "its end", timeout=7000)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    return np.array(seen, np.int64)


def quarters(values):
    """The medians of the four quarters of a series, along the first axis."""
    return np.array([np.median(part, axis=0) for part in np.array_split(values, 4)])


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=[pytest.mark.parallel, pytest.mark.tier("all")])])
def test_nothing_grows(training_files, tmp_path, fault_trials, request, ranks):
    steps = 20000 if request.config.getoption("--faults") else 400
    for _ in fault_trials(f"{steps} steps on {ranks} rank{'s' * (ranks > 1)}",
                          "memory, open files and threads of every rank constant, logs of constant lines"):
        seen = run_and_observe(ranks, flags(
            training_files, tmp_path, train_batch_size=BATCH, num_train_steps=steps, log_every_steps=steps // LOGGED,
            save_checkpoints_steps=steps // SAVED, keep_checkpoints=2,
            learning_rate=1e-3))  # known by heart after some hundred steps; more would diverge in the thousands
        usual = quarters(seen)
        print(f"resident MiB, open files and threads of each rank by quarters: {(usual / [2**20, 1, 1]).tolist()}")
        assert len(seen) > 10
        # A checkpoint that is being written has a file open.
        assert (usual[3] - usual[1] <= [GROWTH_BYTES, 1, 1]).all(), usual
        check_logs(tmp_path)
        checkpoints = CheckpointFolder(str(tmp_path / "checkpoints"))
        assert checkpoints.steps() == [steps - steps // SAVED, steps]
        assert checkpoints.newest_valid()["epoch"] == steps * BATCH // RECORDS


def check_logs(folder):
    """Each line and each TensorBoard record takes what the first ones took, within some digits."""
    lengths = [len(json.dumps(record)) for record in json_lines(folder, "train_log.jsonl")]
    assert LOGGED <= len(lengths) <= LOGGED + 1 and max(lengths) < 1.5 * min(lengths)  # and the line of step 1
    (events,) = (folder / "tensorboard").iterdir()
    assert events.stat().st_size < (LOGGED + 1) * 1000
