"""The scripts of slurm/ without a Slurm: their form, and the arithmetic that their comments promise."""

import re
import shutil
import subprocess

import pytest

from albert_hvd.training.batch_plan import plan_batch
from conftest import ROOT

SCRIPTS = sorted((ROOT / "slurm").glob("*.sh"))
BATCH_SCRIPTS = [path for path in SCRIPTS if "#SBATCH" in path.read_text()]


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(path):
    result = subprocess.run(["shellcheck", "-x", path], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", BATCH_SCRIPTS, ids=lambda path: path.name)
def test_a_batch_script_hands_over_to_launch(path):
    """With exec: Slurm signals the batch script's own process, and that must be launch.sh."""
    assert re.search(r"^(MAX_CRASHES=0 )?exec slurm/launch\.sh ", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["base", "large", "smoke_2node", "create_data"])
def test_a_long_job_can_be_stopped_requeued_and_goes_on_in_its_log(name):
    lines = (ROOT / "slurm" / f"{name}.sh").read_text().splitlines()
    for option in ("--requeue", "--open-mode=append"):
        assert f"#SBATCH {option}" in lines
    assert any(re.fullmatch(r"#SBATCH --signal=B:USR1@\d+", line) for line in lines)


@pytest.mark.parametrize("name, nodes", [("base", (1, 2, 4, 5)), ("large", (1, 2, 4, 8, 10, 15, 16, 30, 32))])
def test_the_global_batch_fits_many_numbers_of_nodes(name, nodes):
    text = (ROOT / "slurm" / f"{name}.sh").read_text()
    batch, ranks = (int(re.search(pattern, text).group(1)) for pattern in (r"train_batch_size=(\d+)",
                                                                           r"ntasks-per-node=(\d+)"))
    for number in nodes:
        assert plan_batch(batch, number * ranks, 0, 1, None).micro_batch_size == batch // (number * ranks)


def test_a_site_is_chosen_by_its_file_alone():
    """cluster.env keeps what the environment says, and hands partition and account to sbatch."""
    script = ("source slurm/cluster.env; "
              'echo "$DATA_DIR $LAUNCHER $MAX_CRASHES $SBATCH_PARTITION ${SBATCH_ACCOUNT-unset}"')
    result = subprocess.run(["bash", "-euc", script], cwd=ROOT, capture_output=True, text=True,
                            env={"PATH": "/usr/bin:/bin", "DATA_DIR": "/lustre/data", "PARTITION": "gpu"})
    assert result.stdout == "/lustre/data mpirun 3 gpu unset\n", result.stderr


def test_records_are_staged_with_their_vocabulary(tmp_path):
    for name in ("a.tfrecord", ".a.tfrecord.index", "manifest.json", "vocabulary-01234567.model", "b.tfrecord"):
        (tmp_path / "records" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "records" / name).write_text(name)
    script = [ROOT / "slurm" / "stage_data.sh", f"{tmp_path}/records/a.tfrecord", tmp_path / "disk"]
    result = subprocess.run(script, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    copied = {path.name for path in (tmp_path / "disk").rglob("*") if path.is_file()} - {".staging.lock"}
    assert copied == {"a.tfrecord", ".a.tfrecord.index", "manifest.json", "vocabulary-01234567.model"}
    assert "0 files copied" in subprocess.run(script, capture_output=True, text=True).stdout
