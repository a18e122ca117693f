"""Files that are cut short, have a flipped bit, vanish or are replaced: noticed, named, and never taken for good."""

import json
import os
import random
import shutil
import signal

import numpy as np
import pytest

from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.tfrecord import RecordWriter, index_path
from albert_hvd.errors import InputError
from albert_hvd.run_folder import checkpoints
from albert_hvd.run_folder.checkpoints import BEST, CheckpointFolder, find_checkpoint, load_arrays
from albert_hvd.run_folder.logs import JsonLines, read_log
from conftest import own_lines, random_record, run_command
from pretraining_runs import flags, logged_lines, ranks_of, start_and_wait_for_step, status, train_log, wait_until

SHAPES = {"kernel": (5, 7), "bias": (7,)}
FOREVER = 1000000
DEADLINE_SEC = 200  # for what must not hang


def cut(path, luck):
    os.truncate(path, luck.randrange(os.path.getsize(path)))


def flip_a_bit(path, luck):
    with open(path, "r+b") as file:
        data = bytearray(file.read())
        data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
        file.seek(0)
        file.write(data)


DAMAGES = [cut, flip_a_bit]


def contents(step):
    """The weights, slots and state of a small checkpoint."""
    random = np.random.default_rng(step)
    arrays = {name: random.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    slots = {f"{name}/first_moment": array + 1 for name, array in arrays.items()}
    return arrays, slots, {"records_read": 12 * step, "epoch": step // 4, "elapsed_sec": step / 7,
                           "config": {"hidden_size": 16, "architecture": "albert"}}


def test_a_damaged_checkpoint(tmp_path, fault_trials, capsys):
    """Whatever happens to the newest of two, what is loaded is one of them, and the older with a warning."""
    sound = CheckpointFolder(str(tmp_path / "sound"))
    sound.save(4, *contents(4), best_step=None)
    states = {4: sound.newest_valid()}
    sound.save(5, *contents(5), best_step=5)
    states[5] = sound.newest_valid()
    damaged = CheckpointFolder(str(tmp_path / "damaged"))
    luck = random.Random(1)
    for _ in fault_trials("checkpoint cut short or with a flipped bit", "the one before is loaded, with a warning",
                          short=60, full=1000):
        shutil.rmtree(damaged.folder, ignore_errors=True)
        shutil.copytree(sound.folder, damaged.folder)
        name = luck.choice([checkpoints.WEIGHTS, checkpoints.OPTIMIZER, checkpoints.STATE])
        luck.choice(DAMAGES)(os.path.join(damaged.path(5), name), luck)
        state = damaged.newest_valid()
        # A bit in the name of the state's checksum leaves the state of an older version, which had none.
        assert {key: state[key] for key in states[state["step"]]} == states[state["step"]]
        assert state["step"] == 5 or "step_00000005" in capsys.readouterr().err
        arrays = load_arrays(damaged.path(state["step"]), checkpoints.WEIGHTS, SHAPES, "here")
        wanted = contents(state["step"])[0]
        assert all((arrays[key] == wanted[key]).all() for key in SHAPES)


def test_a_damaged_pointer_to_the_best_checkpoint(tmp_path, fault_trials):
    folder = CheckpointFolder(str(tmp_path))
    for step in (4, 5, 7):
        folder.save(step, *contents(step), best_step=5)
    pointer = tmp_path / BEST
    sound = pointer.read_bytes()
    luck = random.Random(2)
    for _ in fault_trials("best.json cut short or with a flipped bit", "exit 2 and one line, or the right checkpoint",
                          short=60, full=1000):
        pointer.write_bytes(sound)
        luck.choice(DAMAGES)(pointer, luck)
        try:
            assert find_checkpoint(str(pointer), "init_checkpoint") == folder.path(5)
        except InputError as error:
            assert f"init_checkpoint={pointer}" in str(error) and "name a checkpoints/step_* folder" in str(error)


def test_a_damaged_log(tmp_path, fault_trials):
    """Only the line that is hit is lost, and the run goes on."""
    path = tmp_path / "train_log.jsonl"
    lines = [json.dumps({"step": step, "loss": 1 / step}).encode() + b"\n" for step in range(1, 31)]
    luck = random.Random(3)
    for _ in fault_trials("log cut short or with a flipped bit", "the other lines stay, the run continues",
                          short=60, full=1000):
        path.write_bytes(b"".join(lines))
        damage = luck.choice(DAMAGES)
        damage(path, luck)
        whole = path.read_bytes().count(b"\n")
        log = JsonLines(str(path), 30)
        log.write({"step": 31, "loss": 1.0})
        log.close()
        kept = path.read_bytes().splitlines(keepends=True)
        assert json.loads(kept.pop()) == {"step": 31, "loss": 1.0}
        # A newline that turns into something else joins two lines.
        assert len(set(kept) & set(lines)) >= min(whole, 30) - (damage is flip_a_bit) * 2
        assert all(isinstance(record["step"], int) for record in read_log(path))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """A folder with two shards of 20 records, and the batch of all of them."""
    folder = tmp_path_factory.mktemp("shards")
    write_shards(folder, seed=11)
    dataset = open_shards(folder)
    return folder, dataset.read(np.arange(40))


def write_shards(folder, seed, names=("a", "b")):
    luck = np.random.default_rng(seed)
    for name in names:
        with RecordWriter(str(folder / f"{name}.tfrecord")) as writer:
            for _ in range(20):
                writer.write(random_record(luck))


def open_shards(folder, **options):
    return RecordDataset([str(folder / f"{name}.tfrecord") for name in "ab"], 16, 3, vocab_size=50, **options)


def vanish(path, luck):
    os.remove(path)


def replaced_by(how):
    """A replacement by another shard, whose index comes with it; `how` puts a file in the place of one."""
    def replace(path, luck):
        other = path.parent / "other"
        other.mkdir()
        write_shards(other, luck.randrange(2, 1000), ["b"])
        how(other / "b.tfrecord", path)
        how(index_path(str(other / "b.tfrecord")), index_path(str(path)))
    return replace


def same(batch, wanted, rows=slice(None)):
    return all((batch[field][rows] == wanted[field][rows]).all() for field in wanted)


@pytest.mark.parametrize("with_index", [True, False])
def test_a_damaged_shard(shards, tmp_path, fault_trials, with_index):
    """Before a run or while it has the shard open: the right records, or one line that names the shard."""
    sound, wanted = shards
    luck = random.Random(4)
    for trial in fault_trials("TFRecord shard cut short or with a flipped bit", "exit 2 and one line naming it; with "
                              "--skip_corrupt such records are left out and counted", short=40, full=500):
        folder = tmp_path / str(trial)
        shutil.copytree(sound, folder)
        if not with_index:
            os.remove(index_path(str(folder / "b.tfrecord")))
        before, damage = luck.random() < 0.5, luck.choice(DAMAGES)
        shard = folder / "b.tfrecord"
        dataset = None if before else open_shards(folder)
        damage(shard, luck)
        try:
            dataset = dataset or open_shards(folder)
            assert same(dataset.read(np.arange(dataset.num_records)), wanted, slice(dataset.num_records))
        except InputError as error:
            assert str(error).startswith(f"{shard}: ") and "make the file again" in str(error)
        warnings = []
        dataset = open_shards(folder, skip_corrupt=True, warn=warnings.append)
        batch = dataset.read(np.arange(dataset.num_records))
        intact = batch["sentence_weights"][:, 0] == 1
        assert intact[:20].all() and intact.sum() == dataset.num_records - dataset.num_skipped
        assert same({field: values[intact] for field, values in batch.items()},
                    {field: values[:dataset.num_records][intact] for field, values in wanted.items()})
        missing = 40 - intact.sum()
        assert (len(warnings) > 0) == (missing > 0) or damage is cut  # a cut between two records leaves no trace
        assert all(str(shard) in line for line in warnings)
        shutil.rmtree(folder)


@pytest.mark.parametrize("damage", [vanish, replaced_by(os.replace), replaced_by(shutil.copy)],
                         ids=["vanished", "replaced", "written over"])
@pytest.mark.parametrize("is_open", [True, False])
def test_a_shard_that_is_another_during_the_run(shards, tmp_path, fault_trials, damage, is_open):
    sound, wanted = shards
    luck = random.Random(5)
    for trial in fault_trials("TFRecord shard vanished or replaced while it is read", "the records that were there at "
                              "the start, or exit 2 and one line naming it", short=2, full=40):
        folder = tmp_path / str(trial)
        shutil.copytree(sound, folder)
        dataset = open_shards(folder)
        dataset.read(np.arange(20 + is_open))
        damage(folder / "b.tfrecord", luck)
        try:
            assert same(dataset.read(np.arange(40)), wanted)
        except InputError as error:
            assert str(error).startswith(f"{folder}/b.tfrecord: ")
        if damage is not vanish:
            assert open_shards(folder).fingerprint != open_shards(sound).fingerprint


@pytest.fixture
def own_files(training_files, tmp_path):
    """A copy of the training files that a test may damage."""
    return shutil.copytree(training_files, tmp_path / "files")


def write_over(path):
    """Write another shard into the file, as `cp` does."""
    other = path.parent / "other"
    other.mkdir(exist_ok=True)
    luck = np.random.default_rng(23)
    with RecordWriter(str(other / path.name)) as writer:
        for _ in range(31):
            writer.write({**random_record(luck), "input_ids": np.full(16, 49, np.int32)})
    shutil.copy(other / path.name, path)


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_a_run_whose_shard_is_damaged_stops_and_goes_on_with_the_sound_one(own_files, tmp_path, fault_trials):
    luck = random.Random(6)
    shard = own_files / "train-0.tfrecord"
    sound = shard.read_bytes()
    damages = [lambda: os.truncate(shard, luck.randrange(len(sound) // 2)),
               lambda: shard.write_bytes(bytes(len(sound)))]
    for trial in fault_trials("shard cut short or overwritten under a run", "one line naming it on any rank, no hang; "
                              "restored, it continues", full=8):
        ranks, folder = (2, 0)[trial // 2 % 2], tmp_path / str(trial)
        run = flags(own_files, folder, num_train_steps=FOREVER)
        process = start_and_wait_for_step(6, ranks, run)
        damages[trial % 2]()
        output, errors = process.communicate(timeout=DEADLINE_SEC)
        assert process.returncode == 2, errors
        assert f"{shard}: changed since this run began" in errors and "Traceback" not in errors, errors
        assert status(folder)["state"] == "failed" and str(shard) in status(folder)["reason"]
        last_step = len(train_log(folder))
        shard.write_bytes(sound)
        result = run_command("pretrain", ranks, **{**run, "num_train_steps": last_step + 1})
        assert result.returncode == 0 and "resuming at step" in result.stdout, result.stderr


@pytest.mark.tier("ci")
def test_a_run_keeps_the_shards_it_began_with(own_files, training_files, tmp_path, fault_trials):
    """A shard that is removed or replaced by another file, as `mv` does, is still open."""
    for trial in fault_trials("shard removed or replaced under a run, then the run resumed",
                              "the run continues; resuming on other records is refused", full=4):
        shard = own_files / "train-0.tfrecord"
        sound, folder = shard.read_bytes(), tmp_path / str(trial)
        run = flags(own_files, folder, num_train_steps=FOREVER)
        process = start_and_wait_for_step(6, 0, run)
        shard.unlink()
        seen = len(train_log(folder))
        wait_until(lambda: logged_lines(folder) >= seen + 6, process, "six steps more")
        ranks_of(process)[0].send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_SEC)
        assert status(folder)["state"] == "stopped"
        write_over(shard)
        result = run_command("pretrain", **run)
        (line,) = own_lines(result, "pretrain")
        assert result.returncode == 2 and line.startswith("--input_file: records_fingerprint is "), result.stderr
        shard.write_bytes(sound)
        result = run_command("pretrain", **{**run, "num_train_steps": len(train_log(folder)) + 1})
        assert result.returncode == 0, result.stderr
