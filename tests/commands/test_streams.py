"""What a shell, a notebook or a terminal makes of a command's streams, words and environment: no traceback."""

import json
import os
import shlex
import subprocess

import pytest
import synthetic_run
from conftest import ROOT, command_environment
from small_corpus import make_tokenizer
from small_tasks import make_task_model
from test_every_flag import COMMANDS
from trained_models import make_config, write_run

from albert_hvd.finetuning.task_model import write_task_model

NO_ROOM = "cannot write to standard output (No space left on device)"


def shell(line, folder, **environment):
    """Run a line of bash in `folder`, commands of bin/ by their name alone; one that fails in a pipe fails the pipe."""
    environment = {**command_environment(), **environment}
    environment["PATH"] = f"{ROOT / 'bin'}:{environment['PATH']}"
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], cwd=folder, env=environment, capture_output=True,
                          timeout=300)


@pytest.mark.parametrize("line, code, errors", [
    ("plot --help | head -1", 0, ""),
    ("plot --help >&-", 0, ""),
    ("plot --help >/dev/full", 0, f"warning: {NO_ROOM}: what is shown there gets lost\n"),
    ("plot --help 2>&-", 0, ""),
    ("plot nowhere 2>&-", 2, ""),
    ("plot nowhere 2>/dev/full", 2, ""),
    ("plot nowhere <&- >&-", 2, "plot: RUN_DIR nowhere: no such folder; name the --output_dir of a run\n"),
    ("predict --model=nowhere <&-", 2,
     "predict: standard input is closed; give texts there, one on each line\n"),
    ("predict --model=nowhere </dev/null >&-", 2,
     "predict: standard output is closed; let it go to a file, a pipe or a terminal\n"),
    ("fill_mask --model=nowhere <&-", 2,
     "fill_mask: standard input is closed; give texts there, one on each line\n"),
    (r"printf 'saya <mask>\n\xff\n' | fill_mask --model=nowhere 2>&1 | tail -n 1", 2, ""),
    (r"printf '\xff<mask>\n' | fill_mask --model=nowhere", 2,
     "fill_mask: standard input:1: not UTF-8; convert the text first\n")])
def test_streams_that_are_closed_full_or_not_read(tmp_path, line, code, errors):
    result = shell(line, tmp_path)
    assert (result.returncode, result.stderr.decode()) == (code, errors)
    assert b"Traceback" not in result.stdout and os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_words_that_are_not_utf_8_are_refused_before_anything_is_done(tmp_path, command):
    result = shell(rf"ALBERT_HVD_IS_SET_UP=1 {ROOT}/bin/{command} --output_dir=$'\xffa'", tmp_path)
    assert result.returncode == 2 and os.listdir(tmp_path) == []
    assert result.stderr.decode() == (f"{command}: argument 1, b'--output_dir=\\xffa', is not UTF-8: convert it "
                                      "(a file: rename it)\n")


def test_the_backend_of_a_notebook_does_not_matter(tmp_path):
    synthetic_run.write_run(tmp_path / "run")
    result = shell("plot run", tmp_path, MPLBACKEND="module://matplotlib_inline.backend_inline")
    assert (result.returncode, result.stderr) == (0, b"")
    assert (tmp_path / "run" / "plots" / "report.html").is_file()


def test_a_console_of_another_encoding_shows_escapes(tmp_path):
    synthetic_run.write_run(tmp_path / "Kuala‑Lumpur")
    result = shell("plot Kuala‑Lumpur", tmp_path, PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stderr) == (0, b"") and b"Kuala\\u2011Lumpur/plots/report.html" in result.stdout


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with a pre-trained model, a task model, and more lines of text than a pipe holds."""
    folder = tmp_path_factory.mktemp("models")
    write_run(folder / "run", make_config())
    model, task = make_task_model(make_config(), "emotion")
    write_task_model(str(folder / "emotion"), model, task, make_tokenizer(folder))
    (folder / "texts").write_text("saya <mask> di rumah\n" * 5000)
    return folder


@pytest.mark.tier("ci")
@pytest.mark.parametrize("command", ["predict --model=emotion", "fill_mask --model=run --top_k=1"])
def test_results_that_cannot_be_written(models, command):
    name = command.split()[0]
    result = shell(f"{command} < texts | head -n 1 > first", models)
    assert (result.returncode, result.stderr) == (0, b"")
    assert "saya <mask> di rumah" in (models / "first").read_text(encoding="utf-8")
    result = shell(f"{command} < texts >/dev/full", models)
    assert (result.returncode, result.stderr.decode()) == (
        1, f"{name}: {NO_ROOM}; make room, then run the command again\n")
    result = shell(f"head -n 3 texts | {command} 2>&-", models)
    assert result.returncode == 0 and result.stdout.count(b"saya <mask> di rumah") == 3


@pytest.mark.tier("ci")
@pytest.mark.parametrize("redirection", [">/dev/full", "2>/dev/full", ">&- 2>&- <&-", "2>&1 | head -n 1 >/dev/null"])
def test_a_run_goes_on_without_a_console(training_files, tmp_path, redirection):
    words = ["pretrain", f"--input_file={training_files}/eval.tfrecord", "--output_dir=out", "--num_train_steps=3",
             f"--bert_config_file={training_files}/config.json", "--max_seq_length=16", "--max_predictions_per_seq=3",
             "--train_batch_size=2", "--log_every_steps=1"]
    result = shell(f"{shlex.join(words)} {redirection}", tmp_path)
    assert result.returncode == 0 and b"Traceback" not in result.stderr
    assert json.loads((tmp_path / "out" / "status.json").read_text())["state"] == "finished"
    assert len((tmp_path / "out" / "train_log.jsonl").read_text().splitlines()) == 3
    warned = f"warning: {NO_ROOM}: what is shown there gets lost\n".encode()
    assert result.stderr.count(warned) == (redirection == ">/dev/full")
