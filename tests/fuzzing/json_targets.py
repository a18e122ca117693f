"""Targets that read JSON: configs, the manifest, checkpoints' states, tasks, results, runs."""

import functools
import json
import os
import pathlib

import numpy as np
from conftest import random_record
from fine_tuning_results import result
from fuzz_target import Target
from mutations import mutate_json, mutate_json_lines
from synthetic_run import held_out_record, record, write_run

from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.manifest import MANIFEST, read_manifest, write_manifest
from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.model.config import AlbertConfig
from albert_hvd.reporting.comparison_reader import read_comparisons
from albert_hvd.reporting.run_reader import read_runs
from albert_hvd.run_folder.checkpoints import BEST, STATE, CheckpointFolder, find_checkpoint, read_state
from albert_hvd.run_folder.layout import CONFIG, EVAL_LOG, EVAL_RESULTS, FLAGS, STATUS, TRAIN_LOG
from albert_hvd.run_folder.logs import JsonLines, read_log
from albert_hvd.run_folder.task_results import RESULTS, read_seed_result
from albert_hvd.serving.formats.huggingface.names import config_from_huggingface
from albert_hvd.serving.formats.sources import trained_positions

SMALL_CONFIG = AlbertConfig(vocab_size=9, embedding_size=4, hidden_size=6, num_hidden_layers=2,
                            num_attention_heads=2, intermediate_size=7, max_position_embeddings=8)


def write_file(folder, name, data):
    """Write bytes into a file of a folder; returns its path."""
    path = os.path.join(folder, name)
    with open(path, "wb") as file:
        file.write(data)
    return path


def as_json(*values):
    """Each value as JSON in bytes: a list of seeds."""
    return [json.dumps(value).encode() for value in values]


def _config(data, folder):
    config = AlbertConfig.from_json_file(write_file(folder, CONFIG, data))
    assert AlbertConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def _huggingface_config(data, folder):
    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    config_from_huggingface(values, CONFIG)


_HUGGINGFACE_CONFIG = {
    "model_type": "albert", "hidden_act": "gelu_new", "vocab_size": 50, "embedding_size": 8, "hidden_size": 16,
    "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "layer_norm_eps": 1e-12,
    "num_hidden_groups": 1, "inner_group_num": 1, "pruned_heads": {}}


@functools.cache
def small_shard(folder):
    """The path of a shard of 5 records of 16 positions and 3 predictions, vocabulary 50."""
    path = os.path.join(folder, "a.tfrecord")
    random = np.random.default_rng(7)
    with RecordWriter(path) as writer:
        for _ in range(5):
            writer.write(random_record(random))
    return path


def _manifest(data, folder):
    shard = small_shard(folder)
    write_file(folder, MANIFEST, data)
    RecordDataset([shard], 16, 3, vocab_size=50).close()
    write_manifest(folder, "again", {"options": {}}, {"a.tfrecord": {"num_records": 5}})
    assert "again" in read_manifest(folder)["builds"]


_MANIFEST = {"version": 1, "shards": {"a.tfrecord": {"build": "a.tfrecord", "num_records": 5, "num_real_tokens": 60,
                                                     "sha256": "0" * 64}},
             "builds": {"a.tfrecord": {"input_files": ["a.txt"], "options": {"max_seq_length": 16},
                                       "statistics": {"tokens": 60}}}}


@functools.cache
def small_checkpoint(folder):
    """The folder of a checkpoint of step 7 with one small tensor."""
    checkpoints = CheckpointFolder(os.path.join(folder, "run", "checkpoints"))
    checkpoints.save(7, {"a": np.zeros(2, np.float32)}, None, {"config": SMALL_CONFIG.to_dict(), "records_read": 70})
    return checkpoints.path(7)


def _checkpoint_state(data, folder):
    """A state whose own checksum, like that of older versions, is left out, so that what it says is looked at."""
    checkpoint = small_checkpoint(folder)
    write_file(checkpoint, STATE, data.replace(b"state_sha256", b"unknown"))
    state = read_state(find_checkpoint(os.path.join(folder, "run"), "init_checkpoint"))
    AlbertConfig.from_dict(state.get("config"), checkpoint)


def _state_seeds(folder):
    return [pathlib.Path(small_checkpoint(folder), STATE).read_bytes()]


def _best(data, folder):
    checkpoints = os.path.dirname(small_checkpoint(folder))
    find_checkpoint(write_file(checkpoints, BEST, data), "init_checkpoint")


def _task(data, folder):
    from albert_hvd.finetuning.task_model import task_of_values  # imports TensorFlow

    try:
        values = json.loads(data)
    except (ValueError, RecursionError):
        return
    task = task_of_values(values, "model=a")
    task.record("a" if task.kind == "classification" else ("a",), [task.labels[0]], None)


def _tasks():
    from albert_hvd.finetuning.task_model import task_values
    from albert_hvd.finetuning.tasks import task_class

    return [task_values(task_class("pos")(["X", "NOUN"], "crf", 40)), task_values(task_class("emotion")(["a", "b"]))]


def _seed_result(data, folder):
    write_file(folder, RESULTS, data)
    read_seed_result(folder)


def _comparison(data, folder):
    read_comparisons([write_file(folder, RESULTS, data)])


def _comparison_page(data, folder):
    from albert_hvd.reporting.comparison import compare_results  # imports Matplotlib

    compare_results([write_file(folder, RESULTS, data)], os.path.join(folder, "plots"))


@functools.cache
def _run_folder(folder):
    return write_run(pathlib.Path(folder, "run"))


def _page(folder):
    from albert_hvd.reporting.report import report_page  # imports Matplotlib

    report_page(read_runs([folder]), [], ())


def _run_logs(data, folder):
    run = _run_folder(folder)
    for name in (TRAIN_LOG, EVAL_LOG):
        write_file(run, name, data)
    _page(run)


def _run_files(data, folder):
    run = _run_folder(folder)
    for name in (FLAGS, CONFIG, STATUS, EVAL_RESULTS):
        write_file(run, name, data)
    trained_positions(run, SMALL_CONFIG)
    _page(run)


def _resumed_log(data, folder):
    path = write_file(folder, TRAIN_LOG, data)
    JsonLines(path, 25).close()
    assert all(record["step"] <= 25 for record in read_log(path))


_LOG = b"".join(line + b"\n" for line in as_json(*(record(step) for step in (10, 20, 30)), held_out_record(40, 3.0)))

TARGETS = (
    Target("config", _config, lambda folder: as_json(SMALL_CONFIG.to_dict(), {"vocab_size": 9, "pooler_type": "x"}),
           mutate=mutate_json, share=0.5),
    Target("huggingface_config", _huggingface_config, lambda folder: as_json(_HUGGINGFACE_CONFIG),
           mutate=mutate_json, share=2),
    Target("manifest", _manifest, lambda folder: as_json(_MANIFEST), mutate=mutate_json, share=0.3),
    Target("checkpoint_state", _checkpoint_state, _state_seeds, mutate=mutate_json, share=0.3),
    Target("best_checkpoint", _best, lambda folder: as_json({"step": 7}), mutate=mutate_json),
    Target("task", _task, lambda folder: as_json(*_tasks()), mutate=mutate_json, share=2),
    Target("seed_result", _seed_result, lambda folder: as_json({"seed": 1, "valid": {"accuracy": 0.5}}),
           mutate=mutate_json),
    Target("comparison", _comparison, lambda folder: as_json(result()), mutate=mutate_json, share=0.3),
    Target("comparison_page", _comparison_page, lambda folder: as_json(result()), mutate=mutate_json, share=0.0003),
    Target("run_logs", _run_logs, lambda folder: [_LOG], mutate=mutate_json_lines, share=0.02),
    Target("run_files", _run_files, lambda folder: as_json(
        {"train_batch_size": 12, "max_seq_length": 16, "size": 2, "micro_batch_size": 3, "num_train_steps": 40},
        {"state": "running", "step": 4, "reason": "r"}, {"global_step": 40, "loss": 2.5}),
           mutate=mutate_json, share=0.02),
    Target("resumed_log", _resumed_log, lambda folder: [_LOG], mutate=mutate_json_lines, share=0.3),
)
