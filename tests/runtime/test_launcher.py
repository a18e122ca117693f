"""What stands between horovodrun and mpirun, before a program that plays mpirun and prints the signals it gets."""

import contextlib
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import ROOT
from terminals import TerminalOfItsOwn

PROGRAM = """
import os, sys
sys.path.insert(0, {root!r})
from albert_hvd.runtime import launcher
launcher.SAME_PRESS_SEC, launcher._FIRST_REPEAT_SEC, launcher._ENDING_SEC = {times}
launcher.run_mpirun({command!r}, dict(os.environ))
"""
# Each line of standard input is an exit code, or text to be printed.
MPIRUN = """#!{python}
import os, signal, sys

def say(text):
    os.write(1, (text + "\\n").encode())

for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, _: say(signal.Signals(number).name))
say("ready")
for line in sys.stdin:
    if line.strip().isdigit():
        os._exit(int(line))
    say(line.strip())
while True:
    signal.pause()
"""
STOPPING = "{}: training stops after this step, with a checkpoint; once more ends at once, without one\n"
ENDED = "{} again: ended at once, without a checkpoint\n"
BOTH = pytest.mark.parametrize("number, name", [(signal.SIGINT, "Ctrl-C"), (signal.SIGTERM, "SIGTERM")])


@contextlib.contextmanager
def launcher(command, same_press_sec=0.1, first_repeat_sec=1000.0, ending_sec=1000.0, **options):
    """A started launcher, with pipes; not after nohup, even where the tests are."""
    times = same_press_sec, first_repeat_sec, ending_sec
    options = {"stdin": subprocess.PIPE, "start_new_session": True,
               "preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL), **options}
    words = [sys.executable, "-S", "-c", PROGRAM.format(root=str(ROOT), command=command, times=times)]
    with subprocess.Popen(words, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@pytest.fixture
def mpirun(tmp_path):
    """The command "mpirun ..." whose program is `MPIRUN`."""
    program = tmp_path / "mpirun"
    program.write_text(MPIRUN.format(python=f"{sys.executable} -S"))
    program.chmod(0o755)
    return f"{program} -np 2 'bin/pretrain'"


def wait_for_handlers(process):
    """Wait until mpirun has its own."""
    assert process.stdout.readline() == "ready\n"


def tell(process, line):
    print(line, file=process.stdin, flush=True)


@pytest.mark.parametrize("ending, code", [("exit 0", 0), ("exit 3", 3), ("kill -KILL $$", 128 + signal.SIGKILL)])
def test_the_exit_code_is_mpiruns(tmp_path, ending, code):
    (tmp_path / "mpirun").write_text(f"{ending}\n")
    with launcher(f"sh {tmp_path}/mpirun") as process:
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == code


def test_mpirun_has_the_words_the_environment_and_the_open_files_it_would_have(tmp_path):
    (tmp_path / "mpirun").write_text('echo "$#,$1,$2,$WORD"; echo open >/proc/self/fd/$FILE\n')
    reader, writer = os.pipe()
    with launcher(f"sh {tmp_path}/mpirun 'a b' c", pass_fds=[writer],
                  env={**os.environ, "WORD": "x y", "FILE": str(writer)}) as process:
        assert process.communicate(timeout=60) == ("2,a b,c,x y\n", "")
    assert os.read(reader, 100) == b"open\n"
    os.close(reader)
    os.close(writer)


@BOTH
def test_the_first_signal_asks_the_ranks_to_save_and_the_second_ends_them(mpirun, number, name):
    with launcher(mpirun) as process:
        wait_for_handlers(process)
        process.send_signal(number)
        assert process.stderr.readline() == STOPPING.format(name)
        assert process.stdout.readline() == "SIGUSR1\n"
        time.sleep(0.2)  # longer than one press may take
        process.send_signal(number)
        assert process.stderr.readline() == ENDED.format(name)
        assert process.stdout.readline() == "SIGHUP\n"
        tell(process, 1)
        assert process.wait(timeout=60) == 1


def test_the_exit_code_of_ranks_that_have_saved_is_passed_on(mpirun):
    with launcher(mpirun) as process:
        wait_for_handlers(process)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "SIGUSR1\n"
        tell(process, 75)
        assert process.wait(timeout=60) == 75


def test_a_signal_that_comes_twice_at_a_time_counts_once(mpirun):
    with launcher(mpirun, same_press_sec=1000.0) as process:
        wait_for_handlers(process)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
            process.send_signal(number)
        assert sorted(process.stdout.readline() for _ in range(2)) == ["SIGUSR1\n", "SIGUSR2\n"]
        tell(process, 75)
        assert process.communicate(timeout=60)[0] == ""
    assert process.returncode == 75


def test_mpirun_is_asked_again_since_it_may_have_had_no_ranks_yet(mpirun):
    with launcher(mpirun, first_repeat_sec=0.1) as process:
        wait_for_handlers(process)
        process.send_signal(signal.SIGTERM)
        assert [process.stdout.readline() for _ in range(2)] == ["SIGUSR1\n"] * 2
        tell(process, 75)
        assert process.wait(timeout=60) == 75


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_users_signals_are_passed_on(mpirun, number):
    with launcher(mpirun) as process:
        wait_for_handlers(process)
        process.send_signal(number)
        assert process.stdout.readline() == f"{number.name}\n"
        tell(process, 75)
        assert process.communicate(timeout=60) == ("", "")


@BOTH
def test_a_signal_to_all_processes_of_a_job_does_not_reach_mpirun(mpirun, number, name):
    with launcher(mpirun, same_press_sec=1000.0) as process:
        wait_for_handlers(process)
        os.killpg(process.pid, number)
        assert process.stdout.readline() == "SIGUSR1\n"
        tell(process, "and no other")
        assert process.stdout.readline() == "and no other\n"
        tell(process, 75)
        assert process.wait(timeout=60) == 75


@BOTH
def test_ranks_without_a_handler_end_as_if_they_had_got_the_signal_itself(tmp_path, number, name):
    (tmp_path / "mpirun").write_text("echo ready; exec sleep 1000\n")
    with launcher(f"sh {tmp_path}/mpirun") as process:
        wait_for_handlers(process)
        process.send_signal(number)
        assert process.communicate(timeout=60) == ("", STOPPING.format(name))
    assert process.returncode == 128 + number


def test_an_mpirun_that_does_not_end_is_killed(mpirun):
    with launcher(mpirun, ending_sec=0.3) as process:
        wait_for_handlers(process)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "SIGUSR1\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "SIGHUP\n"
        time.sleep(0.4)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 128 + signal.SIGKILL


def test_a_killed_launcher_takes_mpirun_with_it(mpirun):
    with launcher(mpirun) as process:
        wait_for_handlers(process)
        process.kill()
        assert process.stdout.readline() == "SIGHUP\n"
        tell(process, 1)
        assert process.stdout.read() == ""  # mpirun had it open too


def test_nohup_holds_for_mpirun_too(mpirun):
    """mpirun takes SIGHUP back from whoever ignores it. What ends it then is SIGTERM."""
    with launcher(mpirun, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        wait_for_handlers(process)
        os.killpg(process.pid, signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "SIGUSR1\n"
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "SIGTERM\n"
        tell(process, 1)
        assert process.wait(timeout=60) == 1


def test_ctrl_c_at_the_terminal_saves_and_mpirun_reads_from_it(mpirun):
    with TerminalOfItsOwn() as terminal, launcher(mpirun, **terminal.options) as process:
        wait_for_handlers(process)
        terminal.type(b"typed\n")
        assert process.stdout.readline() == "typed\n"
        terminal.type(b"\x03")
        assert process.stdout.readline() == "SIGUSR1\n"
        terminal.type(b"75\n")
        assert process.wait(timeout=60) == 75
        assert process.stderr.read() == STOPPING.format("Ctrl-C")


def test_it_imports_nothing_slow():
    code = ("import sys; from albert_hvd.runtime import launcher; "
            "print({'numpy', 'tensorflow', 'horovod'} & set(sys.modules))")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True, timeout=60)
    assert result.stdout == "set()\n", result.stderr
