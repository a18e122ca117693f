"""The tasks, by name in `TASKS`. A further task is one more class here; everything else in fine-tuning asks it."""

import abc
import dataclasses

import numpy as np

from albert_hvd.errors import InputError, parameter
from albert_hvd.finetuning import word_features
from albert_hvd.finetuning.encoding import LONG_TEXTS, encode_pairs, encode_sentences, encode_texts
from albert_hvd.finetuning.entities import entity_types, spans_of
from albert_hvd.finetuning.labelled_data import number_of, read_pairs, read_sentences, read_texts
from albert_hvd.finetuning.word_features import FEATURES, hashed

POOLINGS = ("first", "mean")
LAYERS = ("last", "sum")
VALUE = "score"  # what stands for the labels of a regression


class Task(abc.ABC):
    """One task with its labels.

    A task says how its examples are read, how they become rows for the model, which heads there are, by
    which metric a model is selected, and how a prediction is written.

    Args:
      labels: the names of the L labels, in the order of the head's outputs.
      head: one of `heads`.
      max_seq_length: most pieces of a row, <cls> and <sep> included.
      long_texts: what becomes of longer ones, one of `encoding.LONG_TEXTS`; None: the task's own default.
      pooling: what a slot is read from: "first", <cls> or the word's first piece, or "mean", all pieces; None: the
        task's own default.
      layers: "last", or "sum" of all and of the embeddings, with trained weights.
      features: "words" or "phrases" for a linear layer over them beside the network, or "none"; see `word_features`.

    Raises:
      InputError: fewer than two labels, a label twice, or a head, pooling, choice of layers or of long texts that there
        is not.
    """

    name = None
    kind = None  # the name of the most general task that does the same
    is_tagging = is_pair = is_regression = False  # whether inputs are words, or pairs of texts; labels are numbers
    heads = ("linear",)
    ways_of_long_texts = LONG_TEXTS
    metric_names = ("accuracy", "macro_f1")  # the main ones
    select_by = "accuracy"  # one of them
    uses_pooler = False  # True: each row has one slot, and "first" reads it through the pooler
    default_long_texts = "truncate"
    default_pooling = "first"

    def __init__(self, labels, head="linear", max_seq_length=128, long_texts=None, pooling=None, layers="last",
                 features="none"):
        pooling = pooling or self.default_pooling
        long_texts = long_texts or self.default_long_texts
        for option, value, values in (("head", head, self.heads), ("pooling", pooling, POOLINGS),
                                      ("layers", layers, LAYERS), ("long_texts", long_texts, self.ways_of_long_texts),
                                      ("features", features, FEATURES)):
            if value not in values:
                raise InputError(f"{parameter('task')}={self.name} has none such", f"give {' or '.join(values)}",
                                 name=option, value=value)
        self._check_labels(labels)
        self.labels, self.head, self.pooling, self.layers = tuple(labels), head, pooling, layers
        self.max_seq_length, self.long_texts, self.features = max_seq_length, long_texts, features

    @staticmethod
    def _check_labels(labels):
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise InputError(f"the labels are {', '.join(labels) or 'none'}", "two or more different ones are needed",
                             name="labels_file")

    def gold(self, examples):
        """The numbers of the true labels of all slots, int32 (slots,); InputError naming the line of an unknown one."""
        number = {label: place for place, label in enumerate(self.labels)}
        for example in examples:
            for label in example.labels:
                if label not in number:
                    raise InputError(f"{example.file}:{example.line}: the label {label!r} is not one of "
                                     f"{', '.join(self.labels)}",
                                     f"fix the line, or name all labels with {parameter('labels_file')}")
        return np.array([number[label] for example in examples for label in example.labels], np.int32)

    @staticmethod
    @abc.abstractmethod
    def read_examples(path, option, columns):
        """The `labelled_data.Example`s of a file; see `labelled_data.read_texts`."""

    def encode(self, inputs, tokenizer):
        """`encoding.Rows` of the `inputs` of examples, a list."""
        rows = self._encode(inputs, tokenizer)
        if self.features == "none":
            return rows
        return dataclasses.replace(rows, features=[
            hashed(names, self.features) for one in inputs for names in self._features(one)])

    @abc.abstractmethod
    def _encode(self, inputs, tokenizer):
        """The rows without features."""

    @abc.abstractmethod
    def _features(self, inputs):
        """The features of each slot of one example, lists of str."""

    @abc.abstractmethod
    def record(self, inputs, labels, probabilities, gold=None):
        """A prediction as a JSON-able dict.

        Args:
          inputs: those of one example.
          labels: the predicted label of each of its slots; None where the slot was cut off.
          probabilities: float32 (slots, L), or None when the head gives none.
          gold: the true labels, when they are known.
        """


class Classification(Task):
    """A label for each text, read at <cls> through the pooler, or from the mean over its positions."""

    name = kind = "classification"
    select_by = "macro_f1"
    uses_pooler = True
    read_examples = staticmethod(read_texts)

    def _encode(self, inputs, tokenizer):
        return encode_texts(inputs, tokenizer, self.max_seq_length, self.long_texts)

    def _features(self, inputs):
        texts = [inputs] if isinstance(inputs, str) else inputs
        return [[name for mark, text in zip(("", "2:"), texts)
                 for name in word_features.of_text(text, self.features, mark)]]

    def record(self, inputs, labels, probabilities, gold=None):
        """{"text", "label", "gold" when known, "probabilities": {label: p}}; a pair is "text_a" and "text_b"."""
        record = {**_texts(inputs), "label": labels[0]}
        if gold is not None:
            record["gold"] = gold[0]
        if probabilities is not None:
            record["probabilities"] = {label: round(float(p), 6)
                                       for label, p in zip(self.labels, probabilities[0], strict=True)}
        return record


class PairClassification(Classification):
    """A label for each pair of texts, such as whether one follows from the other or says the same.

    The texts are the two segments of one row, as the sentence objective's of pre-training.
    """

    name = kind = "pair_classification"
    is_pair = True
    ways_of_long_texts = ("truncate",)
    read_examples = staticmethod(read_pairs)

    def _encode(self, inputs, tokenizer):
        return encode_pairs(inputs, tokenizer, self.max_seq_length)


class Regression(Classification):
    """A number for each text."""

    name = kind = "regression"
    is_regression = True
    metric_names = ("pearson", "spearman")
    select_by = "pearson"

    @staticmethod
    def read_examples(path, option, columns):
        return read_texts(path, option, columns, number_of)

    @staticmethod
    def _check_labels(labels):
        if list(labels) != [VALUE]:
            raise InputError("a regression has numbers and no labels", "leave it out", name="labels_file")

    def gold(self, examples):
        """The true values, float32 (slots,)."""
        return np.array([value for example in examples for value in example.labels], np.float32)

    def record(self, inputs, labels, probabilities, gold=None):
        """{"text", "score", "gold" when known}; a pair is "text_a" and "text_b"."""
        record = {**_texts(inputs), "score": None if probabilities is None else round(float(probabilities[0, 0]), 6)}
        return {**record, "gold": gold[0]} if gold is not None else record


class PairRegression(Regression):
    """A number for each pair of texts, such as how similar they are."""

    name = kind = "pair_regression"
    is_pair = True
    ways_of_long_texts = ("truncate",)

    @staticmethod
    def read_examples(path, option, columns):
        return read_pairs(path, option, columns, number_of)

    def _encode(self, inputs, tokenizer):
        return encode_pairs(inputs, tokenizer, self.max_seq_length)


def _texts(inputs):
    return {"text": inputs} if isinstance(inputs, str) else dict(zip(("text_a", "text_b"), inputs, strict=True))


class Tagging(Task):
    """A tag for each word, read from the mean over its pieces or at its first piece.

    Attributes:
      entity_types: the types of entities that the tags mark, as BIO and the like do; () when they mark none. Then
        entities are scored too, and their F1 selects the model.
    """

    name = kind = "tagging"
    is_tagging = True
    heads = ("linear", "crf")
    default_long_texts = "window"  # a word that is cut off gets no tag
    default_pooling = "mean"  # a word's ending, in its last pieces, says much about its tag
    read_examples = staticmethod(read_sentences)

    def __init__(self, labels, *choices, **named_choices):
        super().__init__(labels, *choices, **named_choices)
        self.entity_types = entity_types(labels)
        if self.entity_types:
            self.metric_names, self.select_by = ("accuracy", "macro_f1", "entity_f1"), "entity_f1"

    def _encode(self, inputs, tokenizer):
        return encode_sentences(inputs, tokenizer, self.max_seq_length, self.long_texts)

    def _features(self, inputs):
        return word_features.of_words(inputs, self.features)

    def record(self, inputs, labels, probabilities, gold=None):
        """{"words", "tags", "gold" when known}; probabilities are left out."""
        record = {"words": list(inputs), "tags": list(labels)}
        if gold is not None:
            record["gold"] = list(gold)
        return record


def span_records(words, tags):
    """The entities of a sentence as JSON-able dicts: {"type", "start", "end" (behind the last word), "text"}."""
    return [{"type": kind, "start": start, "end": end, "text": " ".join(words[start:end])}
            for kind, start, end in spans_of(tags)]


class Emotion(Classification):
    """The old project's emotion task: anger, fear, happy, love, sadness or surprise.

    Labels are those of the training file, so that other sets of emotions do as well.
    """

    name = "emotion"


class PartOfSpeech(Tagging):
    """The old project's part-of-speech task, scored per word: padding and later pieces of a word do not count.

    Tags are those of the training file, such as the 16 of Universal Dependencies.
    """

    name = "pos"


TASKS = {task.name: task for task in (Classification, Emotion, PairClassification, PairRegression, PartOfSpeech,
                                      Regression, Tagging)}
TASK_NAMES = list(TASKS)  # whether a name is one: what a damaged file has in its place may not be hashable


def task_class(name, source=None):
    """The class of the task `name`; InputError, naming the parameter task or else `source`, for an unknown one."""
    if name not in TASK_NAMES:
        raise InputError("unknown", f"give one of {', '.join(TASK_NAMES)}",
                         value=f"{source or parameter('task')}={name}")
    return TASKS[name]
