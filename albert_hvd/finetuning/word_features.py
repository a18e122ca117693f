"""Words, endings and neighbours as sparse features: the wide part beside the network, and what the CRF baseline reads.

A linear layer over them and the network are trained together, and their scores are added (Cheng et al., "Wide & Deep
Learning for Recommender Systems", 2016, section 3). A word that pre-training has seen a few times has weights of its
own there. Features become numbers by hashing (Weinberger et al., "Feature Hashing for Large Scale Multitask Learning",
2009), so that a model needs no list of them; two that get the same number share their weights.
"""

import itertools
import zlib

import numpy as np

from albert_hvd.data.text.words import split_words

FEATURES = ("none", "words")
NUM_BUCKETS = 1 << 17


def of_text(text, mark=""):
    """The features of a text, list of str: each word and each pair of neighbours in lower case, once.

    Args:
      mark: what stands before each of them, which keeps those of two texts apart.
    """
    words = [word.lower() for word in split_words(text)]
    pairs = (f"{first} {second}" for first, second in itertools.pairwise(["<", *words, ">"]))
    return [mark + name for name in dict.fromkeys([*words, *pairs])]


def of_words(words):
    """The features of each word of a sentence, list of lists of str: form, endings, case, and the same of its neighbours."""
    return [[name if value is True else f"{name}={value}" for name, value in features.items() if value is not False]
            for features in crf_features(words)]


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


def hashed(names):
    """Features as numbers from 1 to `NUM_BUCKETS` - 1, each once, int32 (F,); the same in every process and version."""
    return np.unique([zlib.crc32(name.encode("utf-8", "surrogatepass")) % (NUM_BUCKETS - 1) + 1
                      for name in names]).astype(np.int32)
