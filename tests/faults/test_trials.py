"""The counting of the fault suite itself."""

import pytest

from fault_suite import FaultTrials


def test_a_trial_that_raises_is_tried_and_not_survived():
    tried = {}
    with pytest.raises(AssertionError):
        for trial in FaultTrials(tried, at_full_count=True)("lightning", "nothing is lost", short=1, full=5):
            assert trial < 2
    assert tried["lightning"] == {"fault": "lightning", "outcome": "nothing is lost", "tried": 3, "survived": 2}


@pytest.mark.parametrize("at_full_count, count", [(False, 2), (True, 7)])
def test_the_report_tries_more_often(at_full_count, count):
    tried = {}
    trials = FaultTrials(tried, at_full_count)("lightning", "nothing is lost", short=2, full=7)
    assert list(trials) == list(range(count)) and tried["lightning"]["survived"] == count
