"""The batch scripts on a real Slurm: they are submitted as a user would, and end as they should."""

import json
import re

import pytest

from conftest import ROOT
from slurm_runs import (assert_same_curve, cluster, log_of, needs_cluster, one_host, shape, site,  # noqa: F401
                        training_flags)

pytestmark = [needs_cluster, pytest.mark.parallel, pytest.mark.slow]


def test_three_nodes_with_staged_records_train_as_one_host(cluster, site, training_files, one_host, tmp_path):
    environment = site(tmp_path, LOCAL_SCRATCH=str(tmp_path / "scratch"))
    job = cluster.submit(*shape(3, 1), "slurm/base.sh", *training_flags(training_files), cwd=ROOT, env=environment)
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
    log = log_of(tmp_path)
    assert "train_batch_size 12 = micro_batch_size 4 x accumulation_steps 1 x ranks 3" in log
    assert f"{tmp_path}/scratch{training_files}/train-" in log
    assert re.findall(r"launch.sh: (.*)", log)[-1] == "finished"
    logs = tmp_path / "base" / "logs" / job
    assert sorted(path.name for path in logs.iterdir()) == ["rank-0.log", "rank-1.log", "rank-2.log"]
    assert "finished" in (logs / "rank-0.log").read_text()
    assert_same_curve(tmp_path / "base", one_host)


@pytest.mark.parametrize("launcher", ["mpirun", "srun"])
def test_two_nodes_with_two_ranks_each_train_as_one_host(cluster, site, training_files, one_host, tmp_path, launcher):
    job = cluster.submit(*shape(2, 2), "slurm/large.sh", *training_flags(training_files), cwd=ROOT,
                         env=site(tmp_path, LAUNCHER=launcher))
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
    assert "micro_batch_size 3 x accumulation_steps 1 x ranks 4" in log_of(tmp_path)
    assert_same_curve(tmp_path / "large", one_host)


def test_smoke_trains_on_the_shipped_sample(cluster, site, tmp_path):
    job = cluster.submit("slurm/smoke_2node.sh", "--num_train_steps=2", "--num_warmup_steps=1", cwd=ROOT,
                         env=site(tmp_path))
    assert cluster.wait(job, timeout=300) == ("COMPLETED", 0), log_of(tmp_path)
    assert json.loads((tmp_path / f"smoke-{job}" / "status.json").read_text())["state"] == "finished"


def test_data_made_by_ranks_over_nodes_is_that_of_one_process(cluster, site, tmp_path):
    job = cluster.submit("--ntasks-per-node=2", "slurm/create_data.sh", "--dupe_factor=1", cwd=ROOT, env=site(tmp_path))
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
    records = tmp_path / "sample-data"
    assert len(list(records.glob("train.tfrecord-*"))) == 4
    alone = cluster.submit("--nodes=1", "--ntasks-per-node=1", "slurm/create_data.sh", "--dupe_factor=1", cwd=ROOT,
                           env=site(tmp_path / "alone"))
    assert cluster.wait(alone) == ("COMPLETED", 0), log_of(tmp_path / "alone")
    for path in records.glob("train.tfrecord-*"):
        assert path.read_bytes() == (tmp_path / "alone" / "sample-data" / path.name).read_bytes()


def test_doctor_examines_all_nodes(cluster, site, tmp_path):
    job = cluster.submit("--nodes=3", "slurm/doctor.sh", "--max_message_mb=1", cwd=ROOT,
                         env=site(tmp_path, INTERFACE="eth0"))
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
    document = json.loads((tmp_path / f"doctor-{job}" / "doctor.json").read_text())
    assert [rank["host"] for rank in document["ranks"]] == ["node1", "node2", "node3"]
    found = {finding["name"]: finding["what"] for finding in document["findings"]}
    assert found["interfaces"] == "on all nodes: eth0; used: eth0"
    assert "node2 10.84.0.2" in found["host names"]


def test_doctor_finds_that_the_gpus_are_not_seen(cluster, site, tmp_path):
    """The cluster's GPUs exist for Slurm only."""
    job = cluster.submit("--gpus-per-node=1", "slurm/doctor.sh", "--max_message_mb=1", cwd=ROOT, env=site(tmp_path))
    assert cluster.wait(job) == ("FAILED", 2), log_of(tmp_path)
    assert "Slurm gave 1 on node1, TensorFlow sees none" in log_of(tmp_path)
    assert [line for line in log_of(tmp_path).splitlines() if "doctor: 1 of 11 checks failed: GPUs" in line]
