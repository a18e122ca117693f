"""A job that cannot work says so in one line of its log, and is not requeued."""

import pytest

from conftest import ROOT
from slurm_runs import cluster, log_of, needs_cluster, shape, site, training_flags  # noqa: F401

pytestmark = [needs_cluster, pytest.mark.parallel, pytest.mark.slow]


def refusal(cluster, environment, tmp_path, *words):
    """The log lines of a job that must end with exit code 2."""
    job = cluster.submit(*words, cwd=ROOT, env=environment)
    assert cluster.wait(job) == ("FAILED", 2), log_of(tmp_path)
    assert cluster.job(job)["Restarts"] == "0"
    assert "Traceback" not in log_of(tmp_path)
    return log_of(tmp_path).splitlines()


def test_more_ranks_than_gpus(cluster, site, tmp_path):
    lines = refusal(cluster, site(tmp_path), tmp_path, "--ntasks-per-node=4", "slurm/base.sh")
    assert len(lines) == 1
    assert "4 ranks and 3 GPUs on node" in lines[0] and "--gpus-per-node" in lines[0]


def test_one_gpu_per_task_under_mpirun(cluster, site, tmp_path):
    lines = refusal(cluster, site(tmp_path), tmp_path, "--gpus-per-task=1", "slurm/smoke_2node.sh")
    assert len(lines) == 1 and "--gpus-per-node" in lines[0]


def test_more_gpus_than_a_node_has_are_refused_at_submission(cluster, site, tmp_path):
    result = cluster.run("sbatch", "--gpus-per-node=5", "slurm/base.sh", cwd=ROOT, env=site(tmp_path))
    assert result.returncode != 0 and "not available" in result.stderr


def test_a_missing_environment(cluster, site, tmp_path):
    (tmp_path / "cluster.env").write_text("source slurm/cluster.env\n"
                                          "activate_environment() { source /nowhere/bin/activate; }\n")
    lines = refusal(cluster, site(tmp_path, CLUSTER_ENV=str(tmp_path / "cluster.env")), tmp_path, "slurm/base.sh")
    assert sum("launch.sh: " in line for line in lines) == 1
    assert "run bin/setup" in lines[-1] and "slurm/cluster.env" in lines[-1]


def test_a_data_path_that_is_not_there(cluster, site, training_files, tmp_path):
    lines = refusal(cluster, site(tmp_path), tmp_path, *shape(2, 1), "slurm/base.sh",
                    *training_flags(training_files, input_file="/nowhere/train.tfrecord*"))
    assert [line.split("pretrain: ")[1] for line in lines if "pretrain: " in line] == [
        "--input_file=/nowhere/train.tfrecord*: no file matches this pattern; check the folder and quote the pattern "
        "in the shell"]


def test_a_data_path_that_a_node_does_not_see(cluster, site, training_files, tmp_path):
    lines = refusal(cluster, site(tmp_path, LOCAL_SCRATCH=str(tmp_path / "scratch")), tmp_path, *shape(2, 1),
                    "slurm/base.sh", *training_flags(training_files, input_file="/nowhere/train.tfrecord*"))
    assert any("stage_data.sh: node1: no file matches /nowhere/train.tfrecord*" in line for line in lines)


def test_too_little_room_for_staging(cluster, site, training_files, tmp_path):
    shards = tmp_path / "train.tfrecord"
    with open(shards, "wb") as file:
        file.truncate(10**13)  # sparse: it takes no room itself
    lines = refusal(cluster, site(tmp_path, LOCAL_SCRATCH=str(tmp_path / "scratch")), tmp_path, *shape(2, 1),
                    "slurm/base.sh", *training_flags(training_files, input_file=shards))
    assert any("10000000 MB of records and" in line and "make room" in line for line in lines)
