"""What is reached without a network: the baselines of both kinds of task, on the same parts of the data.

scikit-learn and sklearn-crfsuite are an extra, `[baselines]`; the lookups do without them. Nothing here
draws random numbers, so each baseline gives the same result each time.
"""

import collections
import importlib.util
import time

from albert_hvd.errors import InputError
from albert_hvd.finetuning.metrics import confusion_of, metrics_of_confusion

_PACKAGES = {"sklearn": "scikit-learn", "sklearn_crfsuite": "sklearn-crfsuite"}
_SUFFIX_LENGTH = 3


def chosen(kind, choice):
    """The baselines that `choice` asks for.

    Args:
      kind: "classification" or "tagging".
      choice: "all", "none", or a comma list of names.

    Returns:
      list of names, keys of `BASELINES[kind]`.

    Raises:
      InputError: a name that this kind of task does not have, or a package that is not installed.
    """
    known = BASELINES[kind]
    names = list(known) if choice == "all" else [] if choice == "none" else choice.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(f"a {kind} task has no baseline {unknown[0]!r}",
                         f"give all, none, or a comma list of {', '.join(known)}", name="baselines", value=choice)
    missing = {package for name in names for package in known[name].packages if not importlib.util.find_spec(package)}
    if missing:
        raise InputError(f"{' and '.join(sorted(map(_PACKAGES.get, missing)))} is not installed",
                         "pip install 'albert_hvd[baselines]', or leave out what needs it",
                         name="baselines", value=choice)
    return names


def run(kind, labels, train, valid, test, names):
    """Fit baselines on one part of the data and score them on the others.

    Args:
      kind: "classification" or "tagging".
      labels: the names of all labels, in the order of the results' confusion matrices.
      train, valid, test: lists of `labelled_data.Example`; `test` may be None.
      names: as `chosen` gives them.

    Returns:
      list of dicts: `name`; `parameters`, the number of counts or weights that were learned; `seconds` of
      fitting; `tokens_per_sec`, words of the training part for a second of fitting; `valid` and `test`, each as
      `metrics.metrics_of_confusion` gives it with `loss` None, and `test` None without that part.
    """
    return [_run_one(BASELINES[kind][name](), labels, train, valid, test) for name in names]


def _run_one(baseline, labels, train, valid, test):
    inputs, gold = [example.inputs for example in train], [example.labels for example in train]
    num_words = sum(len(text.split()) if isinstance(text, str) else len(text) for text in inputs)
    start = time.perf_counter()
    baseline.fit(inputs, gold)
    seconds = time.perf_counter() - start
    return {"name": baseline.title, "parameters": baseline.num_parameters, "seconds": round(seconds, 3),
            "tokens_per_sec": round(num_words / max(seconds, 1e-9), 1),
            "valid": _metrics(baseline, valid, labels),
            "test": None if test is None else _metrics(baseline, test, labels)}


def _metrics(baseline, examples, labels):
    number_of = {label: number for number, label in enumerate(labels)}
    gold, predicted = ([number_of[label] for row in rows for label in row] for rows in (
        (example.labels for example in examples), baseline.predict([example.inputs for example in examples])))
    return {**metrics_of_confusion(confusion_of(gold, predicted, len(labels)), labels), "loss": None}


def _most_frequent(counts):
    """The key with the highest count of a `Counter`; of several the first in the alphabet."""
    return min(counts, key=lambda key: (-counts[key], key))


class Majority:
    """The most frequent label for everything.

    Every baseline has `title`, `packages` (modules that it needs), `fit(inputs, labels)`, `predict(inputs)`
    and, once fitted, `num_parameters`; inputs and rows of labels are those of `labelled_data.Example`.
    """

    title = "majority"
    packages = ()
    num_parameters = 1

    def fit(self, inputs, labels):
        self._label = _most_frequent(collections.Counter(label for row in labels for label in row))

    def predict(self, inputs):
        """A row of labels for each input."""
        return [(self._label,) * (1 if isinstance(one, str) else len(one)) for one in inputs]


class _Tfidf:
    """A linear classifier of tf-idf weights of words and pairs of words that two texts have.

    The settings of both classifiers are the best of a few that were tried on the emotion task's validation part.
    """

    packages = ("sklearn",)

    def fit(self, inputs, labels):
        from sklearn.feature_extraction.text import TfidfVectorizer

        # Words of one letter count as well, unlike in the vectoriser's own pattern.
        self._vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", min_df=2)
        try:
            weights = self._vectorizer.fit_transform(inputs)
        except ValueError as error:
            raise InputError(f"{self.title} finds no word that two training texts have ({error})",
                             "leave it out", name="baselines") from None
        self._classifier = self._make_classifier().fit(weights, [label for label, in labels])
        self.num_parameters = self._count_parameters(self._classifier)

    def predict(self, inputs):
        return [(str(label),) for label in self._classifier.predict(self._vectorizer.transform(inputs))]


class TfidfNaiveBayes(_Tfidf):
    title = "tf-idf + naive Bayes"

    @staticmethod
    def _make_classifier():
        from sklearn.naive_bayes import MultinomialNB

        return MultinomialNB(alpha=0.3)

    @staticmethod
    def _count_parameters(classifier):
        return classifier.feature_log_prob_.size + classifier.class_log_prior_.size


class TfidfLogisticRegression(_Tfidf):
    title = "tf-idf + logistic regression"

    @staticmethod
    def _make_classifier():
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(C=5.0, max_iter=1000)

    @staticmethod
    def _count_parameters(classifier):
        return classifier.coef_.size + classifier.intercept_.size


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
        self._tags = {key: _most_frequent(tags) for key, tags in counts.items()}
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


BASELINES = {
    "classification": {"majority": Majority, "naive_bayes": TfidfNaiveBayes,
                       "logistic_regression": TfidfLogisticRegression},
    "tagging": {"majority": Majority, "most_frequent_tag": MostFrequentTag, "crf": WordFeatureCrf},
}
