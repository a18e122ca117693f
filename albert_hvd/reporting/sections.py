"""The tables of a report: state, evaluation, batch arithmetic, environment, config and flags of each run."""

import numpy as np

from albert_hvd.reporting.curves import real_tokens_per_update, x_values
from albert_hvd.reporting.page import element, section, table

_UNKNOWN = "–"

# Row of the evaluation table, name in the training log, name in eval_results.json.
_RESULTS = (("Masked-LM loss", "masked_lm_loss", "masked_lm_loss"),
            ("Masked-LM accuracy", "masked_lm_accuracy", "masked_lm_accuracy"),
            ("Sentence loss", "sentence_loss", "next_sentence_loss"),
            ("Sentence accuracy", "sentence_accuracy", "next_sentence_accuracy"),
            ("Total loss", "loss", "loss"),
            ("Loss of piece frequencies", None, "unigram_masked_lm_loss"))


def overview(runs):
    """How far each run is, and how fast."""
    rows = [("State", _state), ("Step", _progress), ("Time of training", _duration),
            ("Epochs read", _epochs_read), ("Real tokens read", _tokens_read),
            ("Real tokens per second, median", lambda run: _count(_median(run, "real_tokens_per_sec"))),
            ("Waiting for data, median", lambda run: _percent(_median(run, "data_wait_fraction")))]
    return _table_of_runs("How far the runs are" if len(runs) > 1 else "How far the run is", runs, rows)


def evaluation(runs):
    """The last training record, the evaluations while training, and what `bin/validate` found."""
    parts = [element("p", "Training figures are means over the updates since the log line before. Held-out figures are "
                          "exact over all records that were read.", class_="note")]
    for run in runs:
        columns = _results_of(run)
        rows = [[title, *(_figure(metrics.get(name)) for metrics in columns.values())] for title, _, name in _RESULTS]
        rows = [row for row in rows if any(text != _UNKNOWN for text in row[1:])]
        parts.append(table(f"Losses and accuracies of {run.label}", ["", *columns], rows))
    return section("Evaluation", *parts)


def _results_of(run):
    """The columns of the evaluation table: dict of title to a dict with the names of `eval_results.json`."""
    training, held_out = run.training, run.held_out
    columns = {f"Training, step {training.steps[-1]}": {
        held_out_name: training.last(name) for _, name, held_out_name in _RESULTS}}
    losses = held_out.column("loss")
    if np.isfinite(losses).any():
        for title, index in (("last", len(losses) - 1), ("lowest loss", int(np.nanargmin(losses)))):
            columns[f"Held out, {title}: step {held_out.steps[index]}"] = {
                name: column[index] for name, column in held_out.columns.items()}
    if run.evaluation:
        columns[f"bin/validate, step {run.evaluation.get('global_step', _UNKNOWN)}"] = run.evaluation
    return columns


def batch_arithmetic(runs):
    """What an update is made of, and how many there are."""
    return section("Batch arithmetic", _table_of_runs("From a row to the whole run", runs, [
        ("train_batch_size (rows of an update)", lambda run: _count(_integer(run.flags, "train_batch_size"))),
        ("= micro-batch x accumulation x ranks", _cut_of_the_batch),
        ("Positions of a row", lambda run: _count(_integer(run.flags, "max_seq_length"))),
        ("Positions of an update", lambda run: _count(_positions_of_an_update(run))),
        ("Real tokens of an update, mean", _mean_real_tokens),
        ("Updates", lambda run: _count(_integer(run.flags, "num_train_steps"))),
        ("Records", lambda run: _count(_integer(run.checkpoint, "num_records"))),
        ("Parameters", lambda run: _count(run.num_parameters))]))


def environment(runs):
    """Ranks, precision and versions."""
    versions = [run.checkpoint.get("versions") for run in runs]
    versions = [value if isinstance(value, dict) else {} for value in versions]
    rows = [("Ranks", [run.flags.get("size") for run in runs]),
            ("Precision", [run.flags.get("precision") for run in runs]),
            ("XLA", [run.flags.get("xla") for run in runs])]
    names = dict.fromkeys(name for version in versions for name in version)
    rows += [(f"{name} version", [version.get(name) for version in versions]) for name in names]
    return section("Environment", table_of_values("What the runs ran on", runs, rows))


def settings(runs):
    """Every entry of config.json and flags.json, those that differ stressed."""
    return section("Configuration", _table_of_files("The model: config.json", runs, "config"),
                   element("details", element("summary", "All flags: flags.json"),
                           _table_of_files("The run: flags.json", runs, "flags")))


def _table_of_files(caption, runs, attribute):
    names = dict.fromkeys(name for run in runs for name in getattr(run, attribute))
    if not names:
        return element("p", f"{caption} is not there.", class_="note")
    return table_of_values(caption, runs, [(name, [getattr(run, attribute).get(name) for run in runs])
                                            for name in names])


def table_of_values(caption, runs, rows):
    """A table of settings, those that differ stressed.

    Args:
      runs: what has a `label` each.
      rows: pairs of a name and the values, one for each run; None is not known.
    """
    texts = [[name, *(_text(value) for value in values)] for name, values in rows]
    differing = [row[0] for row in texts if len(set(row[1:])) > 1]
    return table(caption, ["", *(run.label for run in runs)], texts, differing)


def _table_of_runs(caption, runs, rows):
    return table(caption, ["", *(run.label for run in runs)],
                 [[title, *(value_of(run) for run in runs)] for title, value_of in rows])


def _state(run):
    return ", ".join(str(run.status[name]) for name in ("state", "reason") if run.status.get(name)) or _UNKNOWN


def _progress(run):
    return f"{_count(run.training.steps[-1])} of {_count(_integer(run.flags, 'num_train_steps'))}"


def _duration(run):
    hours = x_values(run, "hours")
    if hours is None:
        return _UNKNOWN
    minutes = round(hours[-1] * 60)
    return f"{minutes // 60} h {minutes % 60} min"


def _epochs_read(run):
    read, records = (_integer(run.checkpoint, name) for name in ("records_read", "num_records"))
    return f"{read / records:.2f} at step {run.checkpoint.get('step')}" if read and records else _UNKNOWN


def _tokens_read(run):
    millions = x_values(run, "real_tokens")
    return _UNKNOWN if millions is None else _count(millions[-1] * 1e6)


def _cut_of_the_batch(run):
    rows, micro, ranks = (_integer(run.flags, name) for name in ("train_batch_size", "micro_batch_size", "size"))
    return f"{micro} x {rows // ranks // micro} x {ranks}" if rows and micro and ranks else _UNKNOWN


def _positions_of_an_update(run):
    rows, positions = (_integer(run.flags, name) for name in ("train_batch_size", "max_seq_length"))
    return rows * positions if rows and positions else None


def _mean_real_tokens(run):
    tokens, positions = real_tokens_per_update(run), _positions_of_an_update(run)
    if tokens is None:
        return _UNKNOWN
    return f"{_count(tokens.mean())} ({_percent(tokens.mean() / positions if positions else None)})"


def _median(run, name):
    values = run.training.column(name)
    # The log says 0 where no step was timed.
    values = values[np.isfinite(values) & (run.training.column("sequences_per_sec") > 0)]
    return float(np.median(values)) if len(values) else None


def _integer(values, name):
    """A positive whole number of a JSON object, or None."""
    value = values.get(name)
    return value if type(value) is int and 0 < value < 2**63 else None


def _count(value):
    """A number of things, with thin spaces between thousands."""
    return _UNKNOWN if value is None else f"{value:,.0f}".replace(",", "\u202f")


def _percent(value):
    return _UNKNOWN if value is None else f"{100 * value:.1f}\u202f%"


def _figure(value):
    is_number = isinstance(value, (int, float)) and abs(value) < 1e300
    return f"{value:.4f}" if is_number else _UNKNOWN


def _text(value):
    return _UNKNOWN if value is None else str(value)
