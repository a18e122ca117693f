"""Charts as pictures: PNG files for papers and slides, SVG elements for the page.

Both come from the same drawing. The SVG has CSS variables in the place of colours, so that it follows
the page into dark mode.
"""

import io
import re
import xml.etree.ElementTree as ElementTree

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from albert_hvd.runtime.files import whole_file

# Role -> (colour on white, colour on the dark page). The colours of runs have a contrast of at least
# 4.5 to their backgrounds.
THEME = {
    "text": ("#1b1f24", "#e4e7eb"),
    "muted": ("#59636e", "#a3acb6"),
    "line": ("#d4d9df", "#3a424c"),
    "background": ("#ffffff", "#14181d"),
    "run-0": ("#0b62a4", "#6db3f2"),
    "run-1": ("#b84a00", "#ff9a57"),
    "run-2": ("#00735a", "#4cc9a0"),
    "run-3": ("#8e3b8a", "#d98bd6"),
    "run-4": ("#7a6000", "#d9b938"),
    "run-5": ("#a3123a", "#ff7d99"),
    "run-6": ("#3a6673", "#8fc1d1"),
    "run-7": ("#5a5a5a", "#b9b9b9"),
}
_NUM_RUN_COLOURS = sum(role.startswith("run-") for role in THEME)
# Runs beyond the colours take them again, with other lines.
_LINE_STYLES = ("-", "--", "-.", ":")
_PNG_DPI = 200
_FONT = "DejaVu Sans"  # comes with Matplotlib
_SVG = "{http://www.w3.org/2000/svg}"
_REFERENCE = re.compile(r"^(#|url\(#)")
_XLINK_HREF = "{http://www.w3.org/1999/xlink}href"

_STYLE = {
    "svg.fonttype": "none", "font.size": 9, "axes.titlesize": 10, "axes.titlelocation": "left",
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "axes.edgecolor": THEME["muted"][0], "axes.labelcolor": THEME["muted"][0], "text.color": THEME["text"][0],
    "xtick.color": THEME["muted"][0], "ytick.color": THEME["muted"][0], "grid.color": THEME["line"][0],
    "grid.linewidth": 0.6, "lines.linewidth": 1.4, "lines.markersize": 4,
    "font.family": _FONT,
    # Names of runs are text, not formulas.
    "text.parse_math": False,
}


def run_colour(run_number):
    """The role in `THEME` of a run's colour."""
    return f"run-{run_number % _NUM_RUN_COLOURS}"


def to_png(chart, draw):
    """A chart as the bytes of a PNG file, with title and legend, on white.

    Args:
      chart: `curves.Chart`, or another with `name`, `title` and `description()`.
      draw: function of the chart and a size in inches that returns a `Figure`, such as `draw_curves`.
    """
    with matplotlib.rc_context(_STYLE):
        figure = draw(chart, size=(6.4, 4.0))
        figure.axes[0].set_title(chart.title)
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        return _save(figure, format="png", dpi=_PNG_DPI, metadata={"Software": None})


def write_png(chart, draw, path, option):
    """Write `to_png` into a file; InputError naming `option` when it cannot be written."""
    with whole_file(path, option) as file:
        file.write(to_png(chart, draw))


def to_svg(chart, draw):
    """The chart as an `svg` element without title and legend, which are the page's to give; see `to_png`."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": chart.name}):
        figure = draw(chart, size=(4.2, 2.7))
        text = _save(figure, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(ElementTree.fromstring(text), chart)


def draw_curves(chart, size):
    """A `curves.Chart` as a `Figure` of lines."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    for series in chart.series:
        style = _LINE_STYLES[series.run_number // _NUM_RUN_COLOURS % len(_LINE_STYLES)]
        # A single record makes no line.
        marker = "o" if series.is_held_out or len(series.x) == 1 else ""
        # Matplotlib leaves labels that begin with "_" out of the legend.
        label = f"{'held out' if series.is_held_out else 'training'}: {series.label}"
        axes.plot(series.x, series.y, color=THEME[run_colour(series.run_number)][0], label=label, marker=marker,
                  linestyle=":" if series.is_held_out else style)
    if chart.is_logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_axisbelow(True)
    axes.set_xlabel(chart.x_label)
    axes.set_ylabel(chart.y_label)
    return figure


def _save(figure, **options):
    buffer = io.BytesIO()
    figure.savefig(buffer, **options)
    return buffer.getvalue()


def _for_page(svg, chart):
    """Matplotlib's SVG document as an element of an HTML page, which may hold several.

    The ids that are referred to get the chart's name, the others go. Metadata and the style sheet, which
    would hold for the whole page, go too, and so do namespaces, which HTML does not have.
    """
    for parent in list(svg.iter()):
        for child in [child for child in parent if child.tag in (f"{_SVG}metadata", f"{_SVG}style")]:
            parent.remove(child)
    for element in svg.iter():
        element.tag = element.tag.removeprefix(_SVG)
        if _XLINK_HREF in element.attrib:
            element.set("href", element.attrib.pop(_XLINK_HREF))
        for name, value in element.items():
            element.set(name, _with_variables(_REFERENCE.sub(rf"\1{chart.name}-", value)))
    targets = {value.rpartition("#")[2].rstrip(")") for element in svg.iter() for value in element.attrib.values()
               if "#" in value}
    for element in svg.iter():
        identifier = f"{chart.name}-{element.attrib.pop('id', '')}"
        if identifier in targets:
            element.set("id", identifier)
    for name in ("width", "height", "version"):
        svg.attrib.pop(name, None)
    svg.set("role", "img")
    svg.set("aria-label", chart.description())
    return svg


def _with_variables(style):
    """A style attribute with the page's variables for colours, and the page's font."""
    for role, (colour, _) in THEME.items():
        style = style.replace(colour, f"var(--{role})")
    return style.replace(f"'{_FONT}'", "inherit")
