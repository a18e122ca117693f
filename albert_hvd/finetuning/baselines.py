"""What is reached without a network: the baselines of each kind of task, on the same parts of the data.

scikit-learn and sklearn-crfsuite are an extra, `[baselines]`; the lookups do without them. Nothing here
draws random numbers, so each baseline gives the same result each time.
"""

import collections
import importlib.util
import re
import statistics
import time

from albert_hvd.errors import InputError
from albert_hvd.finetuning.entities import entity_counts, entity_types, metrics_of_entities
from albert_hvd.finetuning.labelled_data import TextPair
from albert_hvd.finetuning.metrics import confusion_of, metrics_of_confusion, metrics_of_values
from albert_hvd.finetuning.tagging_baselines import MostFrequentTag, WordFeatureCrf, most_frequent

_PACKAGES = {"sklearn": "scikit-learn", "sklearn_crfsuite": "sklearn-crfsuite"}


def chosen(kind, choice):
    """The baselines that `choice` asks for.

    Args:
      kind: of the task, a key of `BASELINES`.
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
      kind: of the task, a key of `BASELINES`.
      labels: the names of all labels, in the order of the results' confusion matrices; None for a regression.
      train, valid, test: lists of `labelled_data.Example`; `test` may be None.
      names: as `chosen` gives them.

    Returns:
      list of dicts: `name`; `parameters`, the number of counts or weights that were learned; `seconds` of
      fitting; `tokens_per_sec`, words of the training part for a second of fitting; `valid` and `test`, each as
      `metrics.metrics_of_confusion` or `metrics.metrics_of_values` gives it with `loss` None, and `test` None without
      that part.
    """
    return [_run_one(BASELINES[kind][name](), labels, train, valid, test) for name in names]


def _run_one(baseline, labels, train, valid, test):
    inputs, gold = [example.inputs for example in train], [example.labels for example in train]
    num_words = sum(len(words) if type(words) is tuple else len(_joined(words).split()) for words in inputs)
    start = time.perf_counter()
    baseline.fit(inputs, gold)
    seconds = time.perf_counter() - start
    return {"name": baseline.title, "parameters": baseline.num_parameters, "seconds": round(seconds, 3),
            "tokens_per_sec": round(num_words / max(seconds, 1e-9), 1),
            "valid": _metrics(baseline, valid, labels),
            "test": None if test is None else _metrics(baseline, test, labels)}


def _metrics(baseline, examples, labels):
    both = [example.labels for example in examples], baseline.predict([example.inputs for example in examples])
    if labels is None:
        return {**metrics_of_values(*([value for row in rows for value in row] for rows in both)), "loss": None}
    number_of = {label: number for number, label in enumerate(labels)}
    gold, predicted = ([number_of[label] for row in rows for label in row] for rows in both)
    metrics = {**metrics_of_confusion(confusion_of(gold, predicted, len(labels)), labels), "loss": None}
    types = entity_types(labels) if examples and type(examples[0].inputs) is tuple else ()
    return {**metrics, **metrics_of_entities(entity_counts(*both, types), types)} if types else metrics


class Majority:
    """The most frequent label for everything.

    Every baseline has `title`, `packages` (modules that it needs), `fit(inputs, labels)`, `predict(inputs)`
    and, once fitted, `num_parameters`; inputs and rows of labels are those of `labelled_data.Example`.
    """

    title = "majority"
    packages = ()
    num_parameters = 1

    def fit(self, inputs, labels):
        self._label = most_frequent(collections.Counter(label for row in labels for label in row))

    def predict(self, inputs):
        """A row of labels for each input."""
        return [(self._label,) * (len(one) if type(one) is tuple else 1) for one in inputs]


def _joined(inputs):
    """A text as it is, or both of a pair in one."""
    return inputs if isinstance(inputs, str) else " ".join(inputs)


def _marked(inputs):
    """A text as it is; of a pair the words of each, marked with whose they are, and those that both have.

    The marks make three features of a word: a linear classifier can weigh what the texts share.
    """
    if not isinstance(inputs, TextPair):
        return inputs
    first, second = (_words(text) for text in inputs)
    shared = [word for word in first if word in set(second)]
    return " ".join([*(f"a_{word}" for word in first), *(f"b_{word}" for word in second),
                     *(f"both_{word}" for word in shared)])


def _words(text):
    return re.findall(r"\w+", text.lower())


class _Tfidf:
    """A linear classifier of tf-idf weights of words and pairs of words that two texts have.

    The settings of both classifiers are the best of a few that were tried on the emotion task's validation part.
    """

    packages = ("sklearn",)
    _label_type = str

    def fit(self, inputs, labels):
        from sklearn.feature_extraction.text import TfidfVectorizer

        # Words of one letter count as well, unlike in the vectoriser's own pattern.
        self._vectorizer = TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\w+", min_df=2)
        try:
            weights = self._vectorizer.fit_transform(map(_marked, inputs))
        except ValueError as error:
            raise InputError(f"{self.title} finds no word that two training texts have ({error})",
                             "leave it out", name="baselines") from None
        self._classifier = self._make_classifier().fit(weights, [label for label, in labels])
        self.num_parameters = self._count_parameters(self._classifier)

    def predict(self, inputs):
        labels = self._classifier.predict(self._vectorizer.transform(map(_marked, inputs)))
        return [(self._label_type(label),) for label in labels]


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


class TfidfRidge(_Tfidf):
    """A linear regression with the squares of its weights as a penalty."""

    title = "tf-idf + ridge regression"
    _label_type = float

    @staticmethod
    def _make_classifier():
        from sklearn.linear_model import Ridge

        return Ridge(alpha=1.0)

    @staticmethod
    def _count_parameters(classifier):
        return classifier.coef_.size + 1


class Mean:
    """The mean of the training part for everything."""

    title = "mean"
    packages = ()
    num_parameters = 1

    def fit(self, inputs, labels):
        self._mean = statistics.fmean(value for value, in labels)

    def predict(self, inputs):
        return [(self._mean,)] * len(inputs)


class WordOverlap:
    """The straight line through the share of words that two texts have in common (Jaccard) and the values."""

    title = "overlap of words"
    packages = ()
    num_parameters = 2

    def fit(self, inputs, labels):
        shares, values = [self._share(pair) for pair in inputs], [value for value, in labels]
        self._mean_share, self._mean = statistics.fmean(shares), statistics.fmean(values)
        variance = sum((share - self._mean_share) ** 2 for share in shares)
        covariance = sum((share - self._mean_share) * (value - self._mean)
                         for share, value in zip(shares, values, strict=True))
        self._slope = covariance / variance if variance else 0.0

    def predict(self, inputs):
        return [(self._mean + self._slope * (self._share(pair) - self._mean_share),) for pair in inputs]

    @staticmethod
    def _share(pair):
        first, second = (set(_words(text)) for text in pair)
        return len(first & second) / max(len(first | second), 1)


_OF_TEXTS = {"majority": Majority, "naive_bayes": TfidfNaiveBayes, "logistic_regression": TfidfLogisticRegression}
BASELINES = {
    "classification": _OF_TEXTS, "pair_classification": _OF_TEXTS,
    "regression": {"mean": Mean, "ridge": TfidfRidge},
    "pair_regression": {"mean": Mean, "word_overlap": WordOverlap, "ridge": TfidfRidge},
    "tagging": {"majority": Majority, "most_frequent_tag": MostFrequentTag, "crf": WordFeatureCrf},
}
