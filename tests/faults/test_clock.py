"""A wall clock that jumps: durations and steps do not depend on the time of day."""

import pytest

from command_server import CommandServer
from conftest import command_environment
from pretraining_runs import STEPS, flags, status, train_log

pytestmark = pytest.mark.tier("ci")

# Python imports a module of this name when it starts.
SITE = """
import random
import time

_clock, _luck = time.time, random.Random(1)
time.time = lambda: _clock() + _luck.uniform(-1e8, 1e8)
"""
LIMIT_SEC = 400


def test_a_run_under_a_clock_that_jumps(training_files, tmp_path, fault_trials):
    (tmp_path / "sitecustomize.py").write_text(SITE)
    with CommandServer({**command_environment(), "PYTHONPATH": str(tmp_path)}) as server:
        for trial in fault_trials("wall clock that jumps by up to three years", "durations and steps as ever",
                                  short=1, full=10):
            output_dir = tmp_path / str(trial)
            words = [f"--{flag}={value}" for flag, value in flags(training_files, output_dir).items()]
            result = server.run(["pretrain", *words], str(tmp_path), LIMIT_SEC)
            assert result.returncode == 0, result.stderr.decode()
            elapsed = [record["elapsed_sec"] for record in train_log(output_dir)]
            assert len(elapsed) == STEPS and elapsed == sorted(elapsed) and 0 < elapsed[0] and elapsed[-1] < LIMIT_SEC
            assert all(record["sequences_per_sec"] >= 0 for record in train_log(output_dir))
            jump_sec = status(output_dir)["time"] - (output_dir / "status.json").stat().st_mtime
            assert abs(jump_sec) > 60, "the clock did not jump"
