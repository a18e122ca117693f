"""Disks that are full or may only be read: one clear line, what was there before intact, and on it goes with room."""

import json
import random
import subprocess

import numpy as np
import pytest

from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.text.preprocess import CleaningOptions, preprocess
from albert_hvd.data.text.tokenizer_training import train
from albert_hvd.errors import InputError, RunFailed
from albert_hvd.run_folder.checkpoints import CheckpointFolder, verified_state
from albert_hvd.run_folder.logs import read_log, write_status
from albert_hvd.training.console import TrainLog
from conftest import command_environment, command_words, own_lines, run_command
from pretraining_runs import STEPS, flags, json_lines, train_log, weights, without_clock
from small_corpus import make_documents, make_tokenizer, write_documents
from small_disks import PAGE, SmallDisk, can_unshare, files_in, with_full_shared_memory

LOGGED = ("loss", "masked_lm_loss", "sentence_loss", "masked_lm_accuracy", "learning_rate", "grad_norm",
          "sequences_per_sec", "real_tokens_per_sec", "data_wait_fraction", "elapsed_sec")


@pytest.fixture
def small_disk(tmp_path):
    disk = SmallDisk(tmp_path / "small_disk")
    yield disk
    disk.unmount()


def pages_of(files):
    """How many pages the values of {name: bytes} take on a disk."""
    return sum(-(-len(data) // PAGE) for data in files.values())


def save(checkpoints, step):
    """Some thirty pages in three files."""
    weights = {"kernel": np.full((64, 128), step, np.float32)}
    slots = {f"kernel/{moment}": np.full((64, 128), step / 2, np.float32) for moment in ("first", "second")}
    checkpoints.save(step, weights, slots, {"records_read": 10 * step}, best_step=1)


def test_a_checkpoint_on_a_full_disk(small_disk, fault_trials):
    reference = CheckpointFolder(str(small_disk.folder / "reference"))
    save(reference, 1)
    pages = small_disk.used()
    luck = random.Random(1)
    for _ in fault_trials("disk full in a checkpoint", "one line, the one before intact, saved once there is room",
                          short=20, full=300):
        small_disk.clear()
        checkpoints = CheckpointFolder(str(small_disk.folder / "checkpoints"))
        save(checkpoints, 1)
        before = files_in(small_disk.folder)
        small_disk.leave(luck.randrange(pages - 2))  # best.json comes when the checkpoint has its name already
        with pytest.raises(RunFailed, match="No space left on device.*newest: step 1.*make room"):
            save(checkpoints, 2)
        assert files_in(small_disk.folder) == before and checkpoints.newest_valid()["step"] == 1
        small_disk.make_room()
        save(checkpoints, 2)
        assert checkpoints.newest_valid()["records_read"] == 20


def write_logs(folder, first_step, last_step):
    """What rank 0 of a run writes beside its checkpoints."""
    log = TrainLog(str(folder), first_step, first_step / last_step, total=last_step, unit="step")
    try:
        write_status(str(folder), "running", first_step)
        for step in range(first_step + 1, last_step + 1):
            log.write({"step": step, **dict.fromkeys(LOGGED, step / 7)}, step / last_step)
            if step % 2 == 0:
                log.write_evaluation(step, {"loss": step / 7})
        write_status(str(folder), "finished", last_step)
    finally:
        log.close()


def test_logs_on_a_full_disk(small_disk, fault_trials, tmp_path):
    write_logs(tmp_path, 0, 40)
    luck = random.Random(2)
    for _ in fault_trials("disk full in a log, TensorBoard or status.json",
                          "one line, no line torn or lost after the restart", short=10, full=100):
        small_disk.clear()
        write_logs(small_disk.folder, 0, 10)
        before = json.loads((small_disk.folder / "status.json").read_text())
        small_disk.leave(luck.randrange(6))
        with pytest.raises((RunFailed, InputError), match="^output_dir.*No space left on device.*make room"):
            for _ in range(100):  # each time with a TensorBoard file more
                write_logs(small_disk.folder, 10, 40)
        status = json.loads((small_disk.folder / "status.json").read_text())
        assert status == before or status["state"] == "running" or status["step"] == 40
        small_disk.make_room()
        write_logs(small_disk.folder, 10, 40)
        for name in ("train_log.jsonl", "eval_log.jsonl"):
            assert read_log(small_disk.folder / name) == read_log(tmp_path / name)
        assert json.loads((small_disk.folder / "status.json").read_text())["state"] == "finished"


def build_records(corpus, folder):
    build(str(corpus / "clean.txt"), str(corpus / "small.model"), str(folder / "train.tfrecord@2"),
          ExampleOptions(64, 10, dupe_factor=2), report=lambda line: None)


def clean_text(corpus, folder):
    preprocess(str(corpus / "clean.txt"), str(folder / "out.txt"), CleaningOptions(), report=lambda line: None)


def train_vocabulary(corpus, folder):
    train(str(corpus / "clean.txt"), str(folder / "new"), vocab_size=110, report=lambda line: None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A folder with some hundred kilobytes of text and a vocabulary of it."""
    folder = tmp_path_factory.mktemp("corpus")
    make_tokenizer(folder)
    write_documents(folder / "clean.txt", make_documents(300))
    return folder


@pytest.mark.parametrize("command", [build_records, clean_text, train_vocabulary])
def test_data_on_a_full_disk(corpus, small_disk, fault_trials, tmp_path, command):
    (tmp_path / "wanted").mkdir()
    command(corpus, tmp_path / "wanted")
    wanted = {name: data for name, data in files_in(tmp_path / "wanted").items() if name != "manifest.json"}
    luck = random.Random(3)
    for _ in fault_trials("disk full while data is made", "exit 2, no part under a final name, made once there is room",
                          short=3, full=50):
        small_disk.clear()
        small_disk.leave(luck.randrange(pages_of(wanted)))
        with pytest.raises(InputError, match="^(output_file|model_prefix).*No space left on device.*make room"):
            command(corpus, small_disk.folder)
        assert files_in(small_disk.folder).items() <= wanted.items()
        small_disk.make_room()
        command(corpus, small_disk.folder)
        assert {**files_in(small_disk.folder), "manifest.json": b""} == {**wanted, "manifest.json": b""}


def run_flags(training_files, folder):
    return flags(training_files, folder, keep_checkpoints=2, eval_every_steps=10, eval_batch_size=4,
                 eval_input_file=f"{training_files}/eval.tfrecord")


@pytest.fixture(scope="module")
def left_alone(training_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("left_alone")
    result = run_command("pretrain", **run_flags(training_files, folder))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.tier("ci")
def test_training_on_a_full_disk(training_files, left_alone, small_disk, fault_trials):
    luck = random.Random(4)
    for _ in fault_trials("disk full during a run", "one line, the checkpoints intact; with room, ends like a run "
                          "left alone", full=12):
        small_disk.clear()
        small_disk.leave(luck.randrange(2, pages_of(files_in(left_alone))))
        run = run_flags(training_files, small_disk.folder)
        result = run_command("pretrain", **run)
        (line,) = own_lines(result, "pretrain")
        assert result.returncode in (1, 2) and "--output_dir" in line and "room" in line, result.stderr
        assert "Traceback" not in result.stderr
        checkpoints = CheckpointFolder(str(small_disk.folder / "checkpoints"))
        assert all(verified_state(checkpoints.path(step)) for step in checkpoints.steps())
        small_disk.make_room()
        result = run_command("pretrain", **run)
        assert result.returncode == 0, result.stderr
        ours, theirs = weights(small_disk.folder), weights(left_alone)
        assert all((ours[name] == theirs[name]).all() for name in theirs)
        assert without_clock(train_log(small_disk.folder)) == without_clock(train_log(left_alone))
        assert json_lines(small_disk.folder, "eval_log.jsonl") == json_lines(left_alone, "eval_log.jsonl")


def test_a_checkpoint_on_a_disk_that_became_read_only(small_disk, fault_trials):
    for _ in fault_trials("disk turned read-only during a run", "one line, the checkpoint before intact", full=20):
        small_disk.clear()
        checkpoints = CheckpointFolder(str(small_disk.folder / "checkpoints"))
        save(checkpoints, 1)
        small_disk.make_read_only()
        with pytest.raises(RunFailed, match="Read-only file system.*newest: step 1"):
            save(checkpoints, 2)
        assert checkpoints.newest_valid()["step"] == 1
        small_disk.make_room()
        save(checkpoints, 2)
        assert checkpoints.newest_valid()["step"] == 2


COMMANDS = {"pretrain": ("output_dir", lambda files, corpus: flags(files, None)),
            "create_pretraining_data": ("output_file", lambda files, corpus: {
                "input_file": corpus / "clean.txt", "tokenizer": corpus / "small.model"}),
            "preprocess": ("output_file", lambda files, corpus: {"input_file": corpus / "clean.txt"}),
            "train_tokenizer": ("model_prefix", lambda files, corpus: {"input_file": corpus / "clean.txt"})}


def test_a_read_only_place_is_refused(training_files, corpus, small_disk, fault_trials):
    small_disk.make_read_only()
    commands = sorted(COMMANDS)
    for trial in fault_trials("output on a read-only disk", "exit 2 and one line, nothing written", short=4, full=8):
        command = commands[trial % len(commands)]
        flag, other_flags = COMMANDS[command]
        result = run_command(command, **{**other_flags(training_files, corpus), flag: small_disk.folder / "out"})
        (line,) = own_lines(result, command)
        assert result.returncode == 2 and f"--{flag}" in line, result.stderr
        assert not list(small_disk.folder.iterdir())


needs_mounts = pytest.mark.skipif(not can_unshare(), reason="a process cannot have mounts of its own here")


def in_full_shared_memory(command, launcher=(), **command_flags):
    words = with_full_shared_memory([*launcher, *command_words(command, **command_flags)])
    root = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return subprocess.run(words, env={**command_environment(), **root}, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=500)


@needs_mounts
@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_ranks_do_without_shared_memory(training_files, fault_trials, tmp_path):
    """Under mpirun: horovodrun keeps a lock there before it starts any rank."""
    for trial in fault_trials("/dev/shm full, 2 ranks", "trains all the same", full=5):
        run = flags(training_files, tmp_path / str(trial))
        result = in_full_shared_memory("pretrain", ["mpirun", "-np", "2", "--oversubscribe"], **run)
        assert result.returncode == 0, result.stderr
        assert [record["step"] for record in train_log(tmp_path / str(trial))] == list(range(1, STEPS + 1))


@needs_mounts
@pytest.mark.tier("ci")
@pytest.mark.parametrize("command", ["create_pretraining_data", "preprocess"])
def test_workers_without_shared_memory_are_one_clear_line(corpus, fault_trials, tmp_path, command):
    _, other_flags = COMMANDS[command]
    for _ in fault_trials("/dev/shm full, processes for data", "exit 2 and one line, nothing written", full=5):
        result = in_full_shared_memory(command, num_workers=2, output_file=tmp_path / "out",
                                       **other_flags(None, corpus))
        (line,) = own_lines(result, command)
        assert result.returncode == 2 and "--num_workers=2" in line and "/dev/shm" in line, result.stderr
        assert not (tmp_path / "out").exists()
