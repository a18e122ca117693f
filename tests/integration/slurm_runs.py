"""What the tests of slurm/ share: the cluster, the settings of a site, and a finished run to compare with."""

import json
import sys

import pytest

from conftest import ROOT, command_environment, run_command
from virtual_cluster import VirtualCluster, why_not

STEPS = 40
CURVE_KEYS = ("step", "loss", "masked_lm_loss", "sentence_loss", "masked_lm_accuracy", "learning_rate", "grad_norm")

CLUSTER_ENV = """\
source slurm/cluster.env
activate_environment() {{ source {prefix}/bin/activate; }}
"""

needs_cluster = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="session")
def cluster():
    with VirtualCluster(nodes=3, gpus=4) as running:
        yield running


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A function that gives the environment of sbatch for one output folder."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "cluster.env").write_text(CLUSTER_ENV.format(prefix=sys.prefix))

    def environment(output_root, **settings):
        output_root.mkdir(exist_ok=True)  # Slurm's log needs it
        return {**command_environment(), "CLUSTER_ENV": str(folder / "cluster.env"), "OUTPUT_ROOT": str(output_root),
                "SMOKE": "1", "SBATCH_OUTPUT": f"{output_root}/job.log",
                # The test's user is root, and all nodes share the cores of one machine.
                "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                "OMPI_MCA_mpi_yield_when_idle": "1", "HOROVOD_CYCLE_TIME": "5", **settings}
    return environment


def training_flags(training_files, **changes):
    """The flags of a short run as words of a command line."""
    flags = {"input_file": f"{training_files}/train-*.tfrecord", "bert_config_file": f"{training_files}/config.json",
             "max_seq_length": 16, "max_predictions_per_seq": 3, "train_batch_size": 12, "num_train_steps": STEPS,
             "optimizer": "lamb", "learning_rate": 0.01, "pack_sequences": False, "deterministic": True, **changes}
    return [f"--{name}={value}" for name, value in flags.items()]


def shape(nodes, ranks_per_node):
    return [f"--nodes={nodes}", f"--ntasks-per-node={ranks_per_node}", f"--gpus-per-node={ranks_per_node}"]


@pytest.fixture(scope="session")
def one_host(training_files, tmp_path_factory):
    """The output folder of the same run without Slurm: one rank on this machine."""
    folder = tmp_path_factory.mktemp("one_host")
    flags = dict(word[2:].split("=", 1) for word in training_flags(training_files))
    result = run_command("pretrain", flagfile=ROOT / "slurm" / "smoke.flags", output_dir=folder, **flags)
    assert result.returncode == 0, result.stderr
    return folder


def curve(folder):
    """What the log of a finished run says of every step, without the clock's part."""
    with open(folder / "train_log.jsonl", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    assert [record["step"] for record in records] == list(range(1, STEPS + 1))
    return [{key: record[key] for key in CURVE_KEYS} for record in records]


def assert_same_curve(folder, reference):
    """Loss and its parts at every step, to the rounding of another order of summation."""
    for ours, theirs in zip(curve(folder), curve(reference)):
        for key in ("loss", "masked_lm_loss", "sentence_loss", "learning_rate"):
            assert ours[key] == pytest.approx(theirs[key], abs=1e-4), (key, ours["step"])


def log_of(output_root):
    return (output_root / "job.log").read_text(encoding="utf-8")


def last_logged_step(folder):
    try:
        return json.loads((folder / "train_log.jsonl").read_text(encoding="utf-8").splitlines()[-1])["step"]
    except (OSError, IndexError, ValueError):
        return 0


def submit_command(cluster, environment, folder, command, *options):
    """Submit a batch script that has slurm/launch.sh start `command`; its output folder is folder/out."""
    script = folder / "job.sh"
    script.write_text(f"#!/bin/bash\n#SBATCH --requeue --open-mode=append\n"
                      f"exec slurm/launch.sh {folder}/out {command}\n")
    return cluster.submit("--chdir", ROOT, *options, script, cwd=ROOT, env=environment)
