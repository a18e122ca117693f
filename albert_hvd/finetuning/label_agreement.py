"""How far the labels of what recurs agree: no model can be right about what its labellers do not agree on.

Of a text that occurs several times, or a word that occurs several times between the same neighbours, each label is held
against those of the other occurrences.
"""

import collections
import itertools
from typing import NamedTuple

# A look at the data must not take long, nor much memory.
_MOST_LABELS = 200_000
# Of fewer the share says little.
_FEWEST = 100
_NEIGHBOURS = (1, 2)  # words on each side


class Agreement(NamedTuple):
    """Of `count` labels of what recurs, the share of those than which none is more frequent in the same place.

    `neighbours`: words on each side that are the same; None for a whole text.
    """

    count: int
    share: float
    neighbours: int = None


def agreements(examples, is_tagging):
    """What recurs in the first 200,000 labels and how far it agrees, list of `Agreement`s of at least 100 labels.

    Args:
      examples: list of `labelled_data.Example` whose labels are no numbers.
      is_tagging: whether the inputs are words of sentences.
    """
    kinds = _NEIGHBOURS if is_tagging else (None,)
    found = [_agreement(examples, neighbours) for neighbours in kinds]
    return [agreement for agreement in found if agreement.count >= _FEWEST]


def _occurrences(examples, neighbours):
    """(what stands there, label) of each of the first labels."""
    return itertools.islice(_all_occurrences(examples, neighbours), _MOST_LABELS)


def _all_occurrences(examples, neighbours):
    for example in examples:
        if neighbours is None:
            yield example.inputs, example.labels[0]
            continue
        edge = (None,) * neighbours
        words = (*edge, *example.inputs, *edge)
        for place, label in enumerate(example.labels):
            yield words[place:place + 2 * neighbours + 1], label


def _agreement(examples, neighbours):
    times = collections.Counter(what for what, _ in _occurrences(examples, neighbours))
    counts = collections.defaultdict(collections.Counter)  # of what recurs alone, which is little
    for what, label in _occurrences(examples, neighbours):
        if times[what] > 1:
            counts[what][label] += 1
    count = agreeing = 0
    for labels in counts.values():
        count += labels.total()
        # Among the others an occurrence's own label is one less frequent than among all: only the single most frequent agrees.
        most, second = (*sorted(labels.values(), reverse=True), 0)[:2]
        agreeing += most if most > second else 0
    return Agreement(count, agreeing / count if count else 1.0, neighbours)


def in_words(agreement):
    """A line that says what an `Agreement` is."""
    what = ("texts occur more than once" if agreement.neighbours is None else
            "words recur between the same neighbours" if agreement.neighbours == 1 else
            f"words recur with the same {agreement.neighbours} on each side")
    return f"{agreement.count} {what}; {100 * agreement.share:.1f} % have the label of the others"
