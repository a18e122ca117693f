"""bin/pretrain --profile_steps on two ranks."""

import json

import pytest

from conftest import own_lines, run_command
from pretraining_runs import flags


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_two_ranks_leave_one_profile_and_one_timeline(training_files, tmp_path):
    result = run_command("pretrain", ranks=2, **flags(training_files, tmp_path, profile_steps="3:5"))
    assert result.returncode == 0, result.stderr
    profile, = (tmp_path / "profile" / "plugins" / "profile").glob("*/*.xplane.pb")
    assert b"step_num" in profile.read_bytes()
    events = json.loads((tmp_path / "profile" / "horovod_timeline.json").read_text())
    assert "ALLREDUCE" in {event.get("name") for event in events}
    assert json.loads((tmp_path / "flags.json").read_text())["profile_steps"] == "3:5"


def test_a_wrong_flag_is_one_line(training_files, tmp_path):
    result = run_command("pretrain", **flags(training_files, tmp_path, profile_steps="5:3"))
    assert result.returncode == 2, result.stderr
    assert own_lines(result, "pretrain") == ["--profile_steps=5:3: give the first and the last step, such as 10:20"]
