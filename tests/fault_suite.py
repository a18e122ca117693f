"""The fault suite: every fault is tried a few times in an ordinary run, many times under --faults.

    bin/test tests/faults                          # a short part, as in CI
    bin/test --faults --fault_report=faults.json   # nothing but the faults, at full count
"""

import json
import os
import pathlib

import pytest

from albert_hvd.runtime.tables import aligned

_FAULTS = pathlib.Path(__file__).parent / "faults"
_TRIED = pytest.StashKey()


class FaultTrials:
    """Counts what was tried and what was survived, and what a count is of."""

    def __init__(self, tried, at_full_count):
        self._tried, self._at_full_count = tried, at_full_count

    def __call__(self, fault, outcome, short=1, full=1):
        """The numbers of the trials of one fault, to be looped over: what the loop's body raises is a trial lost.

        Args:
          fault: what is done to the program, in a few words.
          outcome: the expected behaviour, which is asserted in the loop.
          short, full: how often to try in an ordinary run, and under --faults.
        """
        count = self._tried.setdefault(fault, {"fault": fault, "outcome": outcome, "tried": 0, "survived": 0})
        for trial in range(full if self._at_full_count else short):
            count["tried"] += 1
            yield trial
            count["survived"] += 1


@pytest.fixture
def fault_trials(request):
    """A `FaultTrials`, whose table is printed when the tests end."""
    tried = request.config.stash.setdefault(_TRIED, {})
    return FaultTrials(tried, request.config.getoption("--faults"))


def pytest_addoption(parser):
    parser.addoption("--faults", action="store_true",
                     help="run the fault suite (tests/faults) alone, every fault as often as a report needs")
    parser.addoption("--fault_report", metavar="FILE", help="write the table of faults tried and survived as JSON")


def pytest_collection_modifyitems(config, items):
    if config.getoption("--faults"):
        others = [item for item in items if _FAULTS not in item.path.parents]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if _FAULTS in item.path.parents]


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["faults"] = session.config.stash.get(_TRIED, {})


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """The counts of a worker of pytest-xdist, added up."""
    tried = node.config.stash.setdefault(_TRIED, {})
    for fault, row in getattr(node, "workeroutput", {}).get("faults", {}).items():
        before = tried.get(fault, {"tried": 0, "survived": 0})
        tried[fault] = {**row, **{key: row[key] + before[key] for key in ("tried", "survived")}}


def pytest_terminal_summary(terminalreporter, config):
    rows = list(config.stash.get(_TRIED, {}).values())
    if not rows:
        return
    terminalreporter.section("faults")
    for line in aligned([["fault", "tried", "survived"],
                         *([row["fault"], str(row["tried"]), str(row["survived"])] for row in rows)]):
        terminalreporter.write_line(line)
    path = config.getoption("--fault_report")
    if path:
        pathlib.Path(os.path.expanduser(path)).write_text(json.dumps(rows, indent=2) + "\n")
