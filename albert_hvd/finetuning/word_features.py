"""Words, endings and neighbours as sparse features: the wide part beside the network, and what the CRF baseline reads.

The scores of a linear layer over them and of the network are added (Cheng et al., "Wide & Deep Learning for Recommender
Systems", 2016, section 3, on the "joint" training of both and on an "ensemble" of them). A word that pre-training has
seen a few times has weights of its own there. Features become numbers by hashing (Weinberger et al., "Feature Hashing for
Large Scale Multitask Learning", 2009), so that a model needs no list of them; two that get the same number share their
weights.

There are two sets of them: "words", and "phrases", which has all of those and combinations of neighbours.
"""

import itertools
import zlib

import numpy as np

from albert_hvd.data.text.words import split_words

FEATURES = ("none", "words", "phrases")
TRAININGS = ("ensemble", "joint")
NUM_BUCKETS = {"words": 1 << 17, "phrases": 1 << 18}


def of_text(text, kind, mark=""):
    """The features of a text, list of str: each word and each pair of neighbours in lower case, once.

    Args:
      kind: "words", or "phrases" for three neighbouring words too.
      mark: what stands before each of them, which keeps those of two texts apart.
    """
    words = [word.lower() for word in split_words(text)]
    inside = ["<", *words, ">"]
    names = [*words, *map(" ".join, itertools.pairwise(inside))]
    if kind == "phrases":
        names += map(" ".join, zip(inside, inside[1:], inside[2:]))
    return [mark + name for name in dict.fromkeys(names)]


def of_words(words, kind):
    """The features of each word of a sentence, list of lists of str: form, endings, case, and the same of its neighbours.

    Args:
      kind: "words", or "phrases" for those of `_combinations` too.
    """
    rows = crf_features(words)
    if kind == "phrases":
        rows = [{**row, **more} for row, more in zip(rows, _combinations(words), strict=True)]
    return [[name if value is True else f"{name}={value}" for name, value in features.items() if value is not False]
            for features in rows]


def _combinations(words):
    """Of each word a dict: pairs with its neighbours, words two places away, cases in a row, more of its affixes.

    Cases in a row tell a name that consists of ordinary words. Malay has circumfixes, such as ke-...-an.
    """
    lower = ["<", "<", *(word.lower() for word in words), ">", ">"]
    shapes = ["<", "<", *map(word_shape, words), ">", ">"]
    rows = []
    for place in range(2, len(words) + 2):
        word, shape = lower[place], shapes[place]
        before, after = lower[place - 1], lower[place + 1]
        rows.append({
            "-2:word": lower[place - 2], "+2:word": lower[place + 2],
            "-1:pair": f"{before} {word}", "+1:pair": f"{word} {after}",
            "-1:word, shape": f"{before} {shape}", "+1:word, shape": f"{after} {shape}",
            **{f"{first:+}:shapes": " ".join(shapes[place + first:place + first + 3]) for first in (-2, -1, 0)},
            **{f"suffix-{n}": word[-n:] for n in (1, 5)}, **{f"prefix-{n}": word[:n] for n in (4, 5)},
            **{f"circumfix-{n}": f"{word[:n]} {word[-n:]}" for n in (2, 3)}})
    return rows


def crf_features(words):
    """What `of_words` lists, as CRFsuite takes it: a dict for each word."""
    own = [{"word": word.lower(), "form": word, "shape": word_shape(word), "hyphen": "-" in word,
            **{f"suffix-{n}": word[-n:].lower() for n in (2, 3, 4)},
            **{f"prefix-{n}": word[:n].lower() for n in (2, 3)}} for word in words]
    rows = []
    for place, features in enumerate(own):
        row = dict(features)
        for offset in (-1, 1):
            inside = 0 <= place + offset < len(own)
            row.update({f"{offset:+}:{name}": own[place + offset][name] for name in ("word", "shape", "suffix-3")}
                       if inside else {f"{offset:+}:none": True})
        rows.append(row)
    return rows


def word_shape(word):
    """"upper", "title", "digit" or "lower"."""
    return ("upper" if word.isupper() else "title" if word[:1].isupper()
            else "digit" if word[:1].isdigit() else "lower")


def hashed(names, kind):
    """Features as numbers from 1 to `NUM_BUCKETS[kind]` - 1, each once, int32 (F,); the same in every process and version."""
    most = NUM_BUCKETS[kind] - 1
    return np.unique([zlib.crc32(name.encode("utf-8", "surrogatepass")) % most + 1 for name in names]).astype(np.int32)
