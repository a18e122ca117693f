"""Baselines of tagging: each word's most frequent tag, and a conditional random field over word features."""

import collections

from albert_hvd.finetuning.word_features import crf_features, word_shape

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
    return word, (word[-_SUFFIX_LENGTH:].lower(), word_shape(word)), (word_shape(word),), ()


class WordFeatureCrf:
    """A linear-chain CRF over words, endings, case and neighbours, fitted by CRFsuite."""

    title = "CRF over word features"
    packages = ("sklearn_crfsuite",)

    def fit(self, inputs, labels):
        import sklearn_crfsuite

        self._model = sklearn_crfsuite.CRF(algorithm="lbfgs", c1=0.1, c2=0.1, max_iterations=100,
                                           all_possible_transitions=True)
        self._model.fit([crf_features(words) for words in inputs], [list(row) for row in labels])
        self.num_parameters = len(self._model.state_features_) + len(self._model.transition_features_)

    def predict(self, inputs):
        return [tuple(map(str, row)) for row in self._model.predict([crf_features(words) for words in inputs])]
