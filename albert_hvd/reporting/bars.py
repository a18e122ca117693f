"""Bar charts of a comparison. A model is told by the name above its bar; the colour only says its group."""

import dataclasses

from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from albert_hvd.reporting.comparison_reader import GROUPS
from albert_hvd.reporting.drawing import THEME

# Group -> role of its colour in `drawing.THEME`; that of published figures is only an outline.
COLOURS = {"pre-trained": "run-0", "random": "run-1", "baseline": "run-7", "published": "muted"}
HOLLOW = "published"
_INCHES_OF_A_BAR, _INCHES_AROUND = 0.42, 0.75
_BAR_HEIGHT = 0.36
# Characters that fit into the narrowest picture.
_LONGEST_TEXT = 54


@dataclasses.dataclass(frozen=True)
class Bar:
    """A bar: the model's name, its group, the value with its spread or None, and the value as a text."""

    label: str
    group: str
    value: float
    spread: float | None
    text: str


@dataclasses.dataclass(frozen=True)
class BarChart:
    """One picture: a figure of all models that have it.

    Attributes:
      name: the file's name without its ending.
      title, x_label: texts.
      is_logarithmic: whether the x axis is; else it goes from 0, or the least value below it, to 1.
      bars: list of `Bar`, not empty.
    """

    name: str
    title: str
    x_label: str
    is_logarithmic: bool
    bars: list

    def description(self):
        """What the picture shows, in words, for those who do not see it."""
        return f"{self.title}. {'; '.join(f'{bar.label} ({GROUPS[bar.group]}): {bar.text}' for bar in self.bars)}."


def draw_bars(chart, size):
    """A `BarChart` as a `Figure`; its height follows from the number of bars, not from `size`."""
    figure = Figure(figsize=(size[0], _INCHES_AROUND + _INCHES_OF_A_BAR * len(chart.bars)), layout="constrained")
    axes = figure.add_subplot()
    for group in dict.fromkeys(bar.group for bar in chart.bars):
        places, bars = zip(*((place, bar) for place, bar in enumerate(chart.bars) if bar.group == group), strict=True)
        colour = THEME[COLOURS[group]][0]
        axes.barh(places, [bar.value for bar in bars], _BAR_HEIGHT, label=GROUPS[group], edgecolor=colour,
                  color="none" if group == HOLLOW else colour, linestyle="--" if group == HOLLOW else "-")
    for place, bar in enumerate(chart.bars):
        if bar.spread:
            axes.errorbar(bar.value, place, xerr=bar.spread, fmt="none", color=THEME["text"][0], capsize=2.5)
        axes.text(0, place - 0.25, f" {_caption(bar)}", transform=axes.get_yaxis_transform(), va="bottom")
    values = [bar.value for bar in chart.bars]
    if chart.is_logarithmic:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 3, max(values) * 3)
        axes.xaxis.set_major_formatter(EngFormatter(sep=""))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_xlim(min(0, *values), 1)
    axes.set_ylim(len(chart.bars) - 0.6, -0.9)
    axes.set_yticks([])
    axes.set_axisbelow(True)
    axes.set_xlabel(chart.x_label)
    return figure


def _caption(bar):
    """Name and value, the name cut where it would run out of the picture."""
    rest = f"{' (published)' if bar.group == HOLLOW else ''}: {bar.text}"
    room = _LONGEST_TEXT - len(rest)
    return (bar.label if len(bar.label) <= room else f"{bar.label[:room - 1]}…") + rest
