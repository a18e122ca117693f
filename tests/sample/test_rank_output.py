"""bin/demo shows the output of a horovodrun without the launcher's tags, and progress as one bar on a terminal."""

import io
import signal
import sys

import pytest

from albert_hvd.sample.rank_output import run_ranks, show
from terminals import shown_on_a_terminal

FULL = "100%|##########| 200/200 <00:00  loss 5.9"
HALF = " 50%|#####     | 100/200 <00:31  loss 6.1"
TAGGED = ["[1,0]<stdout>:start      new weights\n", "[1,1]<stdout>:of rank 1\n", f"[1,0]<stdout>:{HALF}\n",
          "[1,2]<stderr>:warning: of rank 2\n", f"[1,0]<stdout>:{FULL}\n",
          "[1,0]<stdout>:finished: [1,1]<stdout>:of rank 1\n", "[1,0]<stdout>:step [1,0]<stdout>:200[1,0]<stdout>:\n",
          "mpirun says something\n"]


def test_a_file_gets_rank_0_and_all_errors_without_tags():
    output, errors = io.StringIO(), io.StringIO()
    show(TAGGED, output, errors)
    assert output.getvalue() == f"start      new weights\n{HALF}\n{FULL}\nfinished: step 200\n"
    assert errors.getvalue() == "warning: of rank 2\nmpirun says something\n"


def screen(text):
    """The lines that a terminal shows after `text`, which may go back to a line's start and clear it."""
    return [line.split("\r\x1b[K")[-1] for line in text.split("\r\n")]


@pytest.mark.parametrize("columns", [120, 20])
def test_a_terminal_gets_one_bar_below_the_other_lines(columns):
    shown = shown_on_a_terminal(lambda terminal: show(TAGGED, terminal, terminal), columns)
    assert screen(shown) == ["start      new weights", "warning: of rank 2", FULL[:columns - 1], "finished: step 200",
                             "mpirun says something", ""]
    assert HALF[:columns - 1] in shown


def test_a_bar_that_does_not_become_full_is_left_on_its_line():
    shown = shown_on_a_terminal(lambda terminal: show([TAGGED[2], "[1,0]<stdout>:stopped\n"], terminal, terminal))
    assert screen(shown) == ["stopped", HALF, ""]


def test_the_exit_code_is_the_launchers():
    output, errors = io.StringIO(), io.StringIO()
    program = "import sys; print('[1,0]<stdout>:here'); sys.stdout.flush(); sys.exit('[1,0]<stderr>:there')"
    assert run_ranks([sys.executable, "-c", program], output, errors) == 1
    assert (output.getvalue(), errors.getvalue()) == ("here\n", "there\n")


def test_a_line_without_an_end_is_shown():
    output, errors = io.StringIO(), io.StringIO()
    show(["[1,0]<stdout>:the last word"], output, errors)
    assert output.getvalue() == "the last word\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_the_launchers_which_lets_the_ranks_save(number):
    program = f"""
import os, signal, sys, time
def save(*_):
    print("[1,0]<stdout>:saved", flush=True)
    sys.exit(75)
signal.signal({number}, save)
time.sleep(0.5)
os.kill(os.getppid(), {number})
while True:
    signal.pause()
"""
    before, output = signal.getsignal(number), io.StringIO()
    assert run_ranks([sys.executable, "-c", program], output) == 75
    assert output.getvalue() == "saved\n" and signal.getsignal(number) is before
