"""Speeds that others published for training such models on many GPUs, to check the cost model against."""

from typing import NamedTuple

from albert_hvd.model.config import AlbertConfig
from benchmarks.gradients import num_gradient_values
from benchmarks.hardware import A100, V100, System


class Published(NamedTuple):
    """A published table.

    Attributes:
      name: a few words.
      system: the hardware.
      config: sizes of the encoder, by which floating-point operations are counted.
      gradient_values: float values of the gradient.
      bytes_per_value: of such a value as it travels.
      max_seq_length, max_predictions_per_seq: of a row.
      train_batch_size: rows of an update on all GPUs, the same for any number of them.
      updates_per_sec: dict of GPUs to the published speed; the first is the one that a free constant is fitted to.
      source: where it stands.
    """

    name: str
    system: System
    config: AlbertConfig
    gradient_values: int
    bytes_per_value: int
    max_seq_length: int
    max_predictions_per_seq: int
    train_batch_size: int
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
    return Published(f"NVIDIA BERT-large at {max_seq_length}", A100, _BERT_LARGE, _BERT_LARGE_VALUES, 2,
                     max_seq_length, max_predictions_per_seq, train_batch_size, rates, _NVIDIA)


TABLES = (
    # 77 predictions are 15 % of the positions; the table does not say.
    Published("AWS ALBERT base at 512", V100, _ALBERT_BASE, num_gradient_values(_ALBERT_BASE), 4, 512, 77, 4096,
              {8: 0.24, 16: 0.46, 32: 0.90, 64: 1.73},
              "github.com/aws-samples/deep-learning-models, models/nlp/albert/README.md at commit 89b32a26, "
              "\"Results\", on p3dn.24xlarge; two digits, so that 0.24 may be 2 % off"),
    _nvidia(128, 20, 79872, {8: 3803.82, 16: 7551.37, 64: 29711.11, 256: 110280.73}),
    _nvidia(512, 80, 30720, {8: 749.73, 16: 1491.87, 64: 5870.83, 256: 22506.23}),
)
