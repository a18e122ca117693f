"""report.html as a reader sees it: in a browser, on a phone and on a desk, in light and dark."""

import pathlib

import matplotlib.image
import numpy as np
import pytest

from albert_hvd.reporting.drawing import THEME
from albert_hvd.reporting.report import report_runs
from chromium import Page, find_chromium
from synthetic_run import FLAGS, held_out_record, record, write_run

pytestmark = [pytest.mark.skipif(not find_chromium(),
                                 reason="no Chromium: tests/integration/install_chromium.sh gets it"),
              pytest.mark.tier("all")]

PHONE, DESK = (390, 844), (1280, 900)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of two runs with long names and values."""
    folder = tmp_path_factory.mktemp("runs")
    files = ",".join(f"a_folder_with_a_long_name/train-{number:05d}.tfrecord" for number in range(9))
    runs = []
    for name, start in (("lamb", 6.0), ("adamw", 6.5)):
        records = [record(step, loss=start - step / 90, masked_lm_accuracy=step / 1000) for step in range(1, 200, 3)]
        held_out = [held_out_record(step, start + 0.1 - step / 100) for step in (50, 100, 150)]
        runs.append(write_run(
            folder / f"{name}_on_news_and_essays" / "model", records, held_out,
            flags={**FLAGS, "input_file": files, "optimizer": name}, config={"hidden_size": 16, "a" * 60: "b" * 300},
            status={"state": "finished"}, eval_results={"global_step": 199, "loss": 4.0}))
    return pathlib.Path(report_runs(runs)[-1])


def rgb(colour):
    """"#0b62a4" as CSS reports it."""
    return f"rgb({', '.join(str(int(colour[start:start + 2], 16)) for start in (1, 3, 5))})"


@pytest.mark.parametrize("size, dark", [
    pytest.param(PHONE, False, marks=pytest.mark.tier("ci")), (PHONE, True), (DESK, False), (DESK, True)],
    ids=["phone-light", "phone-dark", "desk-light", "desk-dark"])
def test_the_report_in_a_browser(report, tmp_path, size, dark):
    with Page(find_chromium(), tmp_path / "profile", *size, dark) as page:
        page.open_offline(report)
        page.evaluate("document.querySelector('details').open = true")
        page.screenshot(tmp_path / "report.png")
        assert [params["request"]["url"] for method, params in page.events
                if method == "Network.requestWillBeSent"] == [report.as_uri()]
        complaints = ("Log.", "Runtime.console", "Runtime.exception")
        assert not [event for event in page.events if event[0].startswith(complaints)]
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert page.evaluate("document.querySelectorAll('svg').length") == 8
        # The smallest print on a phone.
        assert page.smallest_print() > 9
        for selector, attribute, role in (
                ("body", "color", "text"), ("body", "background-color", "background"), ("svg text", "fill", "muted"),
                (".swatch", "background-color", "run-0"), ('svg path[style*="run-1"]', "stroke", "run-1")):
            assert page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).getPropertyValue("
                                 f"'{attribute}')") == rgb(THEME[role][dark]), (selector, attribute)
    picture = np.round(255 * matplotlib.image.imread(tmp_path / "report.png")[:, :, :3]).astype(int)
    assert picture.shape[1] == size[0]
    colours = set(map(tuple, picture.reshape(-1, 3).tolist()))
    for role in ("background", "run-0", "run-1"):
        colour = THEME[role][dark]
        assert tuple(int(colour[start:start + 2], 16) for start in (1, 3, 5)) in colours, role
