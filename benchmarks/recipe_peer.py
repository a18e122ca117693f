"""Hugging Face's ALBERT as one more recipe of `bin/benchmark recipes`: the same records, cores and minutes on the clock."""

import contextlib
import json
import math
import os
import shutil
import tempfile

import numpy as np

from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import open_records
from albert_hvd.runtime.files import read_json_object, whole_file
from albert_hvd.serving.formats.huggingface.names import sizes_to_huggingface
from benchmarks.contestants import CLIP_NORM, WEIGHT_DECAY, for_huggingface
from benchmarks.peer_process import PeerProcess

_UPDATES_A_SECOND = 2  # for which batches are prepared; were it faster, it would see the first ones again


def train_peer(options, config, seed, output_dir, import_model):
    """Train Hugging Face's ALBERT for the minutes, unless `output_dir` has it already.

    Args:
      options: `recipes.Options`.
      config: `AlbertConfig` of both.
      output_dir: gets the model as a run's folder.
      import_model: function of the folder of Hugging Face's model, which makes `output_dir`.

    Returns:
      dict with "updates", "seconds", "real_tokens", "loss" (of the last updates).

    Raises:
      InputError: the peer's Python lacks a package.
      RunFailed: the peer failed, with its last words.
    """
    note = output_dir + ".json"
    if os.path.exists(note):
        return read_json_object(note)
    shutil.rmtree(output_dir, ignore_errors=True)  # of a run that was interrupted
    with tempfile.TemporaryDirectory(prefix="recipe-peer-", dir=options.runs_dir) as folder:
        batches, model = os.path.join(folder, "batches"), os.path.join(folder, "model")
        os.mkdir(batches)
        with contextlib.closing(open_records(options.input_file, "input_file", options, config.vocab_size)) as dataset:
            write_batches(batches, dataset, options.peer_batch_size, seed,
                          math.ceil(60 * _UPDATES_A_SECOND * options.train_minutes))
        peer = PeerProcess("huggingface_peer.py", {
            "sizes": sizes_to_huggingface(config), "seed": seed, "threads": len(os.sched_getaffinity(0)), "device": "cpu",
            "precision": "float32", "compile": False, "kernel": None, "minutes": options.train_minutes,
            "learning_rate": options.peer_learning_rate, "weight_decay": WEIGHT_DECAY, "clip_norm": CLIP_NORM,
            "batches": batches, "model": model}, options.peer_python, folder)
        figures = peer.ask("round")
        peer.ask("finish")
        import_model(model)
    with whole_file(note, "runs_dir") as file:
        file.write(json.dumps(figures).encode() + b"\n")
    return figures


def write_batches(folder, dataset, rows, seed, count):
    """Write `count` batches of `rows` records as arrays of what `AlbertForPreTraining` takes, int32 (count, rows, ...)."""
    batches = TrainingBatches(dataset, rows, 0, 1, seed)
    arrays = {}
    for number in range(count):
        for name, array in for_huggingface(next(batches)).items():
            if name not in arrays:
                shape = (count, rows, dataset.max_seq_length)[:array.ndim + 1]
                arrays[name] = np.lib.format.open_memmap(os.path.join(folder, name + ".npy"), "w+", np.int32, shape)
            # Behind the longest of its batch nothing is read.
            arrays[name][number][..., :array.shape[-1]] = array
    batches.close()
    for array in arrays.values():
        array.flush()
