"""The programs that `bin/benchmark train` compares: this one, and Hugging Face transformers with PyTorch.

Each is a function for `contest.run_by_turns`: it sets up and warms up in a process of its own, and returns a callable
that trains for a round and returns its `Round`. Both read the same records in the same order with the same reader.
"""

import time
from typing import NamedTuple

import numpy as np

from albert_hvd.data.batches.packed_rows import PackedTrainingBatches
from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import open_records
from albert_hvd.errors import InputError
from albert_hvd.runtime import distributed
from albert_hvd.serving.formats.huggingface.names import sizes_to_huggingface
from benchmarks.model_flops import NO_WORK, Work, work_of

SEED = 12345
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 1e-4, 0.01, 1.0


class Round(NamedTuple):
    """What a round took and did; `loss` is that of its last update, as it would be logged."""

    seconds: float
    work: Work
    loss: float


class Setting(NamedTuple):
    """What all contestants are given.

    `rows` of an update; `steps`, updates of a round; `threads`, of the matrix products; `device`, "cpu", "gpu", or
    "rehearsal" for the GPU's way of measuring on the CPU.
    """

    config: object
    input_file: str
    max_seq_length: int
    max_predictions_per_seq: int
    rows: int
    steps: int
    threads: int
    device: str = "cpu"


def play_own(setting, precision="float32", packed=False, accumulation_steps=1):
    """This program: one rank with Horovod, AdamW, `TrainingStep` and its input pipeline."""
    distributed.initialize(use_gpu=False)
    from albert_hvd.model.encoder import named_variables
    from albert_hvd.model.precision import COMPUTE_DTYPES
    from albert_hvd.model.pretraining_model import AlbertPretrainer
    from albert_hvd.training.optimizer import AdamW
    from albert_hvd.training.step import TrainingStep

    model = AlbertPretrainer(setting.config, SEED, COMPUTE_DTYPES[precision], compiled=True)
    optimizer = distributed.distributed_optimizer(
        AdamW(LEARNING_RATE, num_train_steps=10 ** 6, weight_decay=WEIGHT_DECAY, clip_norm=CLIP_NORM))
    optimizer.build(named_variables(model), compiled=True)
    step = TrainingStep(model, optimizer, accumulation_steps)
    kind = PackedTrainingBatches if packed else TrainingBatches
    batches = kind(open_dataset(setting), setting.rows, 0, 1, SEED)

    def update():
        batch = next(batches)
        result = step(batch, (0, batches.position), stop=False)
        return work_of_batch(batch), (result.masked_lm_loss / result.masked_lm_weight +
                              result.sentence_loss / result.sentence_weight)

    return _rounds(update, setting.steps)


def play_huggingface(setting, precision="float32", compiled=False):
    """`AlbertForPreTraining` with `torch.optim.AdamW`; each batch is padded to its longest example.

    Raises:
      InputError: torch or transformers is missing.
    """
    try:
        import torch
        from transformers import AlbertConfig, AlbertForPreTraining
    except ImportError as error:
        raise InputError(f"--peer=huggingface: {error.name} is missing; .venv/bin/python -m pip install -r "
                         f"requirements/parity.txt") from None
    torch.set_num_threads(setting.threads)
    torch.manual_seed(SEED)
    model = AlbertForPreTraining(AlbertConfig(**sizes_to_huggingface(setting.config), classifier_dropout_prob=0.0,
                                              hidden_act="gelu_new"))
    forward = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    batches = TrainingBatches(open_dataset(setting), setting.rows, 0, 1, SEED)

    def update():
        batch = next(batches)
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            loss = forward(**{name: torch.from_numpy(array) for name, array in for_huggingface(batch).items()}).loss
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        return work_of_batch(batch), float(loss.detach())

    return _rounds(update, setting.steps)


def _rounds(update, steps):
    for _ in range(2):  # the first compiles
        update()

    def play():
        work, loss, began = NO_WORK, 0.0, time.perf_counter()
        for _ in range(steps):
            done, loss = update()
            work += done
        return Round(time.perf_counter() - began, work, loss)

    return play


def open_dataset(setting):
    """The `RecordDataset` of a setting."""
    return open_records(setting.input_file, "input_file", setting, setting.config.vocab_size)


def work_of_batch(batch):
    """`Work` of a batch, packed or not: examples of a row are numbered from 1 in its mask."""
    mask = np.asarray(batch["input_mask"])
    if "cls_positions" in batch:
        lengths = np.concatenate([np.bincount(row)[1:] for row in mask])
        lengths = lengths[lengths > 0]
    else:
        lengths = mask.sum(axis=1)
    return work_of(lengths, (batch["masked_lm_weights"] > 0).sum())


def for_huggingface(batch):
    """The arguments of `AlbertForPreTraining.forward`, int64 arrays, cut to the longest example of the batch."""
    longest = int(batch["input_mask"].sum(axis=1).max())
    labels = np.full(batch["input_ids"].shape, -100, np.int64)
    rows, slots = np.nonzero(batch["masked_lm_weights"])
    labels[rows, batch["masked_lm_positions"][rows, slots]] = batch["masked_lm_ids"][rows, slots]
    names = {"input_ids": "input_ids", "attention_mask": "input_mask", "token_type_ids": "segment_ids"}
    return {**{theirs: batch[ours][:, :longest].astype(np.int64) for theirs, ours in names.items()},
            "labels": labels[:, :longest].copy(),  # their loss wants a view of it
            "sentence_order_label": batch["next_sentence_labels"][:, 0].astype(np.int64)}
