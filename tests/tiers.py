"""Which tests run: a newcomer's few minutes, what a change must pass, or all.

    bin/test         what one process does, a training on two ranks and on three, a kill and resume
    bin/test --ci    also several ranks, Slurm, a browser, README's commands and faults, as .ci/run does
    bin/test --all   everything, but for the full counts of --faults

A module or a test says `pytest.mark.tier("ci")` or `pytest.mark.tier("all")` where it runs from that tier on. Files
and folders that are named on the command line run whole.
"""

import collections

import pytest

TIERS = ("test", "ci", "all")
_LEFT_OUT = pytest.StashKey()


def pytest_addoption(parser):
    group = parser.getgroup("tiers")
    for tier in TIERS[1:]:
        group.addoption(f"--{tier}", action="store_const", const=tier, dest="tier", help=f"run the tier {tier!r}")


def pytest_configure(config):
    # The workers of pytest-xdist get their options from here, and everything as an argument.
    if config.option.tier is None:
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        config.option.tier = "all" if named or config.option.faults else "test"


def tier_of(item):
    """The first tier that a test belongs to, as an index into `TIERS`.

    The nearest mark decides: that of a parameter before that of the test, and that before the module's.
    """
    marks = [mark for node in item.listchain() for mark in node.own_markers if mark.name == "tier"]
    return TIERS.index(marks[-1].args[0]) if marks else 0


@pytest.hookimpl(trylast=True)  # what -k and -m leave out is not ours
def pytest_collection_modifyitems(config, items):
    left_out = [item for item in items if tier_of(item) > TIERS.index(config.option.tier)]
    config.stash[_LEFT_OUT] = dict(collections.Counter(TIERS[tier_of(item)] for item in left_out))
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]
    if hasattr(config, "workerinput"):
        # Files of several ranks take longest: begun last, one of them would keep a single core at work in the end.
        long_ones = {item.path for item in items if item.get_closest_marker("parallel")}
        items.sort(key=lambda item: item.path not in long_ones)


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(_LEFT_OUT, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """What a worker of pytest-xdist has left out; all leave out the same."""
    node.config.stash[_LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", {})


def pytest_terminal_summary(terminalreporter, config):
    left_out = config.stash.get(_LEFT_OUT, {})
    if left_out:
        counts = ", ".join(f"{left_out[tier]} tests of bin/test --{tier}" for tier in TIERS if tier in left_out)
        terminalreporter.write_line(f"left out: {counts}")
