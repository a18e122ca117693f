"""Text of any size out of a given one: its documents again and again, with other words in them each time."""

import itertools

import numpy as np

# So many of a document's words are changed in each copy but the first. Of its triples of words, a third stays, which no
# search for near duplicates takes for the same text.
CHANGED_SHARE = 0.3


def repeat(documents, num_bytes, seed=0):
    """Yield documents as text, each line with its end, until they have `num_bytes`; none equals another.

    Other words are drawn from the whole text, frequent ones more often, so that lengths, vocabulary and frequencies stay
    as they are. The last word of a line, which may hold its full stop, stays too.

    Args:
      documents: list of lists of lines.
    """
    words = [_words(document) for document in documents]
    everything = np.concatenate([part for part, _ in words])
    everything = everything[np.concatenate([changeable for _, changeable in words])]
    generator, written = np.random.default_rng(seed), 0
    for number in itertools.count():
        part, changeable = words[number % len(words)]
        if number >= len(words) and len(everything):
            chosen = np.flatnonzero(changeable & (generator.random(len(part)) < CHANGED_SHARE))
            part = part.copy()
            part[chosen] = everything[generator.integers(0, len(everything), len(chosen))]
        # The number tells short documents apart, of which few words are changed or none.
        text = f"{number} " + "".join(part.tolist())
        written += len(text.encode("utf-8")) + 1
        yield text
        if written >= num_bytes:
            return


def _words(document):
    """The words of a document with what follows each, an object array; and which are not the last of their line."""
    found, changeable = [], []
    for line in document:
        *words, last = line.split() or [""]
        found += [*(f"{word} " for word in words), f"{last}\n"]
        changeable += [True] * len(words) + [False]
    return np.array(found, object), np.array(changeable)
