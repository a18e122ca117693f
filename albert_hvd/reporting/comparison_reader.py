"""Results of bin/finetune and their baselines, put beside each other task by task."""

import dataclasses
import json
import math
import os
import re
import statistics

from albert_hvd.errors import InputError, parameter
from albert_hvd.reporting.published import FIGURES
from albert_hvd.reporting.run_reader import distinct_labels
from albert_hvd.run_folder.task_results import FORMAT, RESULTS

# In the order of a comparison; the titles of the legend.
GROUPS = {"pre-trained": "pre-trained", "random": "from random weights", "baseline": "baseline",
          "published": "published, not comparable"}
# In the order of a comparison: (title, what it is).
METRICS = {"accuracy": ("Accuracy", "share of right answers"), "macro_f1": ("Macro-F1", "mean F1 of the labels"),
           "entity_f1": ("Entity F1", "F1 of the entities of all types"),
           "pearson": ("Pearson", "correlation with the right numbers"),
           "spearman": ("Spearman", "correlation of the ranks")}


def _other_result():
    return f"name the {parameter('output_dir')} of a finished run of bin/finetune"


@dataclasses.dataclass(frozen=True)
class Figure:
    """A mean and its standard deviation over seeds, None for a single one."""

    mean: float
    spread: float | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model of a comparison.

    Attributes:
      name: of the model.
      group: one of `GROUPS`.
      scores: {one of `METRICS`: `Figure`}, those that are known.
      parameters, tokens_per_sec: `Figure`s; None where one is not known.
      num_seeds: runs that the figures are means of, or None.
      label_f1: {label: F1, the mean over seeds}; {} where it is not known.
    """

    name: str
    group: str
    scores: dict
    parameters: Figure | None = None
    tokens_per_sec: Figure | None = None
    num_seeds: int | None = None
    label_f1: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Result:
    """One file of results.

    Attributes:
      path: of the file.
      label: the model's name, with its folder where several have the same.
      values: what the file holds.
    """

    path: str
    label: str
    values: dict


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The models of one task, all scored on the same texts.

    Attributes:
      task: its name.
      part: "test" if all results have it, else "valid".
      results: list of `Result`.
      entries: list of `Entry` in the order of `GROUPS`.
    """

    task: str
    part: str
    results: list
    entries: list

    @property
    def metrics(self):
        """Those of `METRICS` that some entry has, in their order."""
        return [name for name in METRICS if any(name in entry.scores for entry in self.entries)]


def read_comparisons(paths):
    """Read results.

    Args:
      paths: files of results, or the folders that hold them.

    Returns:
      list of `Comparison`, one for each task, in the order of the paths.

    Raises:
      InputError: no path, a file that holds no result, or results of one task on different texts.
    """
    if not paths:
        raise InputError(f"RESULT is missing: name the {parameter('output_dir')} of one or several runs of "
                         "bin/finetune")
    paths = [os.path.join(path, RESULTS) if os.path.isdir(path) else path for path in paths]
    by_task = {}
    for path in paths:
        values = _read(path)
        by_task.setdefault(values["task"], []).append((path, values))
    return [_compare(task, _labelled(found)) for task, found in by_task.items()]


def _read(path):
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
    except OSError as error:
        raise InputError(f"RESULT {path}: cannot be read ({error.strerror})", _other_result()) from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"RESULT {path}: not JSON ({error})", _other_result()) from None
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"RESULT {path}: not of the format {FORMAT!r}", _other_result())
    task = values.get("task")
    if not isinstance(task, str) or not re.fullmatch(r"[\w-]{1,40}", task):
        raise InputError(f"RESULT {path}: its task is {task!r}", "run bin/finetune again")
    return values


def _labelled(found):
    """`Result`s of (path, values) pairs, with labels that tell them apart."""
    names = [_one_line(values.get("name")) for _, values in found]
    folders = distinct_labels([os.path.dirname(os.path.abspath(path)) for path, _ in found])
    return [Result(path, f"{name} ({folder})" if names.count(name) > 1 else name, values)
            for (path, values), name, folder in zip(found, names, folders, strict=True)]


def _compare(task, results):
    trained, baselines = [], {}
    current = results[0]
    try:
        part = "test" if all(result.values["data"].get("test") for result in results) else "valid"
        for current in results:
            _check_files(current)
            trained.append(_trained(current, part))
            for entry in _baselines(current, part):
                # Several results may bring the same baseline.
                baselines.setdefault((entry.name, *entry.scores.items()), entry)
            _check_same_texts(results[0], current, part)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(f"RESULT {current.path}: damaged ({type(error).__name__}: {error})",
                         "run bin/finetune again with the same flags, which continues where it stopped") from None
    trained.sort(key=lambda entry: entry.group != "pre-trained")
    return Comparison(task, part, results, [*trained, *baselines.values(), *_published(task)])


def _check_files(result):
    for part, description in result.values["data"].items():
        if not isinstance(description, (dict, type(None))):
            raise TypeError(f"data of {part}: {description!r}")


def _check_same_texts(first, other, part):
    files = [result.values["data"][part] for result in (first, other)]
    if files[0]["sha256"] != files[1]["sha256"]:
        raise InputError(f"RESULT {other.path}: scored on another {part} file ({files[1]['file']}) than {first.path} "
                         f"({files[0]['file']})",
                         "compare results on the same one")


def _trained(result, part):
    values, seeds = result.values, result.values["seeds"]
    summary = values["summary"][part]
    speeds = [_number(seed["real_tokens_per_sec"]) for seed in seeds]
    speed = Figure(statistics.fmean(speeds), statistics.stdev(speeds) if len(speeds) > 1 else None)
    return Entry(result.label, "pre-trained" if values["init_checkpoint"] else "random",
                 {name: _summary_figure(summary[name]) for name in _metrics_of(values, summary)},
                 Figure(_number(values["parameters"])), speed, len(seeds),
                 _label_f1([seed[part] for seed in seeds]))


def _baselines(result, part):
    for values in result.values.get("baselines") or []:
        metrics = values[part]
        yield Entry(_one_line(values["name"]), "baseline",
                    {name: Figure(_number(metrics[name])) for name in _metrics_of(result.values, metrics)},
                    Figure(_number(values["parameters"])),
                    Figure(_number(values["tokens_per_sec"])), 1, _label_f1([metrics]))


def _published(task):
    for figure in FIGURES.get(task, ()):
        scores = {"accuracy": Figure(figure.accuracy)}
        if figure.macro_f1 is not None:
            scores["macro_f1"] = Figure(figure.macro_f1)
        yield Entry(figure.name, "published", scores)


def _metrics_of(values, scores):
    """The metrics that a result of its kind must have, and that of entities where `scores` has it."""
    if str(values.get("kind")).endswith("regression"):
        return ["pearson", "spearman"]
    return ["accuracy", "macro_f1", *(["entity_f1"] if "entity_f1" in scores else [])]


def _label_f1(metrics):
    """The mean over several metrics of `metrics.metrics_of_confusion`'s form; {} of a regression's."""
    return {label: statistics.fmean(_number(one["labels"][label]["f1"]) for one in metrics)
            for label in metrics[0].get("labels", ())}


def _summary_figure(values):
    return Figure(_number(values["mean"]), None if values["spread"] is None else _number(values["spread"]))


def _one_line(text):
    return " ".join(str(text).split())


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
