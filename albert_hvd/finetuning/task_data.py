"""The training, validation and test part of a task, read, checked and encoded."""

import dataclasses
import hashlib
import json

import numpy as np

from albert_hvd.errors import InputError, parameter
from albert_hvd.finetuning.encoding import Rows


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the data.

    Attributes:
      file, sha256: where it was read from, and of that file; of the examples when the file was split.
      examples: list of `labelled_data.Example`.
      rows: `encoding.Rows`.
      gold: int32 (slots,), the numbers of the true labels.
    """

    file: str
    sha256: str
    examples: list
    rows: Rows
    gold: np.ndarray

    def description(self):
        """The entry of the part in results.json."""
        return {"file": self.file, "examples": len(self.examples), "sha256": self.sha256,
                "longer_than_a_row": self.rows.num_long, "slots_cut_off": self.rows.num_cut_slots}


@dataclasses.dataclass(frozen=True)
class TaskData:
    """The parts of a task: `train` and `valid`, and `test` or None."""

    train: Part
    valid: Part
    test: Part


def read_examples(task_class, options):
    """The examples of each part as {"train": ..., "valid": ..., "test": ...}; "test" is missing without a test file.

    Without `valid_file`, a seeded share of the training file becomes the validation part.

    Raises:
      InputError: a file that cannot be read as the task's, or too few examples to divide.
    """
    examples = {"train": task_class.read_examples(options.train_file, "train_file")}
    if options.valid_file:
        examples["valid"] = task_class.read_examples(options.valid_file, "valid_file")
    else:
        examples["train"], examples["valid"] = split(examples["train"], options.valid_fraction, options.split_seed)
    if options.test_file:
        examples["test"] = task_class.read_examples(options.test_file, "test_file")
    return examples


def split(examples, fraction, seed):
    """(training, validation part) of a list of examples; repetitions of one input are in the same part.

    Args:
      fraction: share of the different inputs in the validation part.

    Raises:
      InputError: one of the parts would be empty.
    """
    inputs = sorted({example.inputs for example in examples})
    count = round(fraction * len(inputs))
    if not 0 < count < len(inputs):
        raise InputError(f"of {len(inputs)} different inputs, {count} would be for validation",
                         f"change it, or give {parameter('valid_file')}", name="valid_fraction", value=f"{fraction:g}")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(inputs))
    chosen = {inputs[number] for number in order[:count]}
    return ([example for example in examples if example.inputs not in chosen],
            [example for example in examples if example.inputs in chosen])


def read_labels(path, train_examples):
    """The labels in their order: those of `labels_file`, one a line, else those of the training part, sorted.

    Raises:
      InputError: the file cannot be read.
    """
    if not path:
        return sorted({label for example in train_examples for label in example.labels})
    try:
        with open(path, encoding="utf-8") as file:
            return [line.strip() for line in file if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read ({error})", "give a file with one label a line", name="labels_file",
                         value=path) from None


def encode_parts(task, examples, options, tokenizer):
    """`TaskData` of what `read_examples` gave.

    Raises:
      InputError: a label that is not one of the task's; names file and line.
    """
    files = {"train": options.train_file, "valid": options.valid_file or options.train_file, "test": options.test_file}
    number_of = {label: number for number, label in enumerate(task.labels)}
    parts = {name: _encode_part(files[name], part, task, tokenizer, number_of) for name, part in examples.items()}
    if not options.valid_file:
        parts = {name: part if name == "test" else dataclasses.replace(part, sha256=_sha256_of(part.examples))
                 for name, part in parts.items()}
    return TaskData(parts["train"], parts["valid"], parts.get("test"))


def _encode_part(file, examples, task, tokenizer, number_of):
    for example in examples:
        for label in example.labels:
            if label not in number_of:
                raise InputError(f"{example.file}:{example.line}: the label {label!r} is not one of "
                                 f"{', '.join(task.labels)}",
                                 f"fix the line, or name all labels with {parameter('labels_file')}")
    gold = np.array([number_of[label] for example in examples for label in example.labels], np.int32)
    with open(file, "rb") as content:
        sha256 = hashlib.sha256(content.read()).hexdigest()
    return Part(file, sha256, examples, task.encode([example.inputs for example in examples], tokenizer), gold)


def _sha256_of(examples):
    """Of a part that is no file of its own: of its examples as lines of JSON."""
    lines = (json.dumps([example.inputs, example.labels]) + "\n" for example in examples)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def report_long_texts(name, part, task):
    """What became of the texts that are longer than a row, in one line; None when there are none."""
    if not part.rows.num_long:
        return None
    became = "cut into windows" if task.long_texts == "window" else "cut off at the end"
    lost = f"; {part.rows.num_cut_slots} words were cut off and are not scored" if part.rows.num_cut_slots else ""
    return (f"{name}: {part.rows.num_long} of {len(part.examples)} are longer than {task.max_seq_length} pieces and "
            f"were {became}{lost}")


def slot_weights(part, num_labels, class_weights):
    """What each slot of the training part weighs in the loss: float32 (slots,).

    Windows of one text share its weight. "balanced" lets all labels that occur weigh the same in sum: a slot of
    label l weighs slots / (labels that occur * slots of label l).
    """
    windows = np.zeros(len(part.gold), np.float64)
    for first, positions in zip(part.rows.first_slot, part.rows.positions, strict=True):
        windows[first:first + len(positions)] += 1
    weights = 1.0 / np.maximum(windows, 1)
    if class_weights == "balanced":
        counts = np.bincount(part.gold, minlength=num_labels)
        weights *= (len(part.gold) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[part.gold]
    return weights.astype(np.float32)
