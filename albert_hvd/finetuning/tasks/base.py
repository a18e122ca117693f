"""What a task has to say; everything else in fine-tuning asks this."""

import abc

from albert_hvd.errors import InputError


class Task(abc.ABC):
    """One task with its labels.

    A task says how its examples are read, how they become rows for the model, which heads there are, by
    which metric a model is selected, and how a prediction is written.

    Args:
      labels: the names of the L labels, in the order of the head's outputs.
      head: one of `heads`.
      max_seq_length: most pieces of a row, <cls> and <sep> included.
      long_texts: what becomes of longer ones, one of `encoding.LONG_TEXTS`; None: the task's own default.

    Raises:
      InputError: fewer than two labels, a label twice, or a head that the task does not have.
    """

    name = None
    kind = None  # "classification" or "tagging"
    heads = ("linear",)
    select_by = "accuracy"  # "accuracy" or "macro_f1"
    uses_pooler = False  # True: each row has one slot, read through the pooler unless the head says otherwise
    default_long_texts = "truncate"

    def __init__(self, labels, head="linear", max_seq_length=128, long_texts=None):
        if head not in self.heads:
            raise InputError(f"--head={head}: --task={self.name} has no such head; give {' or '.join(self.heads)}")
        if len(labels) < 2 or len(set(labels)) < len(labels):
            raise InputError(f"--labels_file: the labels are {', '.join(labels) or 'none'}; two or more different "
                             f"ones are needed")
        self.labels, self.head = tuple(labels), head
        self.max_seq_length, self.long_texts = max_seq_length, long_texts or self.default_long_texts

    @staticmethod
    @abc.abstractmethod
    def read_examples(path, flag):
        """The `labelled_data.Example`s of a file; InputError, naming `flag` or file and line."""

    @abc.abstractmethod
    def encode(self, inputs, tokenizer):
        """`encoding.Rows` of the `inputs` of examples, a list."""

    @abc.abstractmethod
    def record(self, inputs, labels, probabilities, gold=None):
        """A prediction as a JSON-able dict.

        Args:
          inputs: those of one example.
          labels: the predicted label of each of its slots; None where the slot was cut off.
          probabilities: float32 (slots, L), or None when the head gives none.
          gold: the true labels, when they are known.
        """
