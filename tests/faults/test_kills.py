"""SIGKILL at random moments: a run that is started again and again ends bit for bit like one that was left alone.

Most kills hit a single rank, forked from a process that has TensorFlow imported: a start then costs a second instead
of five. The others hit two ranks under horovodrun.
"""

import random
import shutil
import time

import pytest

from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.runtime.lock import LOCK
from albert_hvd.runtime.files import read_json_object
from background_run import BackgroundRun
from conftest import command_server, run_command
from pretraining_runs import checkpoint_file, eval_log, flags, logged_lines, status, train_log, without_clock
from small_corpus import make_documents, make_tokenizer, write_documents

STEPS, SAVE_EVERY, EVALUATE_EVERY = 60, 2, 6
LIMIT_SEC = 900  # for a run that must come to its end

# Whom to kill of two ranks, when, and how often in an ordinary run.
MOMENTS = [("rank 0", "a checkpoint", 1), ("mpirun", "an evaluation", 1), ("rank 1", "an allreduce", 1),
           *((victim, moment, 0) for victim, moment in (
               ("rank 0", "an allreduce"), ("rank 1", "an evaluation"), ("mpirun", "a checkpoint"),
               ("rank 0", "an evaluation"), ("mpirun", "an allreduce"), ("rank 0", "an update"),
               ("rank 1", "the start"), ("rank 1", "a checkpoint"), ("mpirun", "an update")))]

pytestmark = pytest.mark.timeout(3600)


def run_flags(training_files, folder):
    """Something to interrupt all the time: an update, the checkpoint of every other one, many evaluations."""
    held_out = ",".join([f"{training_files}/eval.tfrecord"] * 8)
    return flags(training_files, folder, num_train_steps=STEPS, save_checkpoints_steps=SAVE_EVERY, keep_checkpoints=2,
                 eval_input_file=held_out, eval_every_steps=EVALUATE_EVERY, eval_batch_size=4)


def words(command, **command_flags):
    return [command, *(f"--{flag}={value}" for flag, value in command_flags.items())]


@pytest.fixture(scope="module")
def server():
    server = command_server()
    assert server.run(["pretrain", "--help"], "/", LIMIT_SEC).returncode == 0  # it has imported everything
    return server


def result_of(folder):
    """All that a run leaves, but for timings: the logs and the state with the checksums of weights and moments."""
    state = read_json_object(checkpoint_file(folder, "state.json", STEPS))
    return {"log": without_clock(train_log(folder)), "evaluations": eval_log(folder), "status": status(folder)["state"],
            **{key: state[key] for key in ("sha256", "records_read", "epoch", "evaluations", "skipped_updates")}}


class Chain:
    """A run that is killed again and again until it has come to its end.

    Attributes:
      folder: of the run that is under way.
      interrupted: how many kills hit what.
    """

    def __init__(self, parent, left_alone):
        self._parent, self._left_alone = parent, left_alone
        self._number = 0
        self.folder = parent / "0"
        self.interrupted = dict.fromkeys(("start", "update", "evaluation", "checkpoint"), 0)

    def note_kill(self, lines_before):
        """See what a kill hit, and that no more is lost than the steps since the last checkpoint.

        Args:
          lines_before: of the log, before the start.
        """
        lines = logged_lines(self.folder)
        if lines in (0, lines_before):
            self.interrupted["start"] += 1
        elif self.is_evaluating():
            self.interrupted["evaluation"] += 1
        else:
            self.interrupted["update"] += 1
        self.interrupted["checkpoint"] += self.is_saving()
        newest = CheckpointFolder(str(self.folder / "checkpoints")).newest_valid()
        # A step is logged before its checkpoint is begun, and the write of the one before may go on behind it.
        assert (newest["step"] if newest else 0) >= lines - 2 * SAVE_EVERY

    def is_evaluating(self):
        lines = logged_lines(self.folder)
        return lines > 0 and lines % EVALUATE_EVERY == 0 and len(eval_log(self.folder)) < lines // EVALUATE_EVERY

    def is_saving(self):
        return any((self.folder / "checkpoints").glob(".unfinished*"))

    def end(self):
        """The run has come to its end: compare it, and begin another."""
        assert result_of(self.folder) == self._left_alone
        assert not [path for path in self.folder.rglob("*") if path.name == LOCK or path.name.startswith(".")]
        shutil.rmtree(self.folder)
        self._number += 1
        self.folder = self._parent / str(self._number)


def test_a_single_rank(training_files, tmp_path, fault_trials, server):
    def start(folder, limit_sec):
        return server.run(words("pretrain", **run_flags(training_files, folder)), str(tmp_path), limit_sec)

    left_alone, whole_sec = timed(start, tmp_path / "left_alone")
    chain = Chain(tmp_path, result_of(left_alone))
    luck = random.Random(1)
    for _ in fault_trials("SIGKILL of a run at random moments", "weights and logs as without", short=3, full=160):
        while True:
            before = logged_lines(chain.folder)
            result = start(chain.folder, whole_sec * luck.uniform(0.2, 1.0))
            if result.returncode is None:
                break  # it was under way when it was killed
            assert result.returncode == 0, result.stderr.decode()
            chain.end()
        chain.note_kill(before)
    result = start(chain.folder, LIMIT_SEC)
    assert result.returncode == 0, result.stderr.decode()
    chain.end()
    assert sum(chain.interrupted.values()) < 100 or min(chain.interrupted.values()) > 0
    print(chain.interrupted)


def timed(start, folder):
    """Let a command come to its end; returns (folder, seconds)."""
    began = time.monotonic()
    result = start(folder, LIMIT_SEC)
    assert result.returncode == 0, result.stderr.decode()
    return folder, time.monotonic() - began


def kill(run, luck, victim, moment, chain):
    """Kill one process of a run of two ranks at a moment; returns whether it was that moment."""
    before = logged_lines(chain.folder)
    run.wait_until(lambda: len(run.ranks()) == 2, "two ranks")
    if moment != "the start":
        run.wait_until(lambda: logged_lines(chain.folder) not in (before, 0), "the log of its first step")
        lines = logged_lines(chain.folder)  # a resumed run first takes back what came after its checkpoint
        run.wait_until(lambda: logged_lines(chain.folder) > lines, "a step")
    rank_0, rank_1 = run.ranks()
    target = {"rank 0": rank_0, "rank 1": rank_1, "mpirun": run.launcher()}[victim]
    if moment == "the start":
        time.sleep(luck.uniform(0.0, 3.0))
    elif moment == "an update":
        time.sleep(luck.uniform(0.0, 0.3))
    elif moment == "an allreduce":
        # While one rank stands still, the other stands in the allreduce.
        (rank_1 if victim == "rank 0" else rank_0).suspend()
        time.sleep(0.5)
    elif moment == "an evaluation":
        run.wait_until(chain.is_evaluating, moment)
    elif moment == "a checkpoint":
        run.wait_until(chain.is_saving, moment, look_every_sec=0.0)
    target.kill()
    return {"an evaluation": chain.is_evaluating, "a checkpoint": chain.is_saving}.get(moment, lambda: True)()


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_two_ranks(training_files, tmp_path, fault_trials):
    def finish(folder):
        result = run_command("pretrain", ranks=2, timeout=3600, **run_flags(training_files, folder))
        assert result.returncode == 0, result.stderr

    finish(tmp_path / "left_alone")
    chain = Chain(tmp_path, result_of(tmp_path / "left_alone"))
    luck = random.Random(2)
    for victim, moment, short in MOMENTS:
        for _ in fault_trials(f"SIGKILL of {victim} of two ranks during {moment}",
                              "all end, then weights and logs as without", short=short, full=4):
            hit = False
            while not hit:
                before = logged_lines(chain.folder)
                if before > STEPS - 2 * EVALUATE_EVERY:
                    finish(chain.folder)
                    chain.end()
                with BackgroundRun(2, run_flags(training_files, chain.folder)) as run:
                    hit = kill(run, luck, victim, moment, chain)
                    assert run.wait() not in (0, 2, 75), run.errors()
                    assert victim == "mpirun" or f"process rank {victim[-1]} " in run.errors()
                    assert run.wait_for_all() == []
                chain.note_kill(before)
    finish(chain.folder)
    chain.end()


@pytest.mark.tier("ci")
@pytest.mark.parametrize("num_workers", [1, 2])
def test_data_building(tmp_path, fault_trials, server, num_workers):
    write_documents(tmp_path / "a.txt", make_documents(600, 2))
    make_tokenizer(tmp_path)

    def start(folder, limit_sec):
        return server.run(words(
            "create_pretraining_data", input_file=tmp_path / "a.txt", tokenizer=tmp_path / "small.model",
            output_file=folder / "a.tfrecord@5", num_workers=num_workers, max_seq_length=64,
            max_predictions_per_seq=10), str(tmp_path), limit_sec)

    def files(folder):
        found = {path.name: path.read_bytes() for path in folder.iterdir()}
        build, = read_json_object(folder / "manifest.json")["builds"].values()
        return {**found, "manifest.json": build["statistics"]}

    folder, whole_sec = timed(start, tmp_path / "left_alone")
    left_alone = files(folder)
    luck = random.Random(3)
    folder = tmp_path / "0"
    for trial in fault_trials("SIGKILL of bin/create_pretraining_data at a random moment", "the same shards as without",
                              short=2, full=30):
        while True:
            result = start(folder, whole_sec * luck.uniform(0.05, 1.0))
            if result.returncode is None:
                break
            assert result.returncode == 0, result.stderr.decode()
            assert files(folder) == left_alone
            folder = tmp_path / f"after_{trial}"
    result = start(folder, LIMIT_SEC)
    assert result.returncode == 0, result.stderr.decode()
    assert files(folder) == left_alone
