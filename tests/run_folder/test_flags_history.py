"""What was changed between the starts of a run, and from which step on."""

import json

import pytest

from albert_hvd.errors import parameters_as_flags
from albert_hvd.run_folder.flags_history import note_flags

FLAGS = {"learning_rate": 0.02, "precision": "float32", "eval_input_file": None, "output_dir": "a", "size": 1,
         "micro_batch_size": 3, "python": "3.11.7"}


def history(folder):
    return [json.loads(line) for line in (folder / "flags_history.jsonl").read_text().splitlines()]


def steps(folder):
    return [(entry["step"], entry["flags"]["learning_rate"]) for entry in history(folder)]


def note(folder, step, **changes):
    with parameters_as_flags():
        return note_flags(str(folder), step, {**FLAGS, **changes})


def test_changes_are_said_and_kept(tmp_path):
    assert note(tmp_path, 0) == ""
    assert note(tmp_path, 10) == ""
    assert note(tmp_path, 20, output_dir="elsewhere/a", micro_batch_size=2, python="3.12.0") == ""
    assert note(tmp_path, 30, learning_rate=0.01, eval_input_file="e.tfrecord", size=2) == (
        "changed since step 0: --learning_rate 0.02 -> 0.01, --eval_input_file unset -> e.tfrecord, ranks 1 -> 2")
    assert note(tmp_path, 40, learning_rate=0.01, eval_input_file="e.tfrecord", size=2) == ""
    assert note(tmp_path, 50) == (
        "changed since step 30: --learning_rate 0.01 -> 0.02, --eval_input_file e.tfrecord -> unset, ranks 2 -> 1")
    assert steps(tmp_path) == [(0, 0.02), (30, 0.01), (50, 0.02)]
    assert history(tmp_path)[1]["flags"] == {**FLAGS, "learning_rate": 0.01, "eval_input_file": "e.tfrecord", "size": 2}


@pytest.mark.parametrize("step, line", [(0, ""), (20, "changed since step 0: --learning_rate 0.02 -> 0.01"),
                                        (25, "")])
def test_a_start_of_which_no_update_is_left_is_forgotten(tmp_path, step, line):
    note(tmp_path, 0)
    note(tmp_path, 20, learning_rate=0.01)
    assert note(tmp_path, step, learning_rate=0.01) == line
    assert steps(tmp_path) == ([(0, 0.01)] if step == 0 else [(0, 0.02), (20, 0.01)])


def test_runs_of_older_versions_have_flags_json_alone(tmp_path):
    (tmp_path / "flags.json").write_text(json.dumps({"learning_rate": 0.5, "gone": 1}))
    assert note(tmp_path, 7) == "changed since step 0: --learning_rate 0.5 -> 0.02"
    assert steps(tmp_path) == [(0, 0.5), (7, 0.02)]


def test_damaged_lines_are_left_out(tmp_path):
    note(tmp_path, 0)
    with open(tmp_path / "flags_history.jsonl", "a", encoding="utf-8") as file:
        file.write('{"step": 3}\n{"step": 4, "flags"')
    assert note(tmp_path, 5) == "" and steps(tmp_path) == [(0, 0.02)]
