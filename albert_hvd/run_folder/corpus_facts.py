"""What a run has learned from a sample of its records before its first update: `corpus_facts.npz` in its folder."""

import dataclasses
import os

import numpy as np

from albert_hvd.runtime.files import whole_file

CORPUS_FACTS = "corpus_facts.npz"


@dataclasses.dataclass(frozen=True)
class CorpusFacts:
    """Facts of a sample of the training records.

    Attributes:
      num_records, num_tokens: of the sample.
      frequency_loss: cross-entropy in nats of predicting masked pieces by their frequencies; None when not known.
      neighbour_loss: the same from the visible pieces beside a mask, too; None when not known.
      word_vectors: float32 (V, W), what the word embeddings began with.
    """

    num_records: int
    num_tokens: int
    frequency_loss: float
    neighbour_loss: float
    word_vectors: np.ndarray

    def write(self, folder):
        """Write them into a run's folder. Raises InputError when that cannot be."""
        values = dataclasses.asdict(self)
        with whole_file(os.path.join(folder, CORPUS_FACTS), "output_dir") as file:
            np.savez(file, **{name: np.nan if value is None else value for name, value in values.items()})


def read_corpus_facts(folder):
    """The `CorpusFacts` of a run's folder; None when it has none that can be read."""
    try:
        with np.load(os.path.join(folder, CORPUS_FACTS), allow_pickle=False) as file:
            values = {field.name: file[field.name] for field in dataclasses.fields(CorpusFacts)}
    except (OSError, ValueError, KeyError, EOFError):
        return None
    losses = (None if np.isnan(values[name]) else float(values[name]) for name in ("frequency_loss", "neighbour_loss"))
    return CorpusFacts(int(values["num_records"]), int(values["num_tokens"]), *losses, values["word_vectors"])
