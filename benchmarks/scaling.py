r"""Training on several ranks: measured here, and predicted for 3 to 512 GPUs by a cost model.

    bin/benchmark scaling --plot=scaling.png
    bin/benchmark scaling --measure=False --model=albert_config/albert_config_large.json

Measured: the first model on one rank and on --ranks ranks of one thread each, with as many rows for each rank. Every
launch has a turn in every round; ratios are medians over the rounds. The same number of ranks without Horovod, side by
side, tells what they lose to each other without any communication.

Predicted: computation + allreduce + optimizer (`benchmarks/scaling_model.py`), with makers' figures of the hardware
and one free constant for each published table: a GPU's speed, from the table's first line
(`benchmarks/published_scaling.py`). The cost model's ring is fitted to the times of an allreduce measured here, or to
those of --allreduce.
"""

import dataclasses
import json
import math
import os
import statistics
import tempfile

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.runtime.files import check_place
from benchmarks.allreduce import FLOAT32
from benchmarks.command_usage import run_command
from benchmarks.contest import run_by_turns
from benchmarks.flag_checks import check_least, check_positions
from benchmarks.gradients import num_gradient_values
from benchmarks.launcher import launch_words
from benchmarks.published_scaling import TABLES, compare_published, missing_seconds, speeds
from benchmarks.random_rows import num_predictions
from benchmarks.ranks import RankSetting, play_ranks
from benchmarks.report import Report
from benchmarks.scaling_model import (GPU_COUNTS, Measurement, Training, fit_link, predict_models, relative_residuals,
                                      ring_seconds)

_MODELS = "albert_config/albert_config_base.json,albert_config/albert_config_large.json"
_WANTED = "wanted: under 2 % for Horovod at one rank, 95 % efficiency"


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    model: str = option(_MODELS,
        "JSON files of the models' sizes, a comma list; the first is measured, all are predicted")
    max_seq_length: int = option(512, "positions of a row")
    measure: bool = option(True, "train here; no: only predict")
    ranks: int = option(2, "ranks to measure against one", least=2)
    micro_batch_size: int = option(2, "rows of a measured update of each rank")
    rounds: int = option(5, "turns of each launch")
    steps: int = option(1, "updates of a turn")
    allreduce: str = option(None,
        "JSON files of bin/benchmark allreduce to fit, a comma list; unset: measured on --ranks ranks")
    train_batch_size: int = option(6144, "rows of a predicted update over all GPUs", least=max(GPU_COUNTS))
    plot: str = option(None, "draw the predictions into this PNG file")


def run(options, command_folder):
    """Measure and predict; returns a `Report`.

    Args:
      options: `Options`.
      command_folder: holds the commands, one of which is started.

    Raises:
      InputError: bad flags.
      RunFailed: launched ranks ended with an error.
    """
    paths, configs = _check(options)
    given = read_measurements(options.allreduce) if options.allreduce else None
    trainings = {_name(path): Training(config, num_gradient_values(config), 4, options.max_seq_length,
                                       num_predictions(options.max_seq_length), options.train_batch_size)
                 for path, config in zip(paths, configs)}
    report = Report("scaling", dataclasses.asdict(options))
    seconds = _measure_training(report, options, configs[0]) if options.measure else None
    if given or options.measure:
        link = _fit(report, given or _measure_allreduce(paths[0], options.ranks, command_folder))
        if seconds:
            report.notes.append(_predicted_here(seconds, options.ranks, trainings[_name(paths[0])].message_bytes, link))
    _predict(report, options, trainings)
    if options.plot:
        _draw(report.sections, options.plot)
    return report


def _check(options):
    """(paths, `AlbertConfig`s) of the models. Raises InputError."""
    check_least(options, 1, "micro_batch_size", "rounds", "steps")
    check_least(options, 2, "ranks")
    check_least(options, max(GPU_COUNTS), "train_batch_size")
    paths = options.model.split(",")
    configs = [AlbertConfig.from_json_file(path, "model") for path in paths]
    for config in configs:
        check_positions(options.max_seq_length, config)
    if options.plot:
        check_place(options.plot, "plot")
    return paths, configs


def _name(path):
    return os.path.basename(path).removesuffix(".json").removeprefix("albert_config_")


def _measure_training(report, options, config):
    """Fill the first table; returns {(ranks, with Horovod): median seconds of an update}."""
    setting = RankSetting(config, options.max_seq_length, options.micro_batch_size, options.steps)
    many = options.ranks
    launches = {(1, False): "1 rank, no Horovod", (1, True): "1 rank",
                (many, False): f"{many} ranks side by side, no Horovod", (many, True): f"{many} ranks"}
    outcome = run_by_turns({name: (play_ranks, (setting, *launch)) for launch, name in launches.items()},
                           options.rounds)
    rounds = {launch: outcome[name][0] for launch, name in launches.items()}
    for (ranks, _), name in launches.items():
        seconds = statistics.median(rounds[ranks, _])
        report.rows.append({"launch": name, "s an update": seconds,
                            "sequences/s": ranks * options.micro_batch_size / seconds})
    report.notes.append(
        f"Horovod at one rank costs {100 * (_ratio(rounds, (1, True), (1, False)) - 1):.1f} %; {many} ranks are "
        f"{100 * _ratio(rounds, (1, True), (many, True)):.1f} % efficient, and side by side without Horovod "
        f"{100 * _ratio(rounds, (1, False), (many, False)):.1f} %, so that speaking with each other costs "
        f"{100 * (_ratio(rounds, (many, True), (many, False)) - 1):.1f} %; {_WANTED}")
    return {launch: statistics.median(seconds) for launch, seconds in rounds.items()}


def _ratio(rounds, one, other):
    """Median over the rounds of the seconds of one launch to those of another."""
    return statistics.median(a / b for a, b in zip(rounds[one], rounds[other]))


def read_measurements(paths):
    """The float32 rows of JSON files of `bin/benchmark allreduce`: list of `Measurement`.

    Args:
      paths: a comma list.

    Raises:
      InputError: naming the file.
    """
    measurements = []
    for path in paths.split(","):
        try:
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
            ranks = int(report["settings"]["ranks"])
            found = [Measurement(ranks, int(row["bytes"]), float(row["microseconds"]) / 1e6)
                     for row in report["rows"] if row["message"] == FLOAT32]
        except OSError as error:
            raise InputError(f"--allreduce={path}: cannot be read ({error.strerror}); write it with horovodrun -np 2 "
                             f"bin/benchmark allreduce --json=FILE") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            found = []
        if len(found) < 2 or ranks < 2 or min(min(m) for m in found) <= 0:
            raise InputError(f"--allreduce={path}: holds no times of an allreduce; write it with horovodrun -np 2 "
                             f"bin/benchmark allreduce --json=FILE")
        measurements += found
    return measurements


def _measure_allreduce(config_file, ranks, command_folder):
    """Run `bin/benchmark allreduce` on ranks of this machine: list of `Measurement`. Raises RunFailed."""
    with tempfile.TemporaryDirectory(prefix="benchmark-allreduce-") as folder:
        path = os.path.join(folder, "allreduce.json")
        run_command([*launch_words(ranks), os.path.join(command_folder, "benchmark"), "allreduce",
                     f"--model={config_file}", f"--json={path}"])
        return read_measurements(path)


def _fit(report, measurements):
    """Fit the ring; adds a table of each measurement beside the fit, and a note; returns the `Link`."""
    link = fit_link(measurements)
    rows = [{"ranks": m.ranks, "bytes": m.message_bytes, "measured microseconds": 1e6 * m.seconds,
             "fitted microseconds": 1e6 * m.seconds * (1 + residual), "residual %": 100 * residual}
            for m, residual in zip(measurements, relative_residuals(measurements, link))]
    report.sections["the cost model's ring fitted to measured allreduces"] = rows
    root_mean_square = math.sqrt(statistics.fmean(row["residual %"] ** 2 for row in rows))
    report.notes.append(f"fitted link: {1e6 * link.latency_sec:.0f} microseconds and {link.bytes_per_sec / 1e6:.0f} "
                        f"MB/s; residuals {root_mean_square:.0f} % (root of the mean square)")
    return link


def _predicted_here(seconds, ranks, gradient_bytes, link):
    """A line that compares the cost model's update on this machine with the measured one."""
    alone, allreduce = seconds[ranks, False], ring_seconds(gradient_bytes, ranks, link)
    return (f"an update on {ranks} ranks here: {alone:.3f} s side by side + {allreduce:.3f} s allreduce = "
            f"{alone + allreduce:.3f} s predicted, {seconds[ranks, True]:.3f} s measured, deviation "
            f"{100 * ((alone + allreduce) / seconds[ranks, True] - 1):.1f} %")


def _predict(report, options, trainings):
    """The two tables of the cost model, and what they rest on."""
    published = compare_published()
    missing_sec = missing_seconds(published)
    report.sections["published speeds, and what the cost model makes of the first of each table"] = published
    report.sections[f"predicted, {options.train_batch_size} rows of {options.max_seq_length} positions an update"] = (
        predict_models(trainings, speeds(options.max_seq_length), missing_sec))
    report.notes.append(f"slower: with {1e3 * missing_sec:.0f} ms more for each update, the median of what the "
                        f"published updates took longer than the cost model says (missing ms)")
    report.notes += dict.fromkeys(f"published: {table.source}" for table in TABLES)
    report.notes += dict.fromkeys(f"hardware: {table.system.name}: {source}"
                                  for table in TABLES for source in table.system.sources)


def _draw(sections, path):
    """The plot: sequences a second and efficiency by GPUs, predicted as lines and published as points."""
    from albert_hvd.reporting.drawing import write_png
    from benchmarks.panels import Line, Panel, PanelChart, draw_panels

    published, predicted = list(sections.values())[-2:]
    batches = {table.name: table.training.train_batch_size for table in TABLES}
    lines = {"sequences/s": [], "efficiency %": []}
    for system, model in dict.fromkeys((row["system"], row["model"]) for row in predicted):
        rows = [row for row in predicted if (row["system"], row["model"]) == (system, model)]
        for column, found in lines.items():
            found.append(Line(f"{model}, {system}", [row["GPUs"] for row in rows], [row[column] for row in rows],
                              [row[f"{column}, slower"] for row in rows]))
    for name in batches:
        rows = [row for row in published if row["published"] == name]
        speeds = {"sequences/s": [row["updates/s"] * batches[name] for row in rows],
                  "efficiency %": [row["efficiency %"] for row in rows]}
        for column, found in lines.items():
            found.append(Line(f"published: {name}", [row["GPUs"] for row in rows], speeds[column], is_scattered=True))
    panels = [Panel("sequences/s", True, lines["sequences/s"]), Panel("efficiency, %", False, lines["efficiency %"])]
    chart = PanelChart("scaling", "Speed predicted by the cost model, and published", "GPUs", panels, GPU_COUNTS)
    write_png(chart, draw_panels, path, "plot")
