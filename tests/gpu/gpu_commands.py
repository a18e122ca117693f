"""Runs of the commands for the GPU suite, on records and texts that are made up."""

import dataclasses
import json
import os
import signal
import subprocess
import time

import numpy as np

from conftest import command_environment, command_words, random_record
from gpu_jobs import REHEARSAL, Outcome
from small_corpus import make_tokenizer
from small_tasks import labelled_texts, write_tsv

# Steps take some milliseconds on a GPU: enough of them are left when the killed run is killed, one checkpoint behind it.
STEPS, KILL_AFTER, SAVE_EVERY = (60, 25, 20) if REHEARSAL else (300, 120, 100)
LENGTH, PREDICTIONS = 64, 5


def write_data(folder):
    """Config, vocabulary, records and labelled texts."""
    from albert_hvd.data.records.tfrecord import RecordWriter
    from gpu_numbers import CONFIG

    size = make_tokenizer(folder).vocab_size
    config = dataclasses.replace(CONFIG, vocab_size=size, initializer_range=0.02)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    random = np.random.default_rng(3)
    for name, count in (("train", 200), ("eval", 40)):
        with RecordWriter(str(folder / f"{name}.tfrecord")) as writer:
            for _ in range(count):
                writer.write(random_record(random, LENGTH, PREDICTIONS, size))
    write_tsv(folder / "train.tsv", labelled_texts(400, seed=1))
    write_tsv(folder / "valid.tsv", labelled_texts(40, seed=2))


def pretrain_flags(folder, output_dir, **changes):
    """Flags of a deterministic run in float32."""
    return {"input_file": folder / "train.tfrecord", "bert_config_file": folder / "config.json",
            "tokenizer": folder / "small.model", "output_dir": folder / output_dir, "max_seq_length": LENGTH,
            "max_predictions_per_seq": PREDICTIONS, "train_batch_size": 16, "optimizer": "adamw",
            "num_train_steps": STEPS, "num_warmup_steps": 10, "learning_rate": 0.001, "log_every_steps": 1,
            "save_checkpoints_steps": SAVE_EVERY, "precision": "float32", "deterministic": True, **changes}


def pretrain(jobs, name, folder, limit_sec=120, ranks=0, **changes):
    """The `Outcome` of bin/pretrain into the folder `name`."""
    flags = pretrain_flags(folder, name, **changes)
    return jobs.run(f"pretrain {name}", command_words("pretrain", ranks, **flags), limit_sec)


def killed_and_resumed(jobs, folder, limit_sec=240):
    """The `Outcome` of the run that goes on where a killed one ended, or of the killed one if it was not killed."""
    flags = pretrain_flags(folder, "killed")
    log = folder / "killed" / "train_log.jsonl"
    environment = {**command_environment(), **({"CUDA_VISIBLE_DEVICES": ""} if REHEARSAL else {})}
    with open(folder / "killed.output", "wb") as output:
        process = subprocess.Popen(command_words("pretrain", **flags), env=environment, stdin=subprocess.DEVNULL,
                                   stdout=output, stderr=output, start_new_session=True)
        deadline = time.monotonic() + limit_sec
        while process.poll() is None and time.monotonic() < deadline and _lines(log) < KILL_AFTER:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        code = process.wait()
    if code != -signal.SIGKILL or _lines(log) < KILL_AFTER:
        return Outcome([], code or 1, (folder / "killed.output").read_text(errors="replace")[-3000:])
    return pretrain(jobs, "killed", folder, limit_sec)


def _lines(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def weights(folder, name):
    """The last checkpoint's weights of a run."""
    from safetensors.numpy import load_file

    return load_file(os.path.join(folder, name, "checkpoints", f"step_{STEPS:08d}", "weights.safetensors"))


def log_of(folder, name):
    """The lines of a run's train_log.jsonl."""
    return [json.loads(line) for line in (folder / name / "train_log.jsonl").read_text().splitlines()]


def largest_difference(first, second):
    """Over all weights of two runs, in the unit of each variable's largest value."""
    return max(float(np.abs(first[path] - second[path]).max() / np.abs(first[path]).max()) for path in first
               if np.abs(first[path]).max() > 0)


def valid_score(result):
    """Accuracy on the validation data in a results.json."""
    return result["seeds"][0]["valid"]["accuracy"]


def results(folder, name, file):
    """A JSON file of a command's output folder."""
    return json.loads((folder / name / file).read_text())
