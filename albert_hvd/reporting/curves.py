"""The curves of training runs as charts of plain numbers; `drawing.py` makes pictures of them."""

import dataclasses

import numpy as np

from albert_hvd.errors import InputError, parameter

X_LABELS = {"step": "step (updates)", "real_tokens": "real tokens, millions", "hours": "hours of training"}
# What a run must tell for an x axis.
_NEEDED = {"real_tokens": "train_batch_size and max_seq_length in flags.json, tokens_per_sec in train_log.jsonl",
           "hours": "elapsed_sec in train_log.jsonl"}


@dataclasses.dataclass(frozen=True)
class Series:
    """One line of a chart.

    Attributes:
      label: the run's name.
      run_number: position of the run in the report; chooses the colour.
      is_held_out: measured on held-out records, a few points; else on the training batches.
      x, y: float64 (N,); NaN in y leaves a gap.
    """

    label: str
    run_number: int
    is_held_out: bool
    x: np.ndarray
    y: np.ndarray


@dataclasses.dataclass(frozen=True)
class Chart:
    """One picture: a metric of all runs.

    Attributes:
      name: the file's name without its ending.
      title, x_label, y_label: texts.
      is_logarithmic: whether the y axis is.
      series: list of `Series`, with one finite value at least.
    """

    name: str
    title: str
    x_label: str
    y_label: str
    is_logarithmic: bool
    series: list

    def description(self):
        """What the picture shows, in words, for those who do not see it."""
        parts = []
        for series in self.series:
            finite = series.y[np.isfinite(series.y)]
            kind = "held out" if series.is_held_out else "training"
            parts.append(f"{series.label}, {kind}: from {finite[0]:.4g} to {finite[-1]:.4g}")
        return f"{self.title} ({self.y_label}) over {self.x_label}. {'; '.join(parts)}."


@dataclasses.dataclass(frozen=True)
class _Metric:
    """A metric by its names in the training log and in the evaluations (None: it has none there)."""

    name: str
    held_out_name: str | None
    title: str
    y_label: str
    is_logarithmic: bool = False
    zero_is_missing: bool = False


_METRICS = (
    _Metric("masked_lm_loss", "masked_lm_loss", "Masked-LM loss", "nats per masked piece"),
    _Metric("masked_lm_accuracy", "masked_lm_accuracy", "Masked-LM accuracy", "share of masked pieces"),
    _Metric("sentence_loss", "next_sentence_loss", "Sentence loss", "nats per sequence"),
    _Metric("sentence_accuracy", "next_sentence_accuracy", "Sentence accuracy", "share of sequences"),
    _Metric("loss", "loss", "Total loss", "nats"),
    _Metric("learning_rate", None, "Learning rate", "as applied"),
    _Metric("grad_norm", None, "Gradient norm before clipping", "global norm", is_logarithmic=True),
    # The log says 0 where no step was timed.
    _Metric("real_tokens_per_sec", None, "Throughput", "real tokens per second", zero_is_missing=True),
)


def training_charts(runs, x):
    """The charts of `runs` over `x`, a key of `X_LABELS`; a metric that no run has gets none.

    Raises:
      InputError: a run does not tell what `x` needs.
    """
    axes = [x_values(run, x) for run in runs]
    for run, axis in zip(runs, axes):
        if axis is None:
            raise InputError(f"{run.folder} lacks {_NEEDED[x]}", f"use {parameter('x')}=step", name="x", value=x)
    charts = []
    for metric in _METRICS:
        series = [series for number, (run, axis) in enumerate(zip(runs, axes))
                  for series in _series_of(run, number, axis, metric) if np.isfinite(series.y).any()]
        if series:
            charts.append(Chart(metric.name, metric.title, X_LABELS[x], metric.y_label,
                                metric.is_logarithmic and _spans_a_decade(series), series))
    return charts


def _series_of(run, number, axis, metric):
    """The training series of a metric and, where there is one, the held-out series."""
    y = run.training.column(metric.name)
    y = np.where(y == 0, np.nan, y) if metric.zero_is_missing else y
    yield Series(run.label, number, False, axis, y)
    if metric.held_out_name:
        x = np.interp(run.held_out.steps, run.training.steps, axis)
        yield Series(run.label, number, True, x, run.held_out.column(metric.held_out_name))


def _spans_a_decade(series):
    values = np.concatenate([one.y for one in series])
    values = values[np.isfinite(values)]
    return bool(values.min() > 0 and values.max() >= 10 * values.min())


def x_values(run, x):
    """The place of each training record of a run on the x axis: float64 (N,); None if unknown."""
    if x == "step":
        return run.training.steps.astype(np.float64)
    if x == "hours":
        return _elapsed_hours(run)
    tokens = real_tokens_per_update(run)
    return None if tokens is None else np.cumsum(tokens * np.diff(run.training.steps, prepend=0)) / 1e6


def real_tokens_per_update(run):
    """Tokens without padding of an update, by the records of the log: float64 (N,); None if unknown.

    The log has two rates of the same seconds, with padding and without, whose ratio is the share of
    real tokens; a record in which no step was timed takes that of its neighbours.
    """
    positions = [run.flags.get(name) for name in ("train_batch_size", "max_seq_length")]
    rate, real_rate = (run.training.column(name) for name in ("tokens_per_sec", "real_tokens_per_sec"))
    timed = np.isfinite(real_rate) & (rate > 0)
    if not timed.any() or not all(isinstance(value, int) for value in positions):
        return None
    steps = run.training.steps
    return np.interp(steps, steps[timed], real_rate[timed] / rate[timed]) * positions[0] * positions[1]


def _elapsed_hours(run):
    """Training up to each record; a clock that goes back was started anew on resuming."""
    elapsed = run.training.column("elapsed_sec")
    known = np.isfinite(elapsed)
    if not known.any():
        return None
    elapsed = np.interp(run.training.steps, run.training.steps[known], elapsed[known]) / 3600.0
    before = np.concatenate([[0.0], elapsed[:-1]])
    return elapsed + np.cumsum(np.where(elapsed < before, before, 0.0))
