"""Signals, crashes and lost nodes on a real Slurm: the job is requeued, and ends as if nothing had been."""

import json
import re

import pytest

from conftest import ROOT
from slurm_runs import (STEPS, assert_same_curve, cluster, curve, last_logged_step, log_of, needs_cluster,  # noqa: F401
                        one_host, shape, site, training_flags)
from virtual_cluster import VirtualCluster

pytestmark = [needs_cluster, pytest.mark.parallel, pytest.mark.slow]

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


def submit_command(cluster, environment, folder, command, *options):
    """Submit a batch script that has slurm/launch.sh start `command`; its output folder is folder/out."""
    script = folder / "job.sh"
    script.write_text(f"#!/bin/bash\n#SBATCH --requeue --open-mode=append\n"
                      f"exec slurm/launch.sh {folder}/out {command}\n")
    return cluster.submit("--chdir", ROOT, *options, script, cwd=ROOT, env=environment)


@pytest.fixture(scope="module")
def time_limited(cluster, site, tmp_path_factory):
    """A job with a time limit of a minute, submitted first since it waits for that: (job, its folder)."""
    folder = tmp_path_factory.mktemp("time_limited")
    (folder / "stoppable.py").write_text(STOPPABLE)
    command = f"python {folder}/stoppable.py {folder}/out"
    return submit_command(cluster, site(folder), folder, command, "--nodes=1", "--time=1",
                          "--signal=B:USR1@30"), folder


def test_a_signal_requeues_and_the_curve_is_identical(time_limited, cluster, site, training_files, tmp_path):
    jobs = {}
    for name in ("undisturbed", "signalled"):
        jobs[name] = cluster.submit(*shape(2, 1), "slurm/large.sh", *training_flags(training_files), cwd=ROOT,
                                    env=site(tmp_path / name))
        if name == "signalled":
            folder = tmp_path / name / "large"
            cluster.wait_for(lambda: last_logged_step(folder) >= 3, "step 3", 120)
            assert cluster.run("scancel", "--batch", "--signal=USR1", jobs[name]).returncode == 0
        assert cluster.wait(jobs[name]) == ("COMPLETED", 0), log_of(tmp_path / name)
    assert cluster.job(jobs["signalled"])["Restarts"] == "1"
    log = log_of(tmp_path / "signalled")
    stopped = int(re.search(r"launch.sh: requeued: stopped at step (\d+)", log).group(1))
    assert 3 <= stopped < STEPS and f"resuming at step {stopped}" in log
    assert curve(tmp_path / "signalled" / "large") == curve(tmp_path / "undisturbed" / "large")


def test_a_lost_node_requeues_and_another_number_of_nodes_goes_on(site, training_files, one_host, tmp_path):
    with VirtualCluster(nodes=3, gpus=1) as cluster:
        job = cluster.submit(*shape(3, 1), "slurm/large.sh", *training_flags(training_files, save_checkpoints_steps=5),
                             cwd=ROOT, env=site(tmp_path))
        cluster.wait_for(lambda: last_logged_step(tmp_path / "large") >= 12, "step 12", 120)
        cluster.lose("node3")
        cluster.wait_for(lambda: cluster.job(job)["JobState"] == "PENDING", "the requeue", 60)
        # Two nodes are left; the user of a cluster without a spare one asks for no more.
        update = cluster.run("scontrol", "update", f"JobId={job}", "NumNodes=2-2", "NumTasks=2", "NumCPUs=16")
        assert update.returncode == 0, update.stderr
        assert cluster.wait(job) == ("COMPLETED", 0), log_of(tmp_path)
        assert (cluster.job(job)["NodeList"], cluster.job(job)["Restarts"]) == ("node[1-2]", "1")
    log = log_of(tmp_path)
    assert "accumulation_steps 1 x ranks 3" in log and "accumulation_steps 1 x ranks 2" in log
    assert re.search(r"resuming at step \d*[05]\b", log)
    assert_same_curve(tmp_path / "large", one_host)


def test_a_crash_is_requeued_so_many_times(cluster, site, tmp_path):
    job = submit_command(cluster, site(tmp_path, MAX_CRASHES="1"), tmp_path, "false", "--nodes=1")
    assert cluster.wait(job) == ("FAILED", 1), log_of(tmp_path)
    assert cluster.job(job)["Restarts"] == "1"
    assert "requeued: crash 1 without a new checkpoint (exit code 1)" in log_of(tmp_path)
    assert "crash 2 without a new checkpoint (exit code 1): not requeued, since MAX_CRASHES=1" in log_of(tmp_path)


def test_a_time_limit_requeues_once_and_a_finished_run_is_not_requeued(time_limited, cluster):
    job, folder = time_limited
    assert cluster.wait(job) == ("COMPLETED", 0), log_of(folder)
    assert cluster.job(job)["Restarts"] == "1"
    assert "requeued: stopped at step 7" in log_of(folder)
    assert json.loads((folder / "out" / "status.json").read_text())["state"] == "finished"
