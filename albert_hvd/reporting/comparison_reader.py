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
      accuracy, macro_f1, parameters, tokens_per_sec: `Figure`s; None where one is not known.
      num_seeds: runs that the figures are means of, or None.
      label_f1: {label: F1, the mean over seeds}; {} where it is not known.
    """

    name: str
    group: str
    accuracy: Figure
    macro_f1: Figure | None = None
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
    if str(values.get("kind")).endswith("regression"):
        raise InputError(f"RESULT {path}: a regression has no accuracy to compare",
                         "read its correlations in that file")
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
                baselines.setdefault((entry.name, entry.accuracy, entry.macro_f1), entry)
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
                 _summary_figure(summary["accuracy"]), _summary_figure(summary["macro_f1"]),
                 Figure(_number(values["parameters"])), speed, len(seeds),
                 _label_f1([seed[part] for seed in seeds]))


def _baselines(result, part):
    for values in result.values.get("baselines") or []:
        metrics = values[part]
        yield Entry(_one_line(values["name"]), "baseline", Figure(_number(metrics["accuracy"])),
                    Figure(_number(metrics["macro_f1"])), Figure(_number(values["parameters"])),
                    Figure(_number(values["tokens_per_sec"])), 1, _label_f1([metrics]))


def _published(task):
    for figure in FIGURES.get(task, ()):
        yield Entry(figure.name, "published", Figure(figure.accuracy),
                    None if figure.macro_f1 is None else Figure(figure.macro_f1))


def _label_f1(metrics):
    """The mean over several metrics of `metrics.metrics_of_confusion`'s form."""
    return {label: statistics.fmean(_number(one["labels"][label]["f1"]) for one in metrics)
            for label in metrics[0]["labels"]}


def _summary_figure(values):
    return Figure(_number(values["mean"]), None if values["spread"] is None else _number(values["spread"]))


def _one_line(text):
    return " ".join(str(text).split())


def _number(value):
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
