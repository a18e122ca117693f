"""Figures of a confusion matrix and of a regression, what a job's seeds come to, and both as text."""

import statistics

import numpy as np

from albert_hvd.run_folder.task_results import FORMAT
from albert_hvd.runtime.environment import machine, versions
from albert_hvd.runtime.tables import aligned

SUMMARISED = ("accuracy", "macro_f1")
TITLES = {"accuracy": "accuracy", "macro_f1": "macro-F1", "entity_f1": "entity F1", "pearson": "Pearson",
          "spearman": "Spearman"}


def confusion_of(gold, predicted, num_labels):
    """Counts, int64 (L, L): rows are the true labels, columns the predicted ones.

    Args:
      gold, predicted: int arrays of the same shape with values in [0, L).
    """
    pairs = np.asarray(gold, np.int64) * num_labels + np.asarray(predicted, np.int64)
    return np.bincount(pairs.ravel(), minlength=num_labels ** 2).reshape(num_labels, num_labels)


def metrics_of_confusion(confusion, labels):
    """Accuracy, macro-F1, and precision, recall and F1 of each label.

    F1 is 2 TP / (2 TP + FP + FN). The macro-F1 is the plain mean over the labels that occur, as true or as
    predicted ones; a label that never occurs has figures of 0 and does not count.

    Args:
      confusion: int64 (L, L), rows are the true labels.
      labels: L names.

    Returns:
      dict with `accuracy`, `macro_f1`, `count`, `labels` ({name: {precision, recall, f1, support}}) and
      `confusion` as lists.
    """
    confusion = np.asarray(confusion, np.int64)
    hits, support, predicted = np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0)
    precision, recall = hits / np.maximum(predicted, 1), hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    occurs = support + predicted > 0
    total = int(confusion.sum())
    return {
        "accuracy": float(hits.sum() / max(total, 1)),
        "macro_f1": float(f1[occurs].mean()) if occurs.any() else 0.0,
        "count": total,
        "labels": {name: {"precision": float(precision[i]), "recall": float(recall[i]), "f1": float(f1[i]),
                          "support": int(support[i])} for i, name in enumerate(labels)},
        "confusion": confusion.tolist(),
    }


def metrics_of_values(gold, predicted):
    """Pearson's and Spearman's correlation and the mean squared error.

    Spearman's is Pearson's of the ranks, equal values sharing the mean of theirs. Where all values are equal there is
    no correlation; 0 stands for it.

    Args:
      gold, predicted: float (n,).

    Returns:
      dict with `pearson`, `spearman`, `mse`, `count`.
    """
    gold, predicted = np.asarray(gold, np.float64), np.asarray(predicted, np.float64)
    return {"pearson": _correlation(gold, predicted), "spearman": _correlation(_ranks(gold), _ranks(predicted)),
            "mse": float(np.square(gold - predicted).mean()) if len(gold) else 0.0, "count": len(gold)}


def _correlation(first, second):
    if not len(first):
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    size = np.sqrt(np.square(first).sum() * np.square(second).sum())
    return float(np.clip((first * second).sum() / size, -1, 1)) if size > 0 else 0.0


def _ranks(values):
    """The rank of each value from 0, equal ones sharing the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[place]


def job_result(job, seed_results, baseline_results, num_parameters, size):
    """The result of a job.

    Args:
      job: `job.Job`.
      seed_results: list of the seeds' results.
      baseline_results: as `baselines.run` gives them.
      num_parameters: of the model.
      size: number of ranks.
    """
    options = job.options
    return {
        "format": FORMAT, "task": options.task, "kind": job.task.kind,
        "name": options.name or job.first_weights.name, "init_checkpoint": options.init_checkpoint,
        "parameters": num_parameters, "labels": list(job.task.labels),
        "data": {"test": None, **{name: part.description() for name, part in job.parts()}},
        "settings": options.settings(), "ranks": size, "versions": versions(), "machine": machine(),
        "seeds": seed_results,
        "summary": {part: summary([seed[part] for seed in seed_results], job.task.metric_names)
                    if getattr(job.data, part) else None for part in ("valid", "test")},
        "baselines": baseline_results,
    }


def summary(metrics, names=SUMMARISED):
    """Mean and spread over seeds: {metric: {"mean", "spread"}}; the spread is the standard deviation of a sample.

    It is None for a single seed.
    """
    values = {name: [one[name] for one in metrics] for name in names}
    return {name: {"mean": statistics.fmean(numbers),
                   "spread": statistics.stdev(numbers) if len(numbers) > 1 else None}
            for name, numbers in values.items()}


def best_seed(seed_results, select_by):
    """The seed whose model is best on the validation part; of several the first."""
    return max(seed_results, key=lambda result: result["valid"][select_by])["seed"]


def figures(metrics, names):
    """Some metrics in one line."""
    return ", ".join(f"{TITLES[name]} {metrics[name]:.4f}" for name in names)


def metric_lines(metrics):
    """What there is beside the main figures of one part: list of lines."""
    lines = [*label_table(metrics["labels"]), "", *confusion_table(metrics), ""] if "labels" in metrics else []
    if "entities" in metrics:
        lines += ["entities:", *label_table({**metrics["entities"]["types"], "all": metrics["entities"]}), ""]
    return lines


def label_table(scores):
    """Precision, recall, F1 and support of each label or type, {name: {precision, recall, ...}}: list of lines."""
    return aligned([["", "precision", "recall", "f1", "support"],
                    *([name, *(f"{values[column]:.4f}" for column in ("precision", "recall", "f1")),
                       str(values["support"])] for name, values in scores.items())])


def confusion_table(metrics):
    """The confusion matrix, true labels in rows, predicted ones in columns: list of lines."""
    names = list(metrics["labels"])
    return aligned([["true / predicted", *names],
                    *([name, *map(str, row)] for name, row in zip(names, metrics["confusion"], strict=True))])


def summary_table(result):
    """A line for the model, mean and spread over its seeds, and one for each baseline: list of lines."""
    parts = [part for part in ("valid", "test") if result["summary"][part]]
    names = list(result["summary"]["valid"])
    rows = [["", *(f"{part} {TITLES[name]}" for part in parts for name in names), "parameters"]]
    rows.append([f"{result['name']} ({len(result['seeds'])} seed{'s' * (len(result['seeds']) > 1)})",
                 *(_mean_and_spread(result["summary"][part][name]) for part in parts for name in names),
                 str(result["parameters"])])
    rows += [[baseline["name"], *(f"{baseline[part][name]:.4f}" for part in parts for name in names),
              str(baseline["parameters"])]
             for baseline in result["baselines"]]
    return aligned(rows)


def _mean_and_spread(values):
    spread = values["spread"]
    return f"{values['mean']:.4f}" + (f" ± {spread:.4f}" if spread is not None else "")
