"""Which tests a tier leaves out, and that it says so."""

import pathlib

import pytest

pytest_plugins = ["pytester"]

SUITE = """
import pytest

def test_plain(): pass

@pytest.mark.tier("ci")
def test_ci(): pass

@pytest.mark.tier("ci")
@pytest.mark.parametrize("value", [1, pytest.param(2, marks=pytest.mark.tier("all"))])
def test_both(value): pass
"""
MODULE = """
import pytest

pytestmark = pytest.mark.tier("all")

def test_all(): pass

@pytest.mark.tier("test")
def test_first(): pass
"""


@pytest.fixture
def suite(pytester):
    folder = pathlib.Path(__file__).parent
    pytester.makeconftest(f"import sys; sys.path.append({str(folder)!r}); pytest_plugins = ['fault_suite', 'tiers']")
    pytester.makepyfile(test_suite=SUITE, test_module=MODULE)
    return pytester


@pytest.mark.parametrize("arguments, passed, left_out", [
    ([], 2, "left out: 2 tests of bin/test --ci, 2 tests of bin/test --all"),
    (["--ci"], 4, "left out: 2 tests of bin/test --all"), (["--all"], 6, None),
    (["test_module.py"], 2, None), (["test_module.py", "--ci"], 1, "left out: 1 tests of bin/test --all"),
    (["-n2", "--dist=loadfile"], 2, "left out: 2 tests of bin/test --ci, 2 tests of bin/test --all")])
def test_a_tier_runs_and_names_the_rest(suite, arguments, passed, left_out):
    result = suite.runpytest("-p", "no:cacheprovider", *arguments)
    result.assert_outcomes(passed=passed)
    assert [line for line in result.outlines if line.startswith("left out")] == ([left_out] if left_out else [])
