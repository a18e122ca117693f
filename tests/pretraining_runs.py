"""Runs of bin/pretrain as tests start, watch and compare them."""

import contextlib
import json
import os
import subprocess
import time

import psutil
import pytest
from safetensors.numpy import load_file

from conftest import command_environment, command_words

STEPS = 20
# What differs from run to run by nature.
CLOCK_KEYS = ("sequences_per_sec", "tokens_per_sec", "real_tokens_per_sec", "data_wait_fraction", "elapsed_sec",
              "checkpoint_stall_sec", "cpu_sec")


def flags(training_files, output_dir, **changes):
    return {
        "input_file": f"{training_files}/train-*.tfrecord", "bert_config_file": f"{training_files}/config.json",
        "output_dir": output_dir, "max_seq_length": 16, "max_predictions_per_seq": 3, "train_batch_size": 12,
        "num_train_steps": STEPS, "num_warmup_steps": 4, "optimizer": "lamb", "learning_rate": 0.02, "log_every_steps": 1,
        "passes": "0:2",  # the config's layers: one graph less to trace than with the default schedule
        "save_checkpoints_steps": 5, "deterministic": True, **changes}


def json_lines(output_dir, name):
    with open(os.path.join(output_dir, name), encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def train_log(output_dir):
    return json_lines(output_dir, "train_log.jsonl")


def eval_log(output_dir):
    return json_lines(output_dir, "eval_log.jsonl")


def without_clock(records):
    return [{key: value for key, value in record.items() if key not in CLOCK_KEYS} for record in records]


def checkpoint_file(output_dir, name, step=STEPS):
    return os.path.join(output_dir, "checkpoints", f"step_{step:08d}", name)


def weights(output_dir, step=STEPS):
    return load_file(checkpoint_file(output_dir, "weights.safetensors", step))


def status(output_dir):
    with open(os.path.join(output_dir, "status.json"), encoding="utf-8") as file:
        return json.load(file)


def start(ranks, run_flags, command="pretrain", **options):
    """Start a run in its own session, without waiting; `options` are those of `subprocess.Popen`."""
    options = {"env": command_environment(), "stdin": subprocess.DEVNULL, "start_new_session": True, **options}
    return subprocess.Popen(command_words(command, ranks, **run_flags), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, **options)


def wait_until(condition, process, what, timeout=300):
    """Poll `condition()` while the run goes on; returns its first true value, fails the test without one."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        if found := condition():
            return found
        time.sleep(0.02)
    if process.poll() is None:
        # The launcher alone would leave its ranks behind.
        for part in [*psutil.Process(process.pid).children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                part.kill()
    pytest.fail(f"the run did not come to {what}: {process.communicate()}")


def logged_lines(output_dir):
    """The number of lines in the log of a run that may not have one yet."""
    path = os.path.join(output_dir, "train_log.jsonl")
    return open(path, "rb").read().count(b"\n") if os.path.exists(path) else 0


def start_and_wait_for_step(step, ranks, run_flags, **options):
    """Start a run that logs every step and return it once its log has reached `step`."""
    process = start(ranks, run_flags, **options)
    wait_until(lambda: logged_lines(run_flags["output_dir"]) >= step, process, f"step {step}")
    return process


def ranks_of(process, command="pretrain"):
    """The processes of a run that are ranks, by their rank."""
    ranks = {}
    for child in [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]:
        try:
            if any(word.endswith(f"bin/{command}") for word in child.cmdline()[:2]):
                ranks[int(child.environ().get("OMPI_COMM_WORLD_RANK", 0))] = child
        except psutil.Error:
            pass  # it has ended since
    return [ranks[rank] for rank in sorted(ranks)]
