"""The commands of README and docs/, run as they are printed, in a copy of the checkout."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from documentation import ROOT, blocks

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci"), pytest.mark.timeout(1500)]

# Writes what bin/setup compares with what it would make: the same as here, at another place.
STAMP = """
import dataclasses, json, pathlib, sys
import build_environment
settings = json.loads(pathlib.Path(sys.argv[1], "setup.json").read_text())
plan = build_environment.Plan(**{**settings, "root": str(build_environment.ROOT)})
(build_environment.VENV / "setup.json").write_text(json.dumps(dataclasses.asdict(plan)))
(build_environment.VENV / "setup.stamp").write_text(build_environment.stamp_of(plan))
"""

# README's first, whose model the other pages use. Whoever runs this test runs bin/test.
BLOCKS = [block for block in blocks("sh", "python") if block.text != "bin/test\n"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the checkout in which bin/setup has been run: here, that is, and the copy has it by links."""
    folder = tmp_path_factory.mktemp("readme") / "albert_hvd"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".venv", ".git", "runs", "*.egg-info", "__pycache__"))
    environment = folder / ".venv"
    environment.mkdir()
    for part in pathlib.Path(sys.prefix).iterdir():
        if not part.name.startswith("setup."):
            (environment / part.name).symlink_to(part)
    subprocess.run([environment / "bin" / "python", "-c", STAMP, sys.prefix], cwd=folder / "requirements", check=True)
    return folder


def user_environment():
    """The environment of a user who has activated nothing."""
    environment = {**os.environ, "PYTHON": sys._base_executable}
    environment.pop("VIRTUAL_ENV", None)
    environment["PATH"] = os.pathsep.join(
        folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.startswith(sys.prefix))
    return environment


def test_there_are_blocks_to_run():
    first_lines = [(block.page.name, block.text.splitlines()[0]) for block in BLOCKS]
    assert first_lines[:2] == [("README.md", "bin/demo"), ("README.md", "mkdir -p runs/first")]
    assert {"finetuning.md", "models.md", "pretraining.md"} <= {page for page, _ in first_lines}


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_a_block_runs(checkout, block):
    # What one block activates stays so for the reader's next ones.
    command = "[ ! -e .venv/bin/activate ] || source .venv/bin/activate\n"
    command += block.text if block.kind == "sh" else f"python - <<'END'\n{block.text}END\n"
    result = subprocess.run(["bash", "-euc", command], cwd=checkout, env=user_environment(), text=True,
                            stdin=subprocess.DEVNULL, capture_output=True)
    assert result.returncode == 0, f"{result.stdout}\n{result.stderr}"
    assert "Traceback" not in result.stderr
    if block.text.startswith("horovodrun -np 3 bin/pretrain\n"):
        assert "runs/sample" in result.stdout.splitlines()[0]
    if block.text.startswith("bin/demo"):
        before, after = (json.loads((checkout / "runs" / "demo" / part / "eval_results.json").read_text())
                         for part in ("untrained", "model"))
        assert after["masked_lm_loss"] < before["unigram_masked_lm_loss"] < before["masked_lm_loss"]
        assert "held-out MLM loss" in result.stdout
