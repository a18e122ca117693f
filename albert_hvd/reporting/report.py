"""What `bin/plot` makes of runs: a PNG file for each curve, and report.html."""

import os

from albert_hvd.reporting import sections
from albert_hvd.reporting.curves import training_charts
from albert_hvd.reporting.drawing import draw_curves, run_colour, to_png, to_svg
from albert_hvd.reporting.mask_samples import mask_samples
from albert_hvd.reporting.page import element, gallery, legend, render, section
from albert_hvd.reporting.run_reader import read_runs
from albert_hvd.runtime.files import make_folder, whole_file

REPORT = "report.html"


def report_runs(folders, output_dir=None, x="step", masked_texts=()):
    """Draw the curves of runs and write the report.

    Args:
      folders: the runs' output folders.
      output_dir: where the files go; None: `plots/` in the first run's folder.
      x: "step", "real_tokens" or "hours".
      masked_texts: texts with `<mask>` that the trained models fill in.

    Returns:
      list of the paths written, report.html last.

    Raises:
      InputError: a folder is no run, or the output cannot be written.
    """
    runs = read_runs(folders)
    charts = training_charts(runs, x)
    output_dir = output_dir or os.path.join(folders[0], "plots")
    make_folder(output_dir, "output_dir")
    files = {f"{chart.name}.png": to_png(chart, draw_curves) for chart in charts}
    files[REPORT] = report_page(runs, charts, masked_texts)
    paths = [os.path.join(output_dir, name) for name in files]
    for path, content in zip(paths, files.values()):
        with whole_file(path, "output_dir") as file:
            file.write(content)
    return paths


def report_page(runs, charts, masked_texts):
    """report.html as bytes: needs no other file, and asks nobody for one."""
    title = f"Pre-training: {', '.join(run.label for run in runs)}"
    return render(
        title, element("h1", title), sections.overview(runs),
        section("Curves", _legend(runs),
                *([gallery(charts, lambda chart: to_svg(chart, draw_curves))] if charts else [])),
        sections.evaluation(runs), mask_samples(runs, masked_texts), sections.batch_arithmetic(runs),
        sections.environment(runs), sections.settings(runs))


def _legend(runs):
    return element("div", legend((run.label, run_colour(number)) for number, run in enumerate(runs)),
                   element("p", "Lines: training batches. Dots: held-out records.", class_="note"))
