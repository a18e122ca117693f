"""Sentences with a tag for each word."""

from albert_hvd.finetuning.encoding import encode_sentences
from albert_hvd.finetuning.labelled_data import read_sentences
from albert_hvd.finetuning.tasks.base import Task


class Tagging(Task):
    """A tag for each word, read from the mean over its pieces or at its first piece."""

    name = kind = "tagging"
    heads = ("linear", "crf")
    default_long_texts = "window"  # a word that is cut off gets no tag
    default_pooling = "mean"  # a word's ending, in its last pieces, says much about its tag
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
