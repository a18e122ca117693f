"""The old project's two command lines, word for word as docs/pretraining.md prints them."""

import json
import os
import shlex
import signal
import subprocess
import time

import documentation
import numpy as np
import psutil
import pytest

from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.model.config import AlbertConfig
from conftest import ROOT, command_environment, random_record

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci")]


def old_commands():
    """The words of the two commands in the pages' one block of old command lines."""
    block, = documentation.blocks("sh old")
    return [shlex.split(line) for line in block.text.splitlines()]


@pytest.fixture
def old_folder(tmp_path):
    """A folder as the commands expect it: their files, with a tiny model under the base config's name."""
    (tmp_path / "bin").symlink_to(ROOT / "bin")
    (tmp_path / "albert_config").mkdir()
    config = AlbertConfig(vocab_size=50, embedding_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
                          intermediate_size=16)
    (tmp_path / "albert_config" / "albert_config_base.json").write_text(json.dumps(config.to_dict()))
    random = np.random.default_rng(1)
    for name in ("albert-brightmart.tfrecord", "tests_output.tfrecord"):
        with RecordWriter(str(tmp_path / name)) as writer:
            for _ in range(7):
                writer.write(random_record(random, 512, 51))
    return tmp_path


@pytest.mark.parametrize("launcher", [["horovodrun", "-np", "3"], []], ids=["three_ranks", "alone"])
def test_they_run(old_folder, launcher):
    train, validate = old_commands()
    assert train[:3] == ["horovodrun", "-np", "3"]
    process = subprocess.Popen([*launcher, *train[3:]], cwd=old_folder, env=command_environment(), text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    log = old_folder / "pretraining_output" / "train_log.jsonl"
    deadline = time.monotonic() + 180
    while not (log.exists() and log.read_text()) and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.1)
    # A million steps are more than a test needs; a signal ends them as a scheduler would.
    ranks = [p for p in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
             if any(word.endswith("bin/pretrain") for word in p.cmdline()[:2])]
    ranks[0].send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 75, errors
    assert errors.count("--use_gpu=True") == 1  # one warning: there is no GPU here
    assert f"micro_batch_size {120 // max(1, 3 * bool(launcher))}" in output
    result = subprocess.run(validate, cwd=old_folder, env=command_environment(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = (old_folder / "pretraining_output" / "eval_results.txt").read_text()
    step = json.loads((old_folder / "pretraining_output" / "status.json").read_text())["step"]
    assert lines.startswith(f"global_step = {step}\n")
    assert os.path.exists(old_folder / "pretraining_output" / "checkpoints" / f"step_{step:08d}")
