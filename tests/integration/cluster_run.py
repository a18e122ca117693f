#!/usr/bin/env python3
r"""A run as on a cluster: it loses a node, goes on with fewer, meets its time limit, and must learn as one host does.

    tests/integration/cluster_run.py --folder=DIR --input_file=news.txt --tokenizer=malay.model --text_mb=1000

Makes records of that much text (the given one over and over, with other words in it), trains tiny on one host left
alone with two ranks, then the same on a virtual Slurm cluster of three nodes with two ranks each, whose records are
copied to each node's own memory disk. Then a node dies; the job is requeued and goes on with the two that are left,
until the time limit stops it; it is requeued again and finishes. Prints what the job's log says, and how far the two
curves are apart. What DIR holds already is not made again. Needs root and what install_slurm.sh installs;
`virtual_cluster.why_not()` says what is missing.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path += [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "integration")]

from albert_hvd.data.text.corpus import plan_blocks, read_block  # noqa: E402
from albert_hvd.runtime.files import expand_input_files, whole_file  # noqa: E402
from benchmarks.repeated_text import repeat  # noqa: E402
from conftest import command_environment  # noqa: E402
from slurm_runs import CLUSTER_ENV, last_logged_step  # noqa: E402
from virtual_cluster import VirtualCluster, why_not  # noqa: E402

SHAPE = {"max_seq_length": 128, "max_predictions_per_seq": 20}
COMPARED = ("loss", "masked_lm_loss", "sentence_loss")
TOLD = ("launch.sh: ", "stage_data.sh: ", "stopped by", "resuming at", "train_batch_size ", "saved")
# The user here is root, and all nodes share the cores of one machine.
SITE = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
        "HOROVOD_CYCLE_TIME": "5", "LOCAL_SCRATCH": "/dev/shm/records"}


def make_records(folder, given):
    """Text of `given.text_mb` and its records, in the folder; returns the records' pattern."""
    text, records = folder / "text.txt", folder / "records" / "train.tfrecord"
    if not (records.parent / "manifest.json").exists():
        paths = expand_input_files(given.input_file)
        documents = [document for block in plan_blocks(paths) for document in read_block(block)[0]]
        with whole_file(str(text), "folder", sync=False) as file:
            for document in repeat(documents, given.text_mb * 1_000_000):
                file.write(document.encode("utf-8") + b"\n")
        command("create_pretraining_data", input_file=text, tokenizer=given.tokenizer, output_file=f"{records}@6",
                dupe_factor=1, padding=False, num_workers=2, **SHAPE)
        text.unlink()
    size = sum(path.stat().st_size for path in records.parent.iterdir())
    print(f"records of {given.text_mb} MB of text: {size / 1e6:.0f} MB", flush=True)
    return f"{records}-*"


def command(name, launcher=(), **flags):
    words = [*launcher, ROOT / "bin" / name, *(f"--{flag}={value}" for flag, value in flags.items())]
    subprocess.run(list(map(str, words)), check=True, env={**command_environment(), **SITE}, stdout=subprocess.DEVNULL)


def train_on_cluster(folder, flags, given):
    """Submit, disturb, and wait; returns (Slurm's words about the job, its output folder)."""
    environment = {**command_environment(), "CLUSTER_ENV": str(folder / "cluster.env"), "OUTPUT_ROOT": str(folder), **SITE,
                   "SBATCH_OUTPUT": str(folder / "job.log")}
    (folder / "cluster.env").write_text(CLUSTER_ENV.format(prefix=sys.prefix))
    with VirtualCluster(nodes=3, gpus=1) as cluster:
        job = cluster.submit("--nodes=3", "--ntasks-per-node=2", f"--time={given.time_limit_min}",
                             "--signal=B:USR1@60", "slurm/smoke_2node.sh",
                             *(f"--{name}={value}" for name, value in flags.items()), cwd=ROOT, env=environment)
        output = folder / f"smoke-{job}"
        cluster.wait_for(lambda: last_logged_step(output) >= given.lose_at_step, f"step {given.lose_at_step}", 1200)
        print(f"step {last_logged_step(output)}: node3 dies", flush=True)
        cluster.lose("node3")
        cluster.wait_for(lambda: cluster.job(job)["JobState"] == "PENDING", "the requeue", 120)
        # No node is left to wait for; the user asks for no more than two.
        update = cluster.run("scontrol", "update", f"JobId={job}", "NumNodes=2-2", "NumTasks=4", "NumCPUs=8")
        assert update.returncode == 0, update.stderr
        cluster.wait(job, timeout=2400)
        return cluster.job(job), output


def curve(output):
    """{step: its record} of a run's log."""
    lines = (output / "train_log.jsonl").read_text(encoding="utf-8").splitlines()
    return {record["step"]: record for record in map(json.loads, lines)}


def compare(ours, theirs):
    """Lines: how far two curves are apart, and where they end."""
    assert list(ours) == list(theirs), "the runs logged other steps"
    lines = []
    for name in COMPARED:
        step = max(ours, key=lambda step: abs(ours[step][name] - theirs[step][name]))
        lines.append(f"{name}: at most {abs(ours[step][name] - theirs[step][name]):.2g} apart (step {step}); "
                     f"last step: cluster {ours[max(ours)][name]:.6f}, one host {theirs[max(theirs)][name]:.6f}")
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="where all of it goes")
    parser.add_argument("--input_file", required=True, help="text files, as bin/create_pretraining_data")
    parser.add_argument("--tokenizer", required=True, help="the SentencePiece .model file")
    parser.add_argument("--text_mb", type=int, default=1000, help="repeat the text up to so many MB")
    parser.add_argument("--train_batch_size", type=int, default=48, help="rows of an update of all ranks")
    parser.add_argument("--num_train_steps", type=int, default=300)
    parser.add_argument("--lose_at_step", type=int, default=40, help="from this one on a node dies")
    parser.add_argument("--time_limit_min", type=int, default=3, help="of each start of the job; its signal comes "
                        "a minute before")
    given = parser.parse_args()
    if reason := why_not():
        sys.exit(f"cluster_run.py: {reason}")
    folder = given.folder.absolute()
    folder.mkdir(exist_ok=True)
    flags = {"input_file": make_records(folder, given), "deterministic": True, "save_checkpoints_steps": 20,
             "bert_config_file": ROOT / "albert_config" / "albert_config_tiny.json", **SHAPE,
             "train_batch_size": given.train_batch_size, "num_train_steps": given.num_train_steps}
    alone = folder / "one_host"
    began = time.monotonic()
    command("pretrain", ("horovodrun", "-np", "2"), output_dir=alone, flagfile=ROOT / "slurm" / "smoke.flags", **flags)
    print(f"one host, 2 ranks: {time.monotonic() - began:.0f} s", flush=True)
    began = time.monotonic()
    job, output = train_on_cluster(folder, flags, given)
    log = (folder / "job.log").read_text(encoding="utf-8")
    print(*(line for line in log.splitlines() if any(words in line for words in TOLD)), sep="\n")
    print(f"{job['JobState']}, exit code {job['ExitCode']}, requeued {job['Restarts']} times, at last on "
          f"{job['NodeList']}: {time.monotonic() - began:.0f} s")
    print(*compare(curve(output), curve(alone)), sep="\n")
    missing = [words for words in (r"ranks 6\b", r"ranks 4\b", "requeued: crash 1", "requeued: stopped")
               if not re.search(words, log)]
    if missing or job["JobState"] != "COMPLETED":
        sys.exit(f"cluster_run.py: not everything happened: {', '.join(missing) or job['JobState']}")


if __name__ == "__main__":
    main()
