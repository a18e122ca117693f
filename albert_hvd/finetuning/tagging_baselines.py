"""Baselines of tagging: each word's most frequent tag, and a conditional random field over word features."""

import collections

_SUFFIX_LENGTH = 3


def most_frequent(counts):
    """The key with the highest count of a `Counter`; of several the first in the alphabet."""
    return min(counts, key=lambda key: (-counts[key], key))


class MostFrequentTag:
    """The tag that a word had most often; for unknown words, that of their last letters and their case."""

    title = "most frequent tag per word"
    packages = ()

    def fit(self, inputs, labels):
        counts = collections.defaultdict(collections.Counter)
        for words, tags in zip(inputs, labels, strict=True):
            for word, tag in zip(words, tags, strict=True):
                for key in _keys_of(word):
                    counts[key][tag] += 1
        self._tags = {key: most_frequent(tags) for key, tags in counts.items()}
        self.num_parameters = len(self._tags)

    def predict(self, inputs):
        return [tuple(next(self._tags[key] for key in _keys_of(word) if key in self._tags) for word in words)
                for words in inputs]


def _keys_of(word):
    """What is looked up for a word, one after the other."""
    return word, (word[-_SUFFIX_LENGTH:].lower(), _shape(word)), (_shape(word),), ()


def _shape(word):
    return ("upper" if word.isupper() else "title" if word[:1].isupper()
            else "digit" if word[:1].isdigit() else "lower")


class WordFeatureCrf:
    """A linear-chain CRF over words, endings, case and neighbours, fitted by CRFsuite."""

    title = "CRF over word features"
    packages = ("sklearn_crfsuite",)

    def fit(self, inputs, labels):
        import sklearn_crfsuite

        self._model = sklearn_crfsuite.CRF(algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100,
                                           all_possible_transitions=True)
        self._model.fit([_features(words) for words in inputs], [list(row) for row in labels])
        self.num_parameters = len(self._model.state_features_) + len(self._model.transition_features_)

    def predict(self, inputs):
        return [tuple(map(str, row)) for row in self._model.predict([_features(words) for words in inputs])]


def _features(words):
    """CRFsuite's features of each word: a list of dicts."""
    own = [{"word": word.lower(), "form": word, "shape": _shape(word), "hyphen": "-" in word,
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
