"""Charts of panels: what is drawn, named once, and written whole."""

import pytest

from albert_hvd.errors import InputError
from albert_hvd.reporting.drawing import write_png
from benchmarks.panels import Line, Panel, PanelChart, draw_panels

CHART = PanelChart("speed", "Speed", "GPUs", [
    Panel("sequences/s", True, [Line("base", [1, 8], [100.0, 790.0], least=[90.0, 600.0]),
                                Line("published", [8], [700.0], is_scattered=True)]),
    Panel("efficiency, %", False, [Line("base", [1, 8], [100.0, 98.75])])], x_ticks=(1, 8))


def test_what_is_drawn():
    above, below = draw_panels(CHART, size=(6, 4)).axes
    assert [line.get_xydata().tolist() for line in above.lines] == [[[1, 100], [8, 790]], [[8, 700]]]
    assert [line.get_linestyle() for line in above.lines] == ["-", "None"]
    assert len(above.collections) == 1 and not below.collections  # the space down to the least
    assert (above.get_yscale(), below.get_yscale(), below.get_xscale()) == ("log", "linear", "log")
    assert [label.get_text() for label in below.get_xticklabels()] == ["1", "8"]
    assert [axes.get_legend_handles_labels()[1] for axes in (above, below)] == [["base", "published"], []]


def test_the_description_names_all_lines():
    assert CHART.description() == (
        "Speed over GPUs. base: sequences/s from 100 to 790; published: sequences/s from 700 to 700; "
        "base: efficiency, % from 100 to 98.75.")


def test_a_picture_is_written(tmp_path):
    write_png(CHART, draw_panels, str(tmp_path / "a.png"), "plot")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="^plot: "):
        write_png(CHART, draw_panels, str(tmp_path / "file" / "a.png"), "plot")
