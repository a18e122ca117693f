"""What training shows: a bar on a terminal, plain lines anywhere else."""

import contextlib

from albert_hvd.training import console
from albert_hvd.training.console import TrainLog
from synthetic_run import record
from terminals import shown_on_a_terminal


def show(folder):
    log = TrainLog(str(folder), 0, 0.0, total=8, unit="step")
    for step in (1, 2):
        log.write(record(step, loss=4.25), step / 8)
        log.advance(step / 8)
    log.write_evaluation(2, {"loss": 4.5})
    log.close()


def test_a_terminal_gets_a_bar(tmp_path, capsys):
    def show_with_errors_on(terminal):
        with contextlib.redirect_stderr(terminal):
            show(tmp_path)

    shown = shown_on_a_terminal(show_with_errors_on)
    last = [part for part in shown.splitlines() if part.strip()][-1]
    assert " 25%|" in last and "| 2/8 [" in last and "loss 4.250 mlm acc 0.020 154 real tok/s" in last
    assert "eval at step 2: loss 4.5000" in capsys.readouterr().out


def test_a_file_gets_lines(tmp_path, capsys):
    show(tmp_path)
    output, errors = capsys.readouterr()
    assert errors == ""
    assert "\r" not in output
    first, second, evaluation = output.splitlines()
    assert first.startswith(" 12%|") and "| 1/8 <" in first
    assert second.startswith(" 25%|") and "  loss 4.2500  mlm 3.5500 acc 0.0200  sentence 0.7000  lr 0.001  " in second
    assert second.endswith("12.0 seq/s  154 real tok/s  data wait 25.0%")
    assert evaluation == "eval at step 2: loss 4.5000"


def test_the_time_left_is_reckoned_from_the_pace_since_the_start(tmp_path, monkeypatch, capsys):
    seconds = iter((5000.0, 5020.0))
    monkeypatch.setattr(console.time, "monotonic", lambda: next(seconds))
    log = TrainLog(str(tmp_path), 50, 0.5, total=100, unit="step")
    log.write({**record(60), "elapsed_sec": 90_000.0}, 0.6)
    log.close()
    assert "60/100 <01:20 " in capsys.readouterr().out  # 40 steps at 2 s


def test_a_run_by_time_counts_minutes(tmp_path, capsys):
    log = TrainLog(str(tmp_path), 50, 0.25, total=120.0, unit="min")
    log.write(record(60), 0.5)
    log.close()
    line = capsys.readouterr().out
    assert line.startswith(" 50%|") and "| 60.0/120.0 <" in line
