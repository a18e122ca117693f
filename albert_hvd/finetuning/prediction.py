"""A fine-tuned model at work: labels of texts, or tags of words; and the lines of a stream to label."""

import re

import numpy as np

from albert_hvd.data.text.words import split_words
from albert_hvd.errors import InputError, parameter
from albert_hvd.finetuning.evaluation import Scorer
from albert_hvd.finetuning.labelled_data import TextPair
from albert_hvd.finetuning.task_folder import find_task_folder
from albert_hvd.finetuning.task_model import read_task_model
from albert_hvd.finetuning.tasks import span_records

# As in `conll.py`, a no-break space is part of a word.
_WORD = re.compile(r"(?:\S|[\u00a0\u2007\u202f])+")


def _words(text):
    return [word for found in _WORD.findall(text) if (word := found.strip())]


SPLITS = {"whitespace": _words, "punctuation": split_words}
_CHUNK_BYTES = 1 << 16
_MOST_LINES = 256


class TaskPredictor:
    """A model that `bin/finetune` trained.

    Attributes:
      kind: "classification", "pair_classification", "regression", "pair_regression" or "tagging".
      labels: names of the labels; of a regression ("score",).
      max_seq_length: most pieces of a row, <cls> and <sep> included.
      long_texts: what becomes of longer texts, "truncate" or "window".
      num_long: how many of the texts given so far did not fit into one row.
      num_cut_words: how many of their words got no tag.

    Args:
      path: the --output_dir of bin/finetune, or the folder model/ in it.
      option: what messages call `path`.

    Raises:
      InputError: there is no task model, or it is damaged.
    """

    def __init__(self, path, option="model"):
        self._path = path
        model, self._task, self._tokenizer = read_task_model(find_task_folder(path) or path, option)
        self.kind, self.labels = self._task.kind, self._task.labels
        self.max_seq_length, self.long_texts = self._task.max_seq_length, self._task.long_texts
        self.num_long = self.num_cut_words = 0
        self._scorer = Scorer(model, self._task, self._tokenizer.pad_id)

    def predict(self, texts, split="whitespace", spans=False):
        """The predictions for texts, in their order.

        Args:
          texts: list of str; for tagging also of lists of words; for a task of pairs, of two str each.
          split: how a str becomes words for tagging: at "whitespace", as the tokens of the training data are
            written; or at "punctuation" as well, for running text.
          spans: add the entities that tags of BIO and the like mark, as "spans": a list of {"type", "start", "end",
            "text"} with the numbers of the first word and of the one behind the last.

        Returns:
          list of dicts: {"text", "label", "probabilities": {label: share}} for classification, {"text", "score"} for
          regression, {"words", "tags"} for tagging; a pair has "text_a" and "text_b" in the place of "text". An empty
          text has the label and the probabilities, or the score, None, or no words. A word that was cut off has the tag
          None.

        Raises:
          InputError: a text that is no str, another `split`, or `spans` of a model whose tags mark none.
        """
        if spans and not (self._task.is_tagging and self._task.entity_types):
            raise InputError(f"its labels ({', '.join(self.labels[:5])}, ...) mark no entities, as B-LOC and O do",
                             f"leave {parameter('spans')} out", value=self._path)
        if split not in SPLITS:
            raise InputError(f"split={split!r} is unknown", f"give one of {', '.join(SPLITS)}")
        inputs = [self._input_of(number, text, SPLITS[split]) for number, text in enumerate(texts)]
        predicted = iter(self._records([one for one in inputs if not _is_empty(one)]))
        records = [self._empty(one) if _is_empty(one) else next(predicted) for one in inputs]
        if spans:
            records = [{**record, "spans": span_records(record["words"], record["tags"])} for record in records]
        return records

    def _input_of(self, number, text, split):
        """The text as it is, the pair, or the words."""
        is_list = isinstance(text, (list, tuple)) and all(isinstance(part, str) for part in text)
        if self._task.is_pair:
            inputs, wanted = TextPair(text) if is_list and len(text) == 2 else None, "two str, as a list or a tuple"
        elif self._task.is_tagging:
            words = tuple(split(text)) if isinstance(text, str) else tuple(text) if is_list else ("",)
            inputs = words if all(map(str.strip, words)) else None
            wanted = "a str or a list of words that are not empty"
        else:
            inputs, wanted = text if isinstance(text, str) else None, "a str"
        if inputs is None:
            raise InputError(f"texts[{number}] is {text!r:.60}", f"give {wanted}")
        return inputs

    def _records(self, inputs):
        if not inputs:
            return
        rows = self._task.encode(inputs, self._tokenizer)
        self.num_long += rows.num_long
        self.num_cut_words += rows.num_cut_slots
        scores = self._scorer(rows)
        ends = np.cumsum(rows.num_slots)
        for one, start, end in zip(inputs, ends - rows.num_slots, ends, strict=True):
            names = [self.labels[label] if label >= 0 else None for label in scores.labels[start:end]]
            yield self._task.record(one, names, scores.probabilities[start:end])

    def _empty(self, nothing):
        """The prediction for an empty text: the model is not asked."""
        if self._task.is_tagging:
            return self._task.record(nothing, [], None)
        record = self._task.record(nothing, [None], None)
        return record if self._task.is_regression else {**record, "probabilities": None}

    def inputs_of_lines(self, batches, source="standard input"):
        """The texts of lines, or of a task of pairs the two that each line has with a tab between.

        Args:
          batches: lists of lines, as `batches_of_lines` yields them.
          source: what they come from, for messages.

        Yields:
          lists of what `predict` takes.

        Raises:
          InputError: a line without a tab, or with several; the lines before it have been yielded.
        """
        number = 0
        for batch in batches:
            inputs = []
            for line in batch:
                number += 1
                texts = line.split("\t") if line.strip() else ["", ""]
                if self._task.is_pair and len(texts) != 2:
                    if inputs:
                        yield inputs
                    raise InputError(f"{source}:{number}: {len(texts)} text{'s' * (len(texts) > 1)}",
                                     "write two on each line, with a tab between")
                inputs.append(texts if self._task.is_pair else line)
            yield inputs


def _is_empty(inputs):
    return not all(map(str.strip, inputs)) if isinstance(inputs, TextPair) else not (
        inputs.strip() if isinstance(inputs, str) else inputs)


def batches_of_lines(stream, source="standard input"):
    """The lines of a UTF-8 stream, without their ends.

    Only a line feed ends a line, for a text may hold U+2028 and its like; a carriage return before it and a
    byte order mark at the top are dropped.

    Args:
      stream: binary, with `read1`.
      source: what it is called in messages.

    Yields:
      lists of 1 to 256 str, without waiting for more than has arrived.

    Raises:
      InputError: a line is not UTF-8; the lines before it have been yielded.
    """
    number = 0
    for lines in _raw_batches(stream):
        batch = []
        for line in lines:
            number += 1
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                if batch:
                    yield batch
                raise InputError(f"{source}:{number}: not UTF-8", "convert the text first") from None
            batch.append(text.removesuffix("\r"))
        yield batch


def _raw_batches(stream):
    """Lists of lines as bytes; the last line needs no line feed."""
    parts = []
    while chunk := stream.read1(_CHUNK_BYTES):
        parts.append(chunk)
        if b"\n" not in chunk:
            continue
        *lines, rest = b"".join(parts).split(b"\n")
        parts = [rest] if rest else []
        for start in range(0, len(lines), _MOST_LINES):
            yield lines[start:start + _MOST_LINES]
    if parts:
        yield [b"".join(parts)]
