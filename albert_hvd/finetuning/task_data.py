"""The training, validation and test part of a task, read, checked and encoded."""

import collections
import dataclasses
import hashlib
import json
import re

import numpy as np

from albert_hvd.errors import InputError, parameter
from albert_hvd.finetuning.encoding import Rows
from albert_hvd.finetuning.tables import read_content
from albert_hvd.runtime.files import check_readable

# Fewer labels than this may have one text each, as in a first try.
_MOST_UNQUESTIONED_LABELS = 3
_NUMBERED_LABEL = re.compile(r"(\d+)[\t,:]\s*(.+)")


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the data.

    Attributes:
      file, sha256: where it was read from, and of that file; of the examples when the file was split.
      examples: list of `labelled_data.Example`.
      rows: `encoding.Rows`.
      gold: int32 (slots,), the numbers of the true labels; of a regression float32, the true values.
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
      InputError: a file that cannot be read as the task's, labels that are none, or too few examples to divide.
    """
    files = {name: path for name in ("train", "valid", "test") if (path := getattr(options, f"{name}_file"))}
    examples = {name: task_class.read_examples(path, f"{name}_file", options.columns())
                for name, path in files.items()}
    if not (options.labels_file or task_class.is_tagging or task_class.is_regression):
        check_classes(examples["train"])
    if not options.valid_file:
        examples["train"], examples["valid"] = split(examples["train"], options.valid_fraction, options.split_seed)
    return examples


def split(examples, fraction, seed):
    """(training, validation part) of a list of examples.

    Repetitions of one input are in the same part. Each label has an input in the training part: one that would be its
    last there is not drawn, so that the validation part may be smaller where most labels are rare.

    Args:
      fraction: share of the different inputs in the validation part.

    Raises:
      InputError: one of the parts would be empty.
    """
    labels_of = collections.defaultdict(set)
    for example in examples:
        labels_of[example.inputs].update(label for label in example.labels if isinstance(label, str))
    inputs = sorted(labels_of)
    count = round(fraction * len(inputs))
    if not 0 < count < len(inputs):
        raise InputError(f"of {len(inputs)} different inputs, {count} would be for validation",
                         f"change it, or give {parameter('valid_file')}", name="valid_fraction", value=f"{fraction:g}")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(inputs))
    left = collections.Counter(label for labels in labels_of.values() for label in labels)
    chosen = set()
    for number in order:
        labels = labels_of[inputs[number]]
        if len(chosen) < count and all(left[label] > 1 for label in labels):
            chosen.add(inputs[number])
            left.subtract(labels)
    if not chosen:
        raise InputError("each of its texts is the only one of a label, so that none can be spared for validation",
                         f"give {parameter('valid_file')}", name="train_file", value=examples[0].file)
    return ([example for example in examples if example.inputs not in chosen],
            [example for example in examples if example.inputs in chosen])


def read_labels(path, examples):
    """The labels in their order: those of `labels_file`, else those of some examples, sorted.

    The file has one label a line, with or without its number before it (0<TAB>anger), or is JSON: a list, or an object
    of numbers and names in either order.

    Args:
      path: of the file, or None.
      examples: list of `labelled_data.Example`.

    Raises:
      InputError: the file cannot be read.
    """
    if path:
        check_readable(path, "labels_file")
        return _label_names(read_content(path, "labels_file"))
    return sorted({label for example in examples for label in example.labels})


def check_classes(examples):
    """InputError when there are about as many labels as texts: those are no labels, or the columns are exchanged."""
    labels = sorted({label for example in examples for label in example.labels})
    if len(labels) > _MOST_UNQUESTIONED_LABELS and 2 * len(labels) > len(examples):
        raise InputError(f"{len(labels)} different labels for {len(examples)} texts, such as {labels[0]!r:.60}",
                         f"name the right columns with {parameter('text_column')} and {parameter('label_column')}, or "
                         f"all labels with {parameter('labels_file')}", name="train_file", value=examples[0].file)


def _label_names(text):
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if isinstance(values, dict) and values:
        named = values if all(key.isdigit() for key in values) else {number: name for name, number in values.items()}
        if sorted(map(str, named)) == sorted(map(str, range(len(named)))):
            values = [named[key] for key in sorted(named, key=int)]
    if isinstance(values, list):
        return [str(value).strip() for value in values if str(value).strip()]
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    numbered = [_NUMBERED_LABEL.fullmatch(line) for line in lines]
    if all(numbered) and [int(match[1]) for match in numbered] == list(range(len(lines))):
        return [match[2] for match in numbered]
    return lines


def with_label_names(examples, labels):
    """The examples of each part with the names of their labels in the place of the numbers 0, 1, ...

    Args:
      examples: {part: list of `labelled_data.Example`}.
      labels: as `read_labels` gives them. Where one of them is a number itself, the data's numbers are names.

    Raises:
      InputError: a number without a name; names file and line.
    """
    everyone = [example for part in examples.values() for example in part]
    numbers = {label for example in everyone for label in example.labels}
    if any(label.isdigit() for label in labels) or not all(label.isascii() and label.isdigit() for label in numbers):
        return examples
    for example in everyone:
        for label in example.labels:
            if int(label) >= len(labels):
                raise InputError(f"{example.file}:{example.line}: the label {label} has no name: "
                                 f"{parameter('labels_file')} has {len(labels)}, for 0 to {len(labels) - 1}",
                                 "fix the line, or name all labels")
    return {name: [dataclasses.replace(example, labels=tuple(labels[int(label)] for label in example.labels))
                   for example in part] for name, part in examples.items()}


def encode_parts(task, examples, options, tokenizer):
    """`TaskData` of what `read_examples` gave.

    Raises:
      InputError: a label that is not one of the task's; names file and line.
    """
    files = {"train": options.train_file, "valid": options.valid_file or options.train_file, "test": options.test_file}
    parts = {name: _encode_part(files[name], part, task, tokenizer) for name, part in examples.items()}
    if not options.valid_file:
        parts = {name: part if name == "test" else dataclasses.replace(part, sha256=_sha256_of(part.examples))
                 for name, part in parts.items()}
    return TaskData(parts["train"], parts["valid"], parts.get("test"))


def _encode_part(file, examples, task, tokenizer):
    gold = task.gold(examples)
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
