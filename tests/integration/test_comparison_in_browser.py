"""The report of a comparison as a reader sees it: in a browser, on a phone and on a desk, in light and dark."""

import pathlib

import pytest

from albert_hvd.reporting.comparison import compare_results
from albert_hvd.reporting.drawing import THEME
from chromium import Page, find_chromium
from fine_tuning_results import write_result
from test_report_in_browser import DESK, PHONE, rgb

pytestmark = [pytest.mark.skipif(not find_chromium(),
                                 reason="no Chromium: tests/integration/install_chromium.sh gets it"),
              pytest.mark.tier("all")]


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The comparison of two models with long names on one task, and of one on another."""
    folder = tmp_path_factory.mktemp("results")
    name = "albert-tiny, pre-trained for thirty thousand steps on news and essays"
    _, paths = compare_results([write_result(folder / "first", name=name, settings={"a" * 60: "b" * 300}),
                                write_result(folder / "second", name=name, init_checkpoint=None),
                                write_result(folder / "tagger", task="pos")])
    return pathlib.Path(paths[-1])


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_comparison_in_a_browser(report, tmp_path, size, dark):
    with Page(find_chromium(), tmp_path / "profile", *size, dark) as page:
        page.open_offline(report)
        page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true), true")
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]
        assert page.evaluate("document.querySelectorAll('svg').length") == 8
        assert page.smallest_print() > 9
        # No name runs out of its picture.
        assert page.evaluate(
            "Math.max(...[...document.querySelectorAll('svg text')].map(text => text.getBoundingClientRect().right"
            " - text.ownerSVGElement.getBoundingClientRect().right))") <= 0
        for selector, attribute, role in (
                ("body", "background-color", "background"), ('svg path[style*="fill: var(--run-0)"]', "fill", "run-0"),
                ('svg path[style*="fill: var(--run-1)"]', "fill", "run-1"),
                ('svg path[style*="stroke-dasharray"]', "stroke", "muted"), (".outline", "border-top-color", "muted")):
            assert page.evaluate(f"getComputedStyle(document.querySelector('{selector}')).getPropertyValue("
                                 f"'{attribute}')") == rgb(THEME[role][dark]), (selector, attribute)
