"""Texts with one label each."""

from albert_hvd.finetuning.encoding import encode_texts
from albert_hvd.finetuning.labelled_data import read_texts
from albert_hvd.finetuning.tasks.base import Task


class Classification(Task):
    """A label for each text, read at <cls> through the pooler, or from the mean over its positions."""

    name = kind = "classification"
    select_by = "macro_f1"
    uses_pooler = True
    read_examples = staticmethod(read_texts)

    def encode(self, inputs, tokenizer):
        return encode_texts(inputs, tokenizer, self.max_seq_length, self.long_texts)

    def record(self, inputs, labels, probabilities, gold=None):
        """{"text", "label", "gold" when known, "probabilities": {label: p}}."""
        record = {"text": inputs, "label": labels[0]}
        if gold is not None:
            record["gold"] = gold[0]
        if probabilities is not None:
            record["probabilities"] = {label: round(float(p), 6)
                                       for label, p in zip(self.labels, probabilities[0], strict=True)}
        return record


TASK = Classification
