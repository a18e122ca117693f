"""Sentences with a tag for each word."""

from albert_hvd.finetuning.encoding import encode_sentences
from albert_hvd.finetuning.labelled_data import read_sentences
from albert_hvd.finetuning.tasks.base import Task


class Tagging(Task):
    """A tag for each word, read at its first piece or from the mean over its pieces."""

    name = kind = "tagging"
    heads = ("linear", "crf")
    default_long_texts = "window"  # a word that is cut off gets no tag
    read_examples = staticmethod(read_sentences)

    def encode(self, inputs, tokenizer):
        return encode_sentences(inputs, tokenizer, self.max_seq_length, self.long_texts)

    def record(self, inputs, labels, probabilities, gold=None):
        """{"words", "tags", "gold" when known}; probabilities are left out."""
        record = {"words": list(inputs), "tags": list(labels)}
        if gold is not None:
            record["gold"] = list(gold)
        return record


TASK = Tagging
