"""SIGTERM, SIGUSR1, SIGINT (Ctrl-C) to a rank or to horovodrun: exit code 75; the same command goes on."""

import os
import signal
import time

import psutil
import pytest

from albert_hvd.run_folder.checkpoints import CheckpointFolder, find_checkpoint
from background_run import PATIENT
from conftest import command_environment, run_command
from pretraining_runs import (eval_log, flags, ranks_of, start, start_and_wait_for_step, status, train_log,
                              wait_until)
from terminals import TerminalOfItsOwn

FOREVER = 1000000

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci")]


def assert_stopped(process, output_dir):
    """The run ends with 75 and no traceback; returns its output."""
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert "Traceback" not in errors
    stopped = status(output_dir)
    assert stopped["state"] == "stopped"
    assert f"stopped at step {stopped['step']}" in output
    return output


@pytest.mark.parametrize("number, rank, times", [(signal.SIGTERM, 1, 1), (signal.SIGUSR1, 0, 3),
                                                  (signal.SIGINT, 1, 1)])
def test_a_signal_to_any_rank_stops_all_with_a_checkpoint(training_files, tmp_path, number, rank, times):
    process = start_and_wait_for_step(3, 2, flags(training_files, tmp_path, num_train_steps=FOREVER,
                                                  save_checkpoints_steps=FOREVER))
    target = ranks_of(process)[rank]
    for _ in range(times):
        target.send_signal(number)
    assert_stopped(process, tmp_path)
    step = status(tmp_path)["step"]
    assert os.listdir(tmp_path / "checkpoints") == [f"step_{step:08d}"]
    assert train_log(tmp_path)[-1]["step"] == step


def test_ctrl_c_of_a_terminal_reaches_ranks_one_after_the_other(training_files, tmp_path):
    process = start_and_wait_for_step(3, 2, flags(training_files, tmp_path, num_train_steps=FOREVER,
                                                  save_checkpoints_steps=FOREVER))
    for rank in reversed(ranks_of(process)):
        rank.send_signal(signal.SIGINT)
        time.sleep(0.05)
    assert_stopped(process, tmp_path)
    assert status(tmp_path)["reason"] in ("SIGINT", "signal to another rank")


# Loaded by every Python: each file of a checkpoint takes so long to reach the disk.
SLOW_DISK = """
import os, time

def fsync(file, fsync=os.fsync):
    if "/checkpoints/" in os.readlink(f"/proc/self/fd/{{file}}"):
        time.sleep({seconds})
    fsync(file)

os.fsync = fsync
"""


def environment_with_a_slow_disk(folder, seconds):
    (folder / "slow").mkdir()
    (folder / "slow" / "sitecustomize.py").write_text(SLOW_DISK.format(seconds=seconds))
    return {**command_environment(), **PATIENT, "PYTHONPATH": str(folder / "slow")}


@pytest.mark.parametrize("way", ["Ctrl-C", "SIGTERM"])
def test_ctrl_c_and_sigterm_to_horovodrun_save_however_long_it_takes(training_files, tmp_path, way):
    """mpirun itself leaves the ranks a second."""
    output_dir = tmp_path / "run"
    run_flags = flags(training_files, output_dir, num_train_steps=FOREVER, save_checkpoints_steps=FOREVER)
    with TerminalOfItsOwn() as terminal:
        process = start_and_wait_for_step(2, 2, run_flags, **terminal.options,
                                          env=environment_with_a_slow_disk(tmp_path, seconds=1.5))
        if way == "Ctrl-C":
            terminal.type(b"\x03")
        else:
            process.send_signal(signal.SIGTERM)
        assert_stopped(process, output_dir)
    step = status(output_dir)["step"]
    assert os.listdir(output_dir / "checkpoints") == [f"step_{step:08d}"]
    result = run_command("pretrain", **{**run_flags, "num_train_steps": step + 1})
    assert f"resuming at step {step}" in result.stdout, result.stderr


def test_ctrl_c_twice_in_front_of_horovodrun_ends_all_without_saving(training_files, tmp_path):
    output_dir = tmp_path / "run"
    with TerminalOfItsOwn() as terminal:
        process = start_and_wait_for_step(
            2, 2, flags(training_files, output_dir, num_train_steps=FOREVER, save_checkpoints_steps=FOREVER),
            **terminal.options, env=environment_with_a_slow_disk(tmp_path, seconds=1000))
        parts = psutil.Process(process.pid).children(recursive=True)
        assert {rank.pid for rank in ranks_of(process)} < {part.pid for part in parts}
        terminal.type(b"\x03")
        wait_until(lambda: any((output_dir / "checkpoints").glob(".unfinished*")), process, "the checkpoint")
        time.sleep(0.5)
        terminal.type(b"\x03")
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "Ctrl-C again: ended at once, without a checkpoint" in errors.splitlines()
    assert psutil.wait_procs(parts, timeout=60)[1] == []
    assert not any((output_dir / "checkpoints").glob("step_*"))


def test_a_killed_horovodrun_leaves_no_process_behind(training_files, tmp_path):
    process = start(2, flags(training_files, tmp_path, num_train_steps=FOREVER))
    wait_until(lambda: len(ranks_of(process)) == 2, process, "two ranks")
    parts = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    assert psutil.wait_procs(parts, timeout=60)[1] == []
    process.communicate()


def handles_sigterm(process):
    """Whether a process has a handler of its own for SIGTERM."""
    with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
        caught = next(line for line in file if line.startswith("SigCgt:")).split()[1]
    return int(caught, 16) >> (signal.SIGTERM - 1) & 1


def test_a_signal_while_tensorflow_loads_stops_before_the_first_update(training_files, tmp_path):
    process = start(2, flags(training_files, tmp_path))
    ranks = wait_until(lambda: len(ranks_of(process)) == 2 and ranks_of(process), process, "two ranks")
    wait_until(lambda: handles_sigterm(ranks[1]), process, "its signal handler")
    ranks[1].send_signal(signal.SIGTERM)
    assert "there is no checkpoint yet" in assert_stopped(process, tmp_path)
    assert train_log(tmp_path) == []


def many_times(path, folder):
    """A pattern of so many records that an evaluation takes far longer than it takes to send a signal."""
    many = folder / "many"
    many.mkdir()
    for number in range(2000):
        os.link(path, many / f"{number}.tfrecord")
    return f"{many}/*.tfrecord"


def test_the_last_evaluation_is_made_up_for_and_stands_in_the_log_once(training_files, tmp_path):
    held_out, output_dir = f"{training_files}/eval.tfrecord", tmp_path / "run"
    run_flags = flags(training_files, output_dir, num_train_steps=2, num_warmup_steps=0, eval_every_steps=2,
                      eval_batch_size=2)
    process = start_and_wait_for_step(2, 0, {**run_flags, "eval_input_file": many_times(held_out, tmp_path)})
    process.send_signal(signal.SIGUSR1)
    assert_stopped(process, output_dir)
    assert (status(output_dir)["step"], eval_log(output_dir)) == (2, [])
    # As a kill leaves it between the log and the checkpoint.
    (output_dir / "eval_log.jsonl").write_text('{"step": 2, "loss": 99.0}\n')
    result = run_command("pretrain", **run_flags, eval_input_file=held_out)
    assert result.returncode == 0 and "finished: step 2" in result.stdout, result.stderr
    assert status(output_dir)["state"] == "finished"
    (evaluation,) = eval_log(output_dir)
    assert evaluation["step"] == 2 and evaluation["loss"] < 99
    state = CheckpointFolder(str(output_dir / "checkpoints")).newest_valid()
    assert (state["step"], state["evaluations"]["best_loss"]) == (2, evaluation["loss"])
    assert find_checkpoint(str(output_dir / "checkpoints" / "best.json"), "x").endswith("step_00000002")
    result = run_command("pretrain", **run_flags, eval_input_file=held_out)
    assert "nothing to do" in result.stdout and eval_log(output_dir) == [evaluation]


def test_a_signal_gives_up_an_evaluation_that_is_made_up_for_later(training_files, tmp_path):
    held_out = f"{training_files}/eval.tfrecord"
    run_flags = flags(training_files, tmp_path, num_train_steps=2, num_warmup_steps=0, eval_every_steps=1,
                      eval_batch_size=2)
    process = start_and_wait_for_step(1, 2, {**run_flags, "eval_input_file": many_times(held_out, tmp_path)})
    ranks_of(process)[1].send_signal(signal.SIGUSR1)
    assert_stopped(process, tmp_path)
    assert (status(tmp_path)["step"], eval_log(tmp_path)) == (1, [])
    result = run_command("pretrain", **run_flags, eval_input_file=held_out)
    assert result.returncode == 0, result.stderr
    assert [record["step"] for record in eval_log(tmp_path)] == [1, 2]
