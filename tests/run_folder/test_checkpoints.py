"""Checkpoints: whole or not there, verified, kept by number."""

import json
import os
import threading

import numpy as np
import pytest

from albert_hvd.errors import InputError, RunFailed
from albert_hvd.run_folder import checkpoints
from albert_hvd.run_folder.checkpoint_writer import CheckpointWriter
from albert_hvd.run_folder.checkpoints import CheckpointFolder, find_checkpoint, load_arrays

WEIGHTS = {"encoder/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(3, np.float32)}
SHAPES = {name: array.shape for name, array in WEIGHTS.items()}


@pytest.fixture
def folder(tmp_path):
    return CheckpointFolder(str(tmp_path / "checkpoints"), keep=2)


def contents(step):
    """The weights, slots and state that the tests save under a step."""
    return {**WEIGHTS, "bias": np.full(3, step, np.float32)}, {"m": np.ones(2)}, {"records_read": 10 * step}


def save(folder, step, best_step=None):
    folder.save(step, *contents(step), best_step)


def flip_a_bit(path):
    with open(path, "r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)[0]
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last ^ 1]))


def test_what_is_saved_is_loaded(folder):
    save(folder, 7)
    state = folder.newest_valid()
    assert (state["step"], state["records_read"]) == (7, 70)
    arrays = load_arrays(folder.path(7), checkpoints.WEIGHTS, SHAPES, "here")
    np.testing.assert_array_equal(arrays["encoder/kernel"], WEIGHTS["encoder/kernel"])
    np.testing.assert_array_equal(arrays["bias"], [7, 7, 7])


def test_the_newest_are_kept(folder):
    for step in (1, 2, 30):
        save(folder, step)
    assert folder.steps() == [2, 30]


@pytest.mark.parametrize("name", [checkpoints.WEIGHTS, checkpoints.OPTIMIZER, checkpoints.STATE])
@pytest.mark.parametrize("damage", [flip_a_bit, os.remove, lambda path: os.truncate(path, 10)])
def test_a_damaged_checkpoint_falls_back_with_a_warning(folder, name, damage, capsys):
    save(folder, 1)
    save(folder, 2)
    damage(os.path.join(folder.path(2), name))
    assert folder.newest_valid()["step"] == 1
    assert "step_00000002" in capsys.readouterr().err
    save(folder, 2)
    assert folder.newest_valid()["step"] == 2


def test_what_a_checkpoint_says_is_replaced_and_its_arrays_stay(folder, monkeypatch):
    save(folder, 1)
    save(folder, 2, best_step=1)
    folder.update_state(2, {"records_read": 21, "evaluations": {"best_step": 2}}, best_step=2)
    state = folder.newest_valid()
    assert (state["step"], state["records_read"], state["evaluations"]) == (2, 21, {"best_step": 2})
    assert find_checkpoint(os.path.join(folder.folder, "best.json"), "x") == folder.path(2)
    arrays = load_arrays(folder.path(2), checkpoints.WEIGHTS, SHAPES, "here")
    np.testing.assert_array_equal(arrays["bias"], [2, 2, 2])
    monkeypatch.setattr(checkpoints, "whole_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(RunFailed, match="state.json of the checkpoint of step 2 cannot be written.*No space left"):
        folder.update_state(2, {"records_read": 22}, best_step=2)
    assert folder.newest_valid() == state


@pytest.mark.parametrize("text", ["[1]", "null", "{}", '{"step": 2, "sha256": []}', '{"step": 2, "sha256": {}}',
                                  "[" * 100000])
def test_a_state_that_is_none_is_damage(folder, text, capsys):
    save(folder, 1)
    save(folder, 2)
    with open(os.path.join(folder.path(2), checkpoints.STATE), "w", encoding="utf-8") as file:
        file.write(text)
    assert folder.newest_valid()["step"] == 1
    assert "step_00000002" in capsys.readouterr().err
    with pytest.raises(InputError, match="^x=.*step_00000002 cannot be read"):
        find_checkpoint(folder.path(2), "x")


def test_all_damaged_is_an_error_not_a_new_start(folder):
    save(folder, 1)
    os.remove(os.path.join(folder.path(1), checkpoints.WEIGHTS))
    with pytest.raises(InputError, match="^output_dir: all 1 checkpoints"):
        folder.newest_valid()
    with pytest.raises(InputError, match="^init_checkpoint: all 1 checkpoints"):
        find_checkpoint(folder.folder, "init_checkpoint")


def test_an_interrupted_save_leaves_nothing_that_is_read(folder, monkeypatch):
    save(folder, 1)
    monkeypatch.setattr(checkpoints.os, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(folder, 2)
    monkeypatch.undo()
    assert folder.newest_valid()["step"] == 1
    folder.remove_unfinished()
    assert os.listdir(folder.folder) == ["step_00000001"]


def test_a_full_disk_is_reported_and_cleaned_up(folder, monkeypatch):
    save(folder, 1)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "save_file", full)
    with pytest.raises(RunFailed, match="No space left.*newest: step 1"):
        save(folder, 2)
    assert os.listdir(folder.folder) == ["step_00000001"]
    assert folder.newest_valid()["step"] == 1


def test_the_best_is_kept_and_named(folder):
    for step, best_step in ((1, None), (2, 2), (3, 2), (4, 2)):
        save(folder, step, best_step)
    assert folder.steps() == [2, 3, 4]
    best = os.path.join(folder.folder, "best.json")
    assert find_checkpoint(best, "x") == folder.path(2)
    save(folder, 5, best_step=5)
    assert folder.steps() == [4, 5]
    assert find_checkpoint(best, "x") == folder.path(5)
    folder.mark_best(3)  # as after a fall-back to a state whose best is gone
    assert not os.path.exists(best)


def test_weights_alone_are_a_checkpoint(folder):
    weights, _, state = contents(1)
    folder.save(1, weights, None, state)
    assert set(folder.newest_valid()["sha256"]) == {checkpoints.WEIGHTS}
    assert sorted(os.listdir(folder.path(1))) == [checkpoints.STATE, checkpoints.WEIGHTS]


class GatedFolder(CheckpointFolder):
    """Saves only once `gate` is set."""

    def __init__(self, folder):
        super().__init__(folder)
        self.gate = threading.Event()

    def save(self, *checkpoint):
        assert self.gate.wait(timeout=60)
        super().save(*checkpoint)


def test_a_writer_writes_behind_the_back_of_training(tmp_path):
    folder = GatedFolder(str(tmp_path))
    writer = CheckpointWriter(folder)
    writer.start(1, *contents(1), None)
    writer.check()
    assert folder.steps() == []
    folder.gate.set()
    writer.start(2, *contents(2), None)  # waits for the first
    assert 1 in folder.steps()
    writer.close()
    assert folder.steps() == [1, 2]
    assert writer.write_sec > 0


def test_a_writer_hands_its_failure_to_training(folder, monkeypatch):
    monkeypatch.setattr(checkpoints, "save_file", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left")))
    writer = CheckpointWriter(folder)
    writer.start(1, *contents(1), None)
    for meet in (writer.wait, writer.check, lambda: writer.start(2, *contents(2), None)):
        with pytest.raises(RunFailed, match="checkpoint of step 1 cannot be written"):
            meet()
    writer.close()


def test_every_array_that_does_not_fit_is_named(folder):
    save(folder, 1)
    shapes = {"encoder/kernel": (2, 4), "missing": (1,)}
    with pytest.raises(InputError) as error:
        load_arrays(folder.path(1), checkpoints.WEIGHTS, shapes, "init_checkpoint=x")
    for part in ("init_checkpoint=x", "encoder/kernel has shape (2, 3)", "missing is missing", "bias is unknown"):
        assert part in str(error.value)


def test_a_checkpoint_is_found_from_each_folder_a_user_may_name(folder):
    save(folder, 5)
    run = os.path.dirname(folder.folder)
    assert {find_checkpoint(path, "x") for path in (run, folder.folder, folder.path(5))} == {folder.path(5)}
    with pytest.raises(InputError, match="^x="):
        find_checkpoint(os.path.join(run, "nothing"), "x")


def test_state_is_readable_json_with_checksums(folder):
    save(folder, 3)
    with open(os.path.join(folder.path(3), checkpoints.STATE), encoding="utf-8") as file:
        assert set(json.load(file)["sha256"]) == {checkpoints.WEIGHTS, checkpoints.OPTIMIZER}
