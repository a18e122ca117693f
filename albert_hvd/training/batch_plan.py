"""The batch arithmetic: micro_batch_size x accumulation_steps x size = train_batch_size."""

import dataclasses
import os

from albert_hvd.errors import InputError, parameter
from albert_hvd.runtime.devices import free_gpu_memory

# Share of the node's memory that the activations of all its ranks may take; the rest is for weights, gradients, moments
# and the page cache.
_ACTIVATION_SHARE = 0.5

# Share of a GPU's free memory for activations; weights, moments and XLA's scratch space are in the rest.
_GPU_ACTIVATION_SHARE = 0.8
# What a GPU is taken to have free when its driver cannot be asked.
_UNKNOWN_GPU_BYTES = 8 * 2**30


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """How a global batch is cut into ranks and micro-batches."""

    train_batch_size: int
    size: int
    accumulation_steps: int

    @property
    def micro_batch_size(self):
        return self.train_batch_size // self.size // self.accumulation_steps


def plan_batch(train_batch_size, size, accumulation_steps, row_bytes, memory_bytes):
    """Cut the global batch.

    Args:
      train_batch_size: rows of an update, over all ranks.
      size: number of ranks.
      accumulation_steps: micro-batches per update and rank; 0 takes as few as `memory_bytes` allow.
      row_bytes: activations of one row, in bytes.
      memory_bytes: what one rank may use for activations; None for no limit.

    Returns:
      `BatchPlan`.

    Raises:
      InputError: the parts do not divide the whole.
    """
    if train_batch_size % size:
        nearest = max(size, round(train_batch_size / size) * size)
        raise InputError(f"{parameter('train_batch_size')}={train_batch_size} cannot be shared by {size} ranks",
                         f"use a multiple of {size}, such as {nearest}")
    rows = train_batch_size // size
    if accumulation_steps == 0:
        wanted = 1 if memory_bytes is None else -(-rows * row_bytes // max(1, memory_bytes))
        accumulation_steps = min((d for d in range(1, rows + 1) if rows % d == 0 and d >= wanted), default=rows)
    if rows % accumulation_steps:
        raise InputError(f"{parameter('accumulation_steps')}={accumulation_steps} does not divide the {rows} rows of a "
                         f"rank ({parameter('train_batch_size')}={train_batch_size} / {size} ranks)",
                         f"choose a divisor of {rows}")
    return BatchPlan(train_batch_size, size, accumulation_steps)


def activation_bytes_per_row(config, max_seq_length, precision="float32", recompute=False, xla=False,
                             attention="plain", max_predictions_per_seq=0):
    """About what the backward pass needs from the forward pass of one row, in bytes.

    Operation by operation, it is counted from the graph of `model/encoder.py`: for each layer 24 tensors of width H, 6
    of width F and the attention probabilities, in float32 and in the type of the matrix products; and one layer more
    while the gradients are made. `bin/benchmark memory` measures it. Under XLA most of them never reach memory: 8
    of width H, 2 of width F and the probabilities are what was measured on a GPU (docs/benchmarks.md), and 10 bytes for
    each score of a masked position. With `recompute` it is the input of each layer, and one whole layer with its
    gradients.

    Args:
      precision: a key of `precision.COMPUTE_DTYPES`.
      recompute: see `AlbertEncoder`.
      xla: whether XLA compiles the whole step.
      attention: "plain", or "cudnn", which keeps no probabilities.
      max_predictions_per_seq: masked positions of a row.
    """
    value_bytes = 2 if precision in ("bfloat16", "float16") else 4
    of_hidden, of_intermediate = (8, 2) if xla else (24, 6)
    per_position = value_bytes * (of_hidden * config.hidden_size + of_intermediate * config.intermediate_size)
    if attention == "plain":
        per_position += (4 + value_bytes) * config.num_attention_heads * max_seq_length
    layer = max_seq_length * per_position
    scores = 10 * max_predictions_per_seq * config.vocab_size if xla else 0
    if recompute:
        return scores + 2 * layer + config.num_hidden_layers * max_seq_length * config.hidden_size * value_bytes
    return scores + (config.num_hidden_layers + (0 if xla else 1)) * layer


def row_bytes(options, config):
    """`activation_bytes_per_row` of a run.

    Args:
      options: `PretrainingOptions`, resolved for the devices.
      config: an `AlbertConfig`.
    """
    return activation_bytes_per_row(config, options.max_seq_length, options.precision, options.recompute,
                                    bool(options.xla), options.attention, options.max_predictions_per_seq)


def cpu_memory_per_rank(local_size):
    """Bytes of main memory that the activations of one rank may take."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(available * _ACTIVATION_SHARE / local_size)


def gpu_memory_per_rank(gpu, ranks_per_gpu=1):
    """Bytes of its GPU's memory that the activations of a rank may take.

    Args:
      gpu: TensorFlow's physical device.
      ranks_per_gpu: how many ranks share it.
    """
    free = free_gpu_memory(gpu)
    return int((_UNKNOWN_GPU_BYTES if free is None else free) * _GPU_ACTIVATION_SHARE / ranks_per_gpu)


def smaller_micro_batches(plan):
    """The plan with the next smaller micro-batch that divides a rank's rows; None when it has one row already."""
    rows = plan.train_batch_size // plan.size
    steps = next((d for d in range(plan.accumulation_steps + 1, rows + 1) if rows % d == 0), None)
    return None if steps is None else dataclasses.replace(plan, accumulation_steps=steps)
