"""The doctor's judgements on made-up facts, and one real run on this machine."""

import copy
import json

import pynvml
import pytest

from albert_hvd.doctor import facts as doctor_facts
from albert_hvd.doctor import report
from albert_hvd.doctor.checks import GIB, check_all
from conftest import run_command


def fact(rank, host, local_rank, **changes):
    """What a rank of a healthy job sees: 2 nodes of 2 GPUs, one rank each."""
    return {"rank": rank, "size": 4, "local_rank": local_rank, "local_size": 2, "host": host,
            "address": f"10.0.0.{host[-1]}", "versions": {"python": "3.11.7", "MPI": "Open MPI v4.1.8"},
            "libraries": "libmpi /env/lib/libmpi.so.40; Horovod with MPI", "interfaces": {"eth0": "10.0.0.1"},
            "wanted_interface": None, "gpus": ["gpu0", "gpu1"], "driver": "580.65.06", "driver_gpus": 2,
            "own_gpus": [f"gpu{local_rank}"],
            "cuda_visible_devices": "0,1", "cores": 16, "cores_of_node": 64, "free_memory": 100 * GIB,
            "free_disk": {"output folder": 50 * GIB, "temporary folder": 50 * GIB, "/dev/shm": GIB},
            "slurm": {"SLURM_JOB_NUM_NODES": 2, "SLURM_GPUS_ON_NODE": 2}, **changes}


@pytest.fixture
def healthy():
    return [fact(rank, f"node{1 + rank // 2}", rank % 2) for rank in range(4)]


def failed(facts, skew_sec=0.01, unseen=()):
    return {finding.name: finding for finding in check_all(facts, skew_sec, list(unseen)) if finding.mend}


def test_a_healthy_job_passes(healthy):
    assert failed(healthy) == {}
    healthy[3]["driver"] = "550.54.15"
    said = {finding.name: finding.what for finding in check_all(healthy, 0.01, [])}
    assert said["GPUs"] == "one for each rank (driver 550.54.15, 580.65.06)"


def test_gpus_of_the_driver(monkeypatch):
    def no_driver():
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", no_driver)
    assert doctor_facts._nvidia_driver() == (None, 0)
    closed = []
    for name, value in [("nvmlInit", None), ("nvmlSystemGetDriverVersion", "580.65.06"), ("nvmlDeviceGetCount", 2)]:
        monkeypatch.setattr(pynvml, name, lambda value=value: value)
    monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: closed.append(True))
    assert doctor_facts._nvidia_driver() == ("580.65.06", 2) and closed == [True]


# What is changed on the ranks of node2, the check that must fail, what it must name, and the mend.
SICK = [
    ({"versions": {"python": "3.12.1", "MPI": "Open MPI v4.1.8"}}, "versions", "3.12.1 on node2", ".venv"),
    ({"versions": {"python": "3.11.7"}}, "versions", "MPI is Open MPI v4.1.8 on node1; missing on node2", ".venv"),
    ({"libraries": "libmpi /usr/lib/libmpi.so; Horovod with MPI"}, "libraries", "/usr/lib/libmpi.so", "module"),
    ({"address": "127.0.1.1"}, "host names", "node2", "INTERFACE"),
    ({"address": None}, "host names", "node2", "INTERFACE"),
    ({"interfaces": {"ib0": "10.1.0.2"}}, "interfaces", "no interface name in common", "--constraint"),
    ({"gpus": [], "own_gpus": []}, "GPUs", "Slurm gave 2 on node2, TensorFlow sees none", "bin/setup --gpu"),
    ({"gpus": [], "own_gpus": [], "slurm": {}, "cuda_visible_devices": None}, "GPUs",
     "the driver shows 2 on node2, TensorFlow sees none", "bin/setup --gpu"),
    ({"gpus": [], "own_gpus": [], "slurm": {}}, "GPUs", "ranks on node2 have none", "--exclude"),
    ({"cores": 1}, "cores", "1 of 64", "--bind-to none"),
    ({"free_memory": 3 * GIB}, "memory", "1.5 GiB free for each rank on node2", "--mem"),
    ({"free_disk": {"output folder": 50 * GIB, "temporary folder": 0, "/dev/shm": GIB}}, "disk",
     "temporary folder: 0.00 GiB free on node2", "make room"),
    ({"local_size": 3}, "launch", "2 to 3 on a node", "--ntasks-per-node"),
]


@pytest.mark.parametrize("changes, name, what, mend", SICK, ids=lambda value: value if isinstance(value, str) else "")
def test_each_sickness_is_named_with_its_mend(healthy, changes, name, what, mend):
    for rank in (2, 3):
        healthy[rank].update(changes)
    findings = failed(healthy)
    assert set(findings) == {name}
    assert what in findings[name].what and mend in findings[name].mend


def test_an_interface_that_a_node_lacks(healthy):
    for rank, one in enumerate(healthy):
        one.update(wanted_interface="ib0", interfaces={"eth0": "10.0.0.1", **({"ib0": "10.1.0.1"} if rank < 2 else {})})
    finding = failed(healthy)["interfaces"]
    assert "node2 has no ib0, only eth0" in finding.what and finding.mend.endswith("one of: eth0")


def test_processes_that_do_not_know_of_each_other():
    alone = fact(0, "node1", 0, size=1, local_size=1, slurm={"SLURM_STEP_NUM_TASKS": 4, "SLURM_JOB_NUM_NODES": 2})
    assert "4 processes, each alone" in failed([alone])["launch"].what


def test_ranks_on_fewer_nodes_than_slurm_gave(healthy):
    for one in healthy:
        one["host"] = "node1"
    assert "on 1 nodes, but Slurm gave 2" in failed(healthy)["launch"].what


def test_clocks_and_the_shared_folder(healthy):
    assert "2.500 s apart" in failed(healthy, skew_sec=2.5)["clocks"].what
    unseen = ["node2 does not see the file of node1"]
    assert failed(healthy, unseen=unseen)["shared folder"].what == unseen[0]


def test_the_text_has_the_mend_under_what_is_wrong(healthy):
    sick = copy.deepcopy(healthy)
    sick[3]["cores"] = 1
    lines = report.findings_text(check_all(sick, 0.0, [])).splitlines()
    line = next(number for number, text in enumerate(lines) if text.startswith("FAIL"))
    assert "cores" in lines[line] and "--bind-to none" in lines[line + 1]
    assert sum(text.startswith("ok") for text in lines) == 10


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_two_ranks_of_this_machine(tmp_path):
    result = run_command("doctor", ranks=2, output_dir=tmp_path, max_message_mb=1, use_gpu=False)
    document = json.loads((tmp_path / "doctor.json").read_text())
    found = {finding["name"]: finding for finding in document["findings"]}
    # How much room a machine has is not this test's business.
    wrong = {name for name, finding in found.items() if finding["mend"]} - {"memory", "disk"}
    assert not wrong, result.stdout
    assert [rank["rank"] for rank in document["ranks"]] == [0, 1]
    assert "libmpi" in found["libraries"]["what"]
    assert [row["bytes"] for row in document["allreduce"]] == [4 * 8**power for power in range(6)]
    assert all(row["seconds"] > 0 for row in document["allreduce"])
    assert (tmp_path / "allreduce.png").read_bytes().startswith(b"\x89PNG")
    assert not list(tmp_path.glob(".doctor-*"))
