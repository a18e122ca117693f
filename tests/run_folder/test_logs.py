"""train_log.jsonl and eval_log.jsonl over interruptions, and what a full disk does to them."""

import errno

import pytest

from albert_hvd.errors import RunFailed
from albert_hvd.run_folder import logs
from albert_hvd.run_folder.logs import read_log
from albert_hvd.training.console import TrainLog

KEYS = ("loss", "masked_lm_loss", "sentence_loss", "masked_lm_accuracy", "learning_rate", "grad_norm",
        "sequences_per_sec", "real_tokens_per_sec", "data_wait_fraction", "elapsed_sec")


def record(step):
    return {"step": step, **dict.fromkeys(KEYS, float(step))}


def write_run(folder, first_step, last_step):
    """The log of a run from `first_step`, with an evaluation at every even step."""
    log = TrainLog(str(folder), first_step, first_step / 10, total=10, unit="step")
    for step in range(first_step + 1, last_step + 1):
        log.write(record(step), step / 10)
        if step % 2 == 0:
            log.write_evaluation(step, {"loss": 1.0})
    log.close()


def steps_in(folder, name):
    return [line["step"] for line in read_log(folder / name)]


@pytest.mark.parametrize("torn", ["", '{"step": 7, "lo'])
def test_a_resumed_run_has_each_step_once(tmp_path, torn):
    write_run(tmp_path, 0, 6)
    for name in ("train_log.jsonl", "eval_log.jsonl"):
        with open(tmp_path / name, "a", encoding="utf-8") as file:
            file.write(torn)
    write_run(tmp_path, 3, 8)
    assert steps_in(tmp_path, "train_log.jsonl") == list(range(1, 9))
    assert steps_in(tmp_path, "eval_log.jsonl") == [2, 4, 6, 8]


def test_lines_are_in_the_file_at_once(tmp_path):
    log = TrainLog(str(tmp_path), 0, 0.0, total=10, unit="step")
    log.write(record(1), 0.1)
    assert steps_in(tmp_path, "train_log.jsonl") == [1]
    log.close()


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    log = TrainLog(str(tmp_path), 0, 0.0, total=10, unit="step")

    class FullDisk:
        name = "train_log.jsonl"

        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self):
            pass

    monkeypatch.setattr(log._records, "_file", FullDisk())
    with pytest.raises(RunFailed, match="train_log.jsonl .No space left on device.*make room"):
        log.write(record(1), 0.1)
    log.close()


def test_status_is_replaced_whole(tmp_path):
    logs.write_status(str(tmp_path), "running", 1)
    logs.write_status(str(tmp_path), "failed", 2, "rank 1: gone")
    status = read_log(tmp_path / "status.json")[0]
    assert (status["state"], status["step"], status["reason"]) == ("failed", 2, "rank 1: gone")
