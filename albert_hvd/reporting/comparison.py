"""What `bin/plot --kind=comparison` makes of results: bar plots, a table, and report.html."""

import os

from albert_hvd.reporting.bars import COLOURS, HOLLOW, Bar, BarChart, draw_bars
from albert_hvd.reporting.comparison_reader import GROUPS, METRICS, read_comparisons
from albert_hvd.reporting.drawing import to_png, to_svg
from albert_hvd.reporting.page import element, gallery, legend, render, section, table
from albert_hvd.reporting.published import REASONS, SOURCE
from albert_hvd.reporting.report import REPORT
from albert_hvd.reporting.sections import table_of_values
from albert_hvd.runtime.files import make_folder, whole_file

_UNKNOWN = "–"
_SPEED_NOTE = ("Tokens/s: of a network the pieces that it trains on in a second, padding left out; of a baseline the "
               "words of the training part for a second of fitting.")


def compare_results(paths, output_dir=None):
    """Draw the comparison of results and write the report.

    Args:
      paths: files of results, or the folders that hold them.
      output_dir: where the files go; None: `plots/` beside the first result.

    Returns:
      (the tables as Markdown, list of the paths written, report.html last).

    Raises:
      InputError: a path is no result, or the output cannot be written.
    """
    comparisons = read_comparisons(paths)
    first = paths[0] if os.path.isdir(paths[0]) else os.path.dirname(os.path.abspath(paths[0]))
    output_dir = output_dir or os.path.join(first, "plots")
    make_folder(output_dir, "output_dir")
    charts = [_charts(comparison) for comparison in comparisons]
    files = {f"{chart.name}.png": to_png(chart, draw_bars) for some in charts for chart in some}
    files[REPORT] = _page(comparisons, charts)
    written = [os.path.join(output_dir, name) for name in files]
    for path, content in zip(written, files.values()):
        with whole_file(path, "output_dir") as file:
            file.write(content)
    return "\n\n".join(map(_markdown, comparisons)), written


def _charts(comparison):
    charts = []
    for metric, title, x_label, is_logarithmic in (
            *((metric, *METRICS[metric], False) for metric in comparison.metrics),
            ("parameters", "Model size", "parameters", True),
            ("tokens_per_sec", "Training speed", "tokens per second", True)):
        bars = [bar for bar in (_bar(entry, metric) for entry in comparison.entries) if bar]
        if bars:
            title = f"{title}: {comparison.task}" if is_logarithmic else f"{title}: {_title(comparison)}"
            charts.append(BarChart(f"{comparison.task}_{metric}", title, x_label, is_logarithmic, bars))
    return charts


def _bar(entry, metric):
    """The `Bar` of a figure; None where it is not known, or is 0."""
    figure = entry.scores.get(metric) if metric in METRICS else getattr(entry, metric)
    if figure is None or not figure.mean:
        return None
    text = _score(figure, entry) if metric in METRICS else _count(figure)
    return Bar(entry.name, entry.group, figure.mean, figure.spread, text)


def _title(comparison):
    return f"{comparison.task}, {comparison.part} part"


def _columns(comparison):
    return ["Model", "Group", *(METRICS[metric][0] for metric in comparison.metrics), "Parameters", "Tokens/s", "Seeds"]


def _row(comparison, entry):
    return [entry.name, GROUPS[entry.group], *(_score(entry.scores.get(metric), entry) for metric in comparison.metrics),
            _count(entry.parameters), _count(entry.tokens_per_sec),
            _UNKNOWN if entry.num_seeds is None else str(entry.num_seeds)]


def _markdown(comparison):
    columns = _columns(comparison)
    rows = [columns, ["---"] * len(columns), *(_row(comparison, entry) for entry in comparison.entries)]
    lines = ["| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in rows]
    return "\n".join([f"{_title(comparison)}:", "", *lines, "", *_notes(comparison)])


def _notes(comparison):
    notes = ["± is the standard deviation over seeds.", _SPEED_NOTE]
    if comparison.task in REASONS:
        notes.append(f"Published, not comparable: {SOURCE}. {REASONS[comparison.task]}")
    return notes


def _page(comparisons, charts):
    title = f"Fine-tuning: {', '.join(comparison.task for comparison in comparisons)}"
    groups = {entry.group for comparison in comparisons for entry in comparison.entries}
    colours = legend((GROUPS[group], COLOURS[group], group != HOLLOW) for group in GROUPS if group in groups)
    return render(title, element("h1", title), colours,
                  *(_section(*pair) for pair in zip(comparisons, charts, strict=True)))


def _section(comparison, charts):
    caption = _title(comparison)
    return section(
        caption, gallery(charts, lambda chart: to_svg(chart, draw_bars)),
        table(f"Models on {caption}", _columns(comparison), [_row(comparison, entry) for entry in comparison.entries]),
        *(element("p", note, class_="note") for note in _notes(comparison)),
        *_label_tables(comparison), _settings(comparison))


def _label_tables(comparison):
    """The table in a list; none of numbers, which have no labels."""
    entries = [entry for entry in comparison.entries if entry.label_f1]
    labels = dict.fromkeys(label for entry in entries for label in entry.label_f1)
    return [table(f"F1 of each label, {_title(comparison)}", ["", *(entry.name for entry in entries)],
                 [[label, *(f"{entry.label_f1[label]:.3f}" if label in entry.label_f1 else _UNKNOWN
                            for entry in entries)] for label in labels])] if labels else []


def _settings(comparison):
    """Checkpoints, data, seeds, versions and every setting, those that differ stressed."""
    values = [result.values for result in comparison.results]
    rows = [("init_checkpoint", [value.get("init_checkpoint") for value in values])]
    for part in ("train", "valid", "test"):
        files = [value["data"].get(part) or {} for value in values]
        rows += [(f"{part} {what}", [file.get(what) for file in files]) for what in ("file", "examples", "sha256")]
    rows += [("seeds", [", ".join(str(seed.get("seed")) for seed in value["seeds"]) for value in values]),
             ("best epochs", [", ".join(str(seed.get("best_epoch")) for seed in value["seeds"]) for value in values]),
             ("ranks", [value.get("ranks") for value in values]),
             ("machine", [value.get("machine") for value in values])]
    for group in ("versions", "settings"):
        groups = [value[group] if isinstance(value.get(group), dict) else {} for value in values]
        names = dict.fromkeys(name for one in groups for name in one)
        rows += [(name, [one.get(name) for one in groups]) for name in names]
    return element("details", element("summary", f"How the models of {comparison.task} were trained"),
                   table_of_values(f"Checkpoints, data and settings: {comparison.task}", comparison.results, rows))


def _score(figure, entry):
    if figure is None:
        return _UNKNOWN
    if entry.group == "published":
        return f"{figure.mean:g}"  # with the digits that were published
    return f"{figure.mean:.4f}" + ("" if figure.spread is None else f" ± {figure.spread:.4f}")


def _count(figure):
    return _UNKNOWN if figure is None else f"{figure.mean:,.0f}".replace(",", "\u202f")
