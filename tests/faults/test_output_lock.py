"""Two runs on one output folder; locks of killed, suspended and lost runs, on file systems with and without flock."""

import contextlib
import errno
import fcntl
import json
import multiprocessing
import os
import signal
import threading
import time

import pytest

from albert_hvd.errors import InputError
from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.runtime import lock
from albert_hvd.runtime.lock import LOCK, RunLock
from background_run import BackgroundRun
from conftest import own_lines, run_command
from pretraining_runs import flags, logged_lines

DAY_SEC = 86400


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(lock, "_BEAT_SEC", 0.02)
    monkeypatch.setattr(lock, "_LOST_AFTER_SEC", 1.0)
    monkeypatch.setattr(lock, "_ENDING_SEC", 0.2)
    monkeypatch.setattr(lock, "_LOOK_EVERY_SEC", 0.02)
    for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def for_ever(monkeypatch):
    """Whoever waits for a verdict here, waits until the test times out."""
    monkeypatch.setattr(lock, "_LOST_AFTER_SEC", 1e9)
    monkeypatch.setattr(lock, "_ENDING_SEC", 1e9)


@pytest.fixture
def without_flock(monkeypatch):
    """A file system that has no such locks."""
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")
    monkeypatch.setattr(fcntl, "flock", refuse)


def holder_in(folder):
    return json.loads((folder / LOCK).read_text())


def leave_lock_of_another_host(folder, **changes):
    holder = {"host": "node7", "pid": 4711, "started": "2026-01-02 03:04:05 +0000", "boot": "another", "token": "a"}
    (folder / LOCK).write_text(json.dumps({**holder, **changes}))


@contextlib.contextmanager
def beats(path, times):
    """A run on another host: touches the lock file with these times of change, one after the other, for ever."""
    ended = threading.Event()

    def beat():
        while True:
            for second in times:
                os.utime(path, (second, second))
                if ended.wait(0.02):
                    return

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def assert_refused(folder, *named):
    with pytest.raises(InputError) as caught:
        RunLock(str(folder)).__enter__()
    message = str(caught.value)
    assert message.startswith(f"output_dir={folder}: another run writes there: ") and "\n" not in message
    assert "wait for its end, or give another folder" in message
    for word in named:
        assert word in message


def test_the_second_is_refused_until_the_first_has_ended(tmp_path, fault_trials):
    for _ in fault_trials("two runs on one --output_dir", "the second refuses with exit code 2", short=2, full=100):
        with RunLock(str(tmp_path)):
            holder = holder_in(tmp_path)
            assert_refused(tmp_path, f"process {os.getpid()} on {os.uname().nodename}", holder["started"])
            assert holder_in(tmp_path) == holder
        assert os.listdir(tmp_path) == []
        with RunLock(str(tmp_path)):
            pass


def test_of_many_that_start_at_once_one_gets_the_folder(tmp_path, fault_trials):
    for trial in fault_trials("eight runs at once on one --output_dir", "one gets it", short=3, full=100):
        folder = tmp_path / str(trial)
        folder.mkdir()
        holding, refused = [], []

        def enter():
            try:
                holding.append(RunLock(str(folder)).__enter__())
            except InputError as error:
                refused.append(error)

        threads = [threading.Thread(target=enter) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        holding[0].__exit__()
        assert (len(holding), len(refused)) == (1, 7)


def _hold(folder, ready):
    with RunLock(folder):
        ready.set()
        time.sleep(1000)


@contextlib.contextmanager
def another_process(folder):
    """A process that holds the lock."""
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    process = context.Process(target=_hold, args=(str(folder), ready))
    process.start()
    try:
        ready.wait()
        yield process
    finally:
        process.kill()
        process.join()


def test_a_killed_run_leaves_no_lock(tmp_path, fault_trials, for_ever):
    for _ in fault_trials("lock of a run ended by SIGKILL", "the next run takes it at once", short=3, full=100):
        with another_process(tmp_path) as process:
            os.kill(process.pid, signal.SIGKILL)
            process.join()
        assert holder_in(tmp_path)["pid"] == process.pid
        with RunLock(str(tmp_path)):
            assert holder_in(tmp_path)["pid"] == os.getpid()


def test_a_run_that_is_being_ended_is_waited_for(tmp_path, monkeypatch):
    """Ranks whose launcher was killed end seconds later than it does."""
    monkeypatch.setattr(lock, "_ENDING_SEC", 1e9)
    with another_process(tmp_path) as process:
        threading.Timer(0.3, process.kill).start()
        with RunLock(str(tmp_path)):
            assert holder_in(tmp_path)["pid"] == os.getpid()


def test_a_lost_host_is_taken_over_from_with_a_warning(tmp_path, fault_trials, capfd):
    for _ in fault_trials("lock of a host that was lost", "watched, then taken over with a warning", short=1, full=20):
        leave_lock_of_another_host(tmp_path)
        with RunLock(str(tmp_path)):
            assert holder_in(tmp_path)["pid"] == os.getpid()
        output, errors = capfd.readouterr()
        assert "process 4711 on node7, started 2026-01-02 03:04:05 +0000 may still write to this folder" in output
        assert "taking over" in errors and "process 4711 on node7" in errors


@pytest.mark.parametrize("clock", [(0, 1), (DAY_SEC, 0), (10**10, 10**10 + 1)], ids=["1970", "back a day", "2286"])
def test_a_live_run_on_another_host_is_seen_whatever_its_clock_says(tmp_path, fault_trials, monkeypatch, clock):
    monkeypatch.setattr(lock, "_LOST_AFTER_SEC", 1e9)
    for _ in fault_trials("lock file with another host's clock, set wrong or jumping", "its run is seen to live",
                          short=1, full=20):
        leave_lock_of_another_host(tmp_path)
        with beats(tmp_path / LOCK, clock):
            assert_refused(tmp_path, "process 4711 on node7")


def test_a_lock_that_a_file_server_keeps_for_a_lost_host_is_taken_over(tmp_path, fault_trials):
    for _ in fault_trials("flock that a file server keeps for a lost host", "taken over in a new file",
                          short=1, full=20):
        leave_lock_of_another_host(tmp_path)
        with open(tmp_path / LOCK, "rb") as kept:
            fcntl.flock(kept, fcntl.LOCK_EX)
            with RunLock(str(tmp_path)):
                assert holder_in(tmp_path)["pid"] == os.getpid()
                assert_refused(tmp_path, f"process {os.getpid()} on ")
        os.remove(tmp_path / LOCK) if (tmp_path / LOCK).exists() else None


def test_a_live_run_is_seen_without_flock(tmp_path, fault_trials, without_flock):
    for _ in fault_trials("two runs on a file system without flock", "the second refuses", short=1, full=20):
        with RunLock(str(tmp_path)):
            assert_refused(tmp_path, f"process {os.getpid()} on ")


def test_a_killed_run_is_taken_over_from_without_flock(tmp_path, without_flock):
    with another_process(tmp_path) as process:
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    with RunLock(str(tmp_path)):
        assert holder_in(tmp_path)["pid"] == os.getpid()


def test_a_requeued_job_goes_on_at_once(tmp_path, fault_trials, monkeypatch, for_ever):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    for _ in fault_trials("Slurm job requeued on other hosts", "its own lock is no hindrance", short=1, full=20):
        leave_lock_of_another_host(tmp_path, slurm_job="17", slurm_start=1)
        with RunLock(str(tmp_path)):
            assert holder_in(tmp_path)["slurm_start"] == 2


@pytest.mark.parametrize("slurm_job, slurm_start", [("16", 1), ("17", 2)], ids=["another job", "the same start"])
def test_only_an_earlier_start_of_the_own_job_is_known_to_have_ended(tmp_path, monkeypatch, slurm_job, slurm_start):
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "2")
    leave_lock_of_another_host(tmp_path, slurm_job=slurm_job, slurm_start=slurm_start)
    with beats(tmp_path / LOCK, (1, 2)):
        assert_refused(tmp_path, f"(Slurm job {slurm_job})")


def test_a_run_whose_lock_was_taken_over_learns_it(tmp_path, fault_trials):
    for _ in fault_trials("a suspended run wakes after another took its folder", "it ends itself", short=1, full=20):
        told = threading.Event()
        reasons = []
        with RunLock(str(tmp_path), on_loss=lambda reason: (reasons.append(reason), told.set())):
            leave_lock_of_another_host(tmp_path, token="another")
            told.wait()
        assert "process 4711 on node7" in reasons[0] and "has taken this folder over" in reasons[0]
        assert holder_in(tmp_path)["token"] == "another"
        os.remove(tmp_path / LOCK)


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"[1, 2]", b'{"host": "no', b"\xff\xfe{"])
def test_a_lock_file_that_says_nothing_is_no_hindrance(tmp_path, for_ever, content):
    (tmp_path / LOCK).write_bytes(content)
    with RunLock(str(tmp_path)):
        assert holder_in(tmp_path)["pid"] == os.getpid()


@pytest.mark.parallel
@pytest.mark.tier("ci")
@pytest.mark.timeout(3600)
def test_the_second_run_of_bin_pretrain_is_refused_and_the_killed_one_resumed(training_files, tmp_path, fault_trials):
    for trial in fault_trials("bin/pretrain twice on one --output_dir, then SIGKILL", "the second refused in one line, "
                              "the first unharmed and resumed after the kill", short=1, full=5):
        output_dir = tmp_path / str(trial)
        # Slow enough not to diverge while the second starts.
        run_flags = flags(training_files, output_dir, num_train_steps=10**6, learning_rate=1e-6)
        with BackgroundRun(0, run_flags) as first:
            first.wait_until(lambda: logged_lines(output_dir) > 5, "its first checkpoint")
            result = run_command("pretrain", ranks=2, **run_flags)
            assert result.returncode == 2, result.stderr
            line, = own_lines(result, "pretrain")
            assert f"another run writes there: process {first.pid} on " in line
            lines = logged_lines(output_dir)
            first.wait_until(lambda: logged_lines(output_dir) > lines, "a further step")
        step = CheckpointFolder(str(output_dir / "checkpoints")).newest_valid()["step"]
        result = run_command("pretrain", **{**run_flags, "num_train_steps": step + 1})
        assert result.returncode == 0, result.stderr
        assert f"resuming at step {step}" in result.stdout
        assert not (output_dir / LOCK).exists()
