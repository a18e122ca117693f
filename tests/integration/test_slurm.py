"""The scripts of slurm/ on a real Slurm: submitted as a user would, disturbed, and given what cannot work.

One file, so that all its tests share one cluster and one run to compare with.
"""

import json
import re

import pytest

from conftest import ROOT
from slurm_runs import (STEPS, assert_same_curve, cluster, curve, last_logged_step, log_of, needs_cluster,  # noqa: F401
                        one_host, shape, site, submit_command, training_flags)
from virtual_cluster import VirtualCluster

pytestmark = [needs_cluster, pytest.mark.parallel, pytest.mark.tier("ci")]

# Stands for a training run that only Slurm's time limit stops: works at the second start.
STOPPABLE = """\
import json, os, signal, sys, time
def stop(*_):
    json.dump({"state": "stopped", "step": 7, "time": time.time()}, open(sys.argv[1] + "/status.json", "w"))
    os._exit(75)
signal.signal(signal.SIGUSR1, stop)
time.sleep(0 if os.environ.get("SLURM_RESTART_COUNT") else 600)
json.dump({"state": "finished", "step": 9, "time": time.time()}, open(sys.argv[1] + "/status.json", "w"))
"""


@pytest.fixture(scope="module")
def time_limited(cluster, site, tmp_path_factory):
    """A job with a time limit of a minute, submitted first since it waits for that: (job, its folder)."""
    folder = tmp_path_factory.mktemp("time_limited")
    (folder / "stoppable.py").write_text(STOPPABLE)
    command = f"python {folder}/stoppable.py {folder}/out"
    return submit_command(cluster, site(folder), folder, command, "--nodes=1", "--time=1",
                          "--signal=B:USR1@30"), folder


@pytest.fixture(scope="module")
def two_nodes(time_limited, cluster, site, training_files, tmp_path_factory):
    """An undisturbed run over the two nodes that are left, with records on the nodes' own disks: (job, its folder)."""
    folder = tmp_path_factory.mktemp("two_nodes")
    job = cluster.submit(*shape(2, 1), "slurm/base.sh", *training_flags(training_files), cwd=ROOT,
                         env=site(folder, LOCAL_SCRATCH=str(folder / "scratch")))
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(folder)
    return job, folder


def test_two_nodes_with_staged_records_train_as_one_host(two_nodes, training_files, one_host):
    job, folder = two_nodes
    log = log_of(folder)
    assert "train_batch_size 12 = micro_batch_size 6 x accumulation_steps 1 x ranks 2" in log
    assert re.search(rf"{folder}/scratch/[0-9a-f]{{16}}{training_files}/train-", log)
    assert re.findall(r"launch.sh: (.*)", log)[-1] == "finished"
    logs = folder / "base" / "logs" / job
    assert sorted(path.name for path in logs.iterdir()) == ["rank-0.log", "rank-1.log"]
    assert "finished" in (logs / "rank-0.log").read_text()
    assert_same_curve(folder / "base", one_host)


@pytest.mark.tier("all")
def test_two_nodes_with_two_ranks_each_train_as_one_host(cluster, site, training_files, one_host, tmp_path):
    job = cluster.submit(*shape(2, 2), "slurm/large.sh", *training_flags(training_files), cwd=ROOT, env=site(tmp_path))
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
    assert "micro_batch_size 3 x accumulation_steps 1 x ranks 4" in log_of(tmp_path)
    assert_same_curve(tmp_path / "large", one_host)


def test_a_signal_requeues_and_the_curve_is_identical(two_nodes, cluster, site, training_files, tmp_path):
    job = cluster.submit(*shape(2, 1), "slurm/base.sh", *training_flags(training_files), cwd=ROOT, env=site(tmp_path))
    cluster.wait_for(lambda: last_logged_step(tmp_path / "base") >= 3, "step 3", 120)
    assert cluster.run("scancel", "--batch", "--signal=USR1", job).returncode == 0
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
    assert cluster.job(job)["Restarts"] == "1"
    log = log_of(tmp_path)
    stopped = int(re.search(r"launch.sh: requeued: stopped at step (\d+)", log).group(1))
    assert 3 <= stopped < STEPS and f"resuming at step {stopped}" in log
    assert curve(tmp_path / "base") == curve(two_nodes[1] / "base")


def test_a_lost_node_requeues_and_fewer_nodes_go_on(site, training_files, one_host, tmp_path):
    """Without GPUs: Slurm 22.05 forgets those of a job that is requeued from a lost node."""
    with VirtualCluster(nodes=3, gpus=1) as cluster:
        job = cluster.submit("--nodes=3", "slurm/smoke_2node.sh",
                             *training_flags(training_files, save_checkpoints_steps=5), cwd=ROOT, env=site(tmp_path))
        folder = tmp_path / f"smoke-{job}"
        cluster.wait_for(lambda: last_logged_step(folder) >= 12, "step 12", 120)
        cluster.lose("node3")
        cluster.wait_for(lambda: cluster.job(job)["JobState"] == "PENDING", "the requeue", 60)
        # There is no spare node; the user asks for no more than the two that are left.
        update = cluster.run("scontrol", "update", f"JobId={job}", "NumNodes=2-2", "NumTasks=2", "NumCPUs=4")
        assert update.returncode == 0, update.stderr
        assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
        assert (cluster.job(job)["NodeList"], cluster.job(job)["Restarts"]) == ("node[1-2]", "1")
    log = log_of(tmp_path)
    assert "launch.sh: requeued: crash 1 since the newest checkpoint" in log
    assert "accumulation_steps 1 x ranks 3" in log and "accumulation_steps 1 x ranks 2" in log
    assert re.search(r"resuming at step \d*[05]\b", log)
    assert_same_curve(folder, one_host)


def test_a_crash_is_requeued_so_many_times(cluster, site, tmp_path):
    job = submit_command(cluster, site(tmp_path, MAX_CRASHES="1"), tmp_path, "false", "--nodes=1")
    assert cluster.wait(job) == ("FAILED", 1), log_of(tmp_path)
    assert cluster.job(job)["Restarts"] == "1"
    assert "requeued: crash 1 since the newest checkpoint (exit code 1)" in log_of(tmp_path)
    assert "crash 2 since the newest checkpoint (exit code 1): not requeued, since MAX_CRASHES=1" in log_of(tmp_path)


@pytest.mark.tier("all")
def test_smoke_trains_on_the_shipped_sample_with_srun(cluster, site, tmp_path):
    job = cluster.submit("slurm/smoke_2node.sh", "--num_train_steps=2", "--num_warmup_steps=1", cwd=ROOT,
                         env=site(tmp_path, LAUNCHER="srun"))
    assert cluster.wait(job, timeout=300) == ("COMPLETED", 0), log_of(tmp_path)
    assert "with srun" in log_of(tmp_path) and "accumulation_steps 1 x ranks 2" in log_of(tmp_path)
    assert json.loads((tmp_path / f"smoke-{job}" / "status.json").read_text())["state"] == "finished"


@pytest.mark.tier("all")
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


@pytest.mark.tier("all")
def test_doctor_examines_all_nodes(cluster, site, tmp_path):
    job = cluster.submit("--nodes=3", "slurm/doctor.sh", "--max_message_mb=1", cwd=ROOT,
                         env=site(tmp_path, INTERFACE="eth0"))
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
    document = json.loads((tmp_path / f"doctor-{job}" / "doctor.json").read_text())
    assert [rank["host"] for rank in document["ranks"]] == ["node1", "node2", "node3"]
    found = {finding["name"]: finding["what"] for finding in document["findings"]}
    assert found["interfaces"] == "on all nodes: eth0; used: eth0"
    assert "node2 10.84.0.2" in found["host names"]


@pytest.mark.tier("all")
def test_doctor_finds_that_the_gpus_are_not_seen(cluster, site, tmp_path):
    """The cluster's GPUs exist for Slurm only."""
    job = cluster.submit("--gpus-per-node=1", "slurm/doctor.sh", "--max_message_mb=1", cwd=ROOT, env=site(tmp_path))
    assert cluster.wait(job) == ("FAILED", 2), log_of(tmp_path)
    assert "Slurm gave 1 on node1, TensorFlow sees none" in log_of(tmp_path)
    assert [line for line in log_of(tmp_path).splitlines() if "doctor: 1 of 11 checks failed: GPUs" in line]


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


@pytest.mark.tier("all")
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


def test_a_time_limit_requeues_once_and_a_finished_run_is_not_requeued(time_limited, cluster):
    job, folder = time_limited
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(folder)
    assert cluster.job(job)["Restarts"] == "1"
    assert "requeued: stopped at step 7" in log_of(folder)
    assert json.loads((folder / "out" / "status.json").read_text())["state"] == "finished"
