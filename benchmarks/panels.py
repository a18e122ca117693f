"""Charts of one panel above another over a logarithmic axis, such as speed and efficiency by number of GPUs."""

import dataclasses

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter, NullLocator

from albert_hvd.reporting.drawing import THEME, run_colour

_INCHES_OF_A_PANEL = 2.2


@dataclasses.dataclass(frozen=True)
class Line:
    """`label`; `x` and `y`, lists of numbers.

    `least`: what `y` may be as well, or None; the space between the two is shaded. Points without a line when
    `is_scattered`.
    """

    label: str
    x: list
    y: list
    least: list | None = None
    is_scattered: bool = False


@dataclasses.dataclass(frozen=True)
class Panel:
    """`y_label`; whether the y axis `is_logarithmic`; `lines`, in the same order in all panels of a chart."""

    y_label: str
    is_logarithmic: bool
    lines: list


@dataclasses.dataclass(frozen=True)
class PanelChart:
    """One picture.

    Attributes:
      name: the file's name without its ending.
      title, x_label: texts.
      panels: list of `Panel`, from top to bottom.
      x_ticks: numbers to be named at the x axis; None for powers of ten.
    """

    name: str
    title: str
    x_label: str
    panels: list
    x_ticks: tuple | None = None

    def description(self):
        """What the picture shows, in words, for those who do not see it."""
        parts = [f"{line.label}: {panel.y_label} from {line.y[0]:.4g} to {line.y[-1]:.4g}"
                 for panel in self.panels for line in panel.lines]
        return f"{self.title} over {self.x_label}. {'; '.join(parts)}."


def draw_panels(chart, size):
    """A `PanelChart` as a `Figure`; its height follows from the number of panels, not from `size`."""
    figure = Figure(figsize=(size[0], _INCHES_OF_A_PANEL * len(chart.panels)), layout="constrained")
    all_axes = figure.subplots(len(chart.panels), sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(all_axes, chart.panels):
        axes.set_xscale("log")
        if panel.is_logarithmic:
            axes.set_yscale("log")
            _name_powers_of_ten(axes.yaxis)
        for number, line in enumerate(panel.lines):
            colour = THEME[run_colour(number)][0]
            if line.least:
                axes.fill_between(line.x, line.least, line.y, color=colour, alpha=0.15, linewidth=0)
            axes.plot(line.x, line.y, color=colour, marker="o", linestyle="" if line.is_scattered else "-",
                      # The legend names each line once.
                      label=line.label if axes is all_axes[0] else None)
        axes.set_ylabel(panel.y_label)
        axes.set_axisbelow(True)
    _name_powers_of_ten(all_axes[-1].xaxis)
    if chart.x_ticks:
        all_axes[-1].set_xticks(chart.x_ticks, [str(tick) for tick in chart.x_ticks])
        all_axes[-1].xaxis.set_minor_locator(NullLocator())
    all_axes[-1].set_xlabel(chart.x_label)
    return figure


def _name_powers_of_ten(axis):
    axis.set_major_formatter(EngFormatter(sep=""))
    axis.set_minor_formatter(NullFormatter())
