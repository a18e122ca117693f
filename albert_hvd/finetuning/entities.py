"""Entities of tagged words: which spans the tags mean, and how many of them are found.

Tags are BIO (B-LOC I-LOC O), BIOES, also with L and U for E and S, or IO (I-LOC O). Spans are those of seqeval's
default mode (`get_entities`; Nakayama, "seqeval", 2018), which follows conlleval of CoNLL-2000: a tag that cannot continue the
span before it begins one of its own. An entity is found when type, first and last word are right.
"""

import re

import numpy as np

_TAG = re.compile(r"[BIESLU]-.+")
_OUTSIDE = "O"
_SAME = {"L": "E", "U": "S"}  # BILOU's names
# (tag, next tag) of one type between which a span ends, and between which one begins.
_ENDS = {*(("E", tag) for tag in "BIESO"), *(("S", tag) for tag in "BIESO"), *(("B", tag) for tag in "BSO"),
         *(("I", tag) for tag in "BSO")}
_BEGINS = {*((tag, "B") for tag in "BIESO"), *((tag, "S") for tag in "BIESO"),
           *((tag, following) for tag in "ESO" for following in "EI")}


def entity_types(labels):
    """The types of entities, sorted, when all of some labels are O or such tags; () when they are not."""
    tags = [label for label in labels if label != _OUTSIDE]
    return sorted({label.partition("-")[2] for label in tags}) if all(map(_TAG.fullmatch, tags)) else ()


def spans_of(tags):
    """The spans of one sentence.

    Args:
      tags: list of str; None, a word without a tag, is O.

    Returns:
      list of (type, first word, word behind the last one).
    """
    spans, begin, before = [], None, (_OUTSIDE, "")
    for place, name in enumerate([*tags, _OUTSIDE]):
        tag, _, kind = (name or _OUTSIDE).partition("-")
        tag = _SAME.get(tag, tag)
        changes = before[1] != kind
        if before[0] != _OUTSIDE and (changes or (before[0], tag) in _ENDS):
            spans.append((before[1], begin, place))
        if tag != _OUTSIDE and (changes or (before[0], tag) in _BEGINS):
            begin = place
        before = tag, kind
    return spans


def entity_counts(gold, predicted, types):
    """Count entities.

    Args:
      gold, predicted: lists of the tags of each sentence.
      types: as `entity_types` gives them.

    Returns:
      int64 (T, 3): of each type those that there are, those that were predicted, and those that were found.
    """
    place = {kind: number for number, kind in enumerate(types)}
    counts = np.zeros([len(types), 3], np.int64)
    for true, found in zip(gold, predicted, strict=True):
        true, found = set(spans_of(true)), set(spans_of(found))
        for column, spans in enumerate((true, found, true & found)):
            for kind, _, _ in spans:
                counts[place[kind], column] += 1
    return counts


def metrics_of_entities(counts, types):
    """Precision, recall and F1 of entities; 0 where there is nothing to divide by.

    Args:
      counts: int64 (T, 3), of `entity_counts`.
      types: T names.

    Returns:
      dict with `entity_f1`, over the entities of all types, and `entities`: {precision, recall, f1, support, types:
      {type: {precision, recall, f1, support}}}.
    """
    everything = _scores(*np.sum(counts, axis=0))
    return {"entity_f1": everything["f1"],
            "entities": {**everything, "types": {kind: _scores(*row) for kind, row in zip(types, counts, strict=True)}}}


def _scores(support, predicted, found):
    return {"precision": float(found / max(predicted, 1)), "recall": float(found / max(support, 1)),
            "f1": float(2 * found / max(support + predicted, 1)), "support": int(support)}
