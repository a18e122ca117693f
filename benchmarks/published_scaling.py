"""Speeds that others published for training such models on many GPUs, and the cost model held against them.

Bandwidths of the hardware are the makers' peaks in one direction, so that predictions are what a cluster would do at
best.
"""

import statistics
from typing import NamedTuple

from albert_hvd.model.config import AlbertConfig
from benchmarks.gradients import num_gradient_values
from benchmarks.scaling_model import Cluster, Link, System, Training, predict_update

# What NCCL itself reckons with for one step of a ring with its simple protocol, in seconds (github.com/NVIDIA/nccl,
# src/graph/tuning.cc at commit 01afd20a, `hwLat`).
_NVLINK_STEP_SEC, _NETWORK_STEP_SEC = 3.4e-6, 9.6e-6
_LATENCIES = "latencies: github.com/NVIDIA/nccl, src/graph/tuning.cc at commit 01afd20a"

V100 = System(
    "8 V100 a node, 100 Gbit/s",
    Cluster(8, Link(_NVLINK_STEP_SEC, 150e9), Link(_NETWORK_STEP_SEC, 100e9 / 8)), 900e9,
    ("NVIDIA V100 data sheet: NVLink 300 GB/s in both directions, memory 900 GB/s",
     "Amazon EC2 P3 page, p3dn.24xlarge: 8 V100, network 100 Gbit/s, with EFA", _LATENCIES))

A100 = System(
    "8 A100 a node, 8 x 200 Gbit/s",
    Cluster(8, Link(_NVLINK_STEP_SEC, 300e9), Link(_NETWORK_STEP_SEC, 8 * 200e9 / 8)), 1555e9,
    ("NVIDIA A100 data sheet, 40 GB: NVLink 600 GB/s in both directions, memory 1555 GB/s",
     "NVIDIA DGX A100 data sheet: 8 ConnectX-6, InfiniBand 200 Gbit/s each", _LATENCIES))


class Published(NamedTuple):
    """A published table.

    Attributes:
      name: a few words.
      system: the hardware.
      training: the `Training`.
      updates_per_sec: dict of GPUs to the published speed; the first is the one that a free constant is fitted to.
      source: where it stands.
    """

    name: str
    system: System
    training: Training
    updates_per_sec: dict
    source: str


_ALBERT_BASE = AlbertConfig(vocab_size=30000)
_BERT_LARGE = AlbertConfig(vocab_size=30522, embedding_size=1024, hidden_size=1024, num_hidden_layers=24,
                           num_attention_heads=16, intermediate_size=4096)
_BERT_LARGE_VALUES = 336_226_108  # google-research/bert's variables with both heads; no layer shares another's
_NVIDIA = ("github.com/NVIDIA/DeepLearningExamples, TensorFlow2/LanguageModeling/BERT/README.md of release 21.02, "
           "\"Pre-training training performance: Multi-node on NVIDIA DGX A100\", mixed precision; its Horovod "
           "compresses gradients to float16")


def _nvidia(max_seq_length, max_predictions_per_seq, train_batch_size, sentences_per_sec):
    rates = {gpus: rate / train_batch_size for gpus, rate in sentences_per_sec.items()}
    training = Training(_BERT_LARGE, _BERT_LARGE_VALUES, 2, max_seq_length, max_predictions_per_seq, train_batch_size)
    return Published(f"NVIDIA BERT-large at {max_seq_length}", A100, training, rates, _NVIDIA)


TABLES = (
    # 77 predictions are 15 % of the positions; the table does not say.
    Published("AWS ALBERT base at 512", V100,
              Training(_ALBERT_BASE, num_gradient_values(_ALBERT_BASE), 4, 512, 77, 4096),
              {8: 0.24, 16: 0.46, 32: 0.90, 64: 1.73},
              "github.com/aws-samples/deep-learning-models, models/nlp/albert/README.md at commit 89b32a26, "
              "\"Results\", on p3dn.24xlarge; two digits, so that 0.24 may be 2 % off"),
    _nvidia(128, 20, 79872, {8: 3803.82, 16: 7551.37, 64: 29711.11, 256: 110280.73}),
    _nvidia(512, 80, 30720, {8: 749.73, 16: 1491.87, 64: 5870.83, 256: 22506.23}),
)


def sustained_flops_per_sec(published):
    """The one free constant: the speed of a GPU with which the model meets the table's first figure exactly."""
    gpus, updates_per_sec = next(iter(published.updates_per_sec.items()))
    rest = predict_update(published.training, 1.0, gpus, published.system)
    return rest.compute_sec / (1 / updates_per_sec - rest.allreduce_sec - rest.overhead_sec)


def speeds(max_seq_length):
    """Dict of each `System` to that constant, of its published table with the most similar rows."""
    def nearest(system):
        return min((table for table in TABLES if table.system == system),
                   key=lambda table: abs(table.training.max_seq_length - max_seq_length))

    return {system: sustained_flops_per_sec(nearest(system)) for system in dict.fromkeys(t.system for t in TABLES)}


def compare_published():
    """Rows: every published figure beside its prediction. Efficiency is that of the table, against its first row."""
    rows = []
    for table in TABLES:
        flops_per_sec = sustained_flops_per_sec(table)
        first, first_rate = next(iter(table.updates_per_sec.items()))
        first_seconds = predict_update(table.training, flops_per_sec, first, table.system).seconds
        for gpus, rate in table.updates_per_sec.items():
            seconds = predict_update(table.training, flops_per_sec, gpus, table.system).seconds
            rows.append({"published": table.name, "GPUs": gpus, "updates/s": rate, "predicted": 1 / seconds,
                         "deviation %": 100 * (1 / seconds / rate - 1), "missing ms": 1e3 * (1 / rate - seconds),
                         "efficiency %": 100 * rate / first_rate * first / gpus,
                         "predicted efficiency %": 100 * first_seconds / seconds * first / gpus})
    return rows


def missing_seconds(rows):
    """Median of what the published updates took longer than predicted, of the rows that nothing was fitted to."""
    first = {table.name: next(iter(table.updates_per_sec)) for table in TABLES}
    return statistics.median(row["missing ms"] / 1e3 for row in rows if row["GPUs"] != first[row["published"]])
