"""The line about a plateau: when, once, and with which cause."""

import dataclasses

import numpy as np
import pytest

from albert_hvd.run_folder.corpus_facts import CorpusFacts
from albert_hvd.training.options import PretrainingOptions
from albert_hvd.training.plateau import PATIENCE_TOKENS, PlateauWatch

OPTIONS = PretrainingOptions(input_file="a", output_dir="b", bert_config_file="c")
FACTS = CorpusFacts(10, 100, 7.25, 6.0, np.zeros((2, 2), np.float32))


def line(loss=6.5, step=1000, tokens=PATIENCE_TOKENS, facts=FACTS, **changes):
    return PlateauWatch(dataclasses.replace(OPTIONS, **changes), facts).line(step, tokens, loss)


def test_a_run_that_is_no_better_than_its_neighbours_is_told():
    assert line().startswith("plateau: after 4.0 M tokens the masked language model's loss is 6.500; frequencies alone "
                             "explain 7.250, with the pieces beside a mask 6.000. Likely cause: ")


@pytest.mark.parametrize("changes", [{"loss": 5.9}, {"tokens": PATIENCE_TOKENS - 1}, {"step": 499}, {"facts": None},
                                     {"facts": dataclasses.replace(FACTS, neighbour_loss=None)}])
def test_others_are_not(changes):
    assert line(**changes) is None


def test_it_is_said_once_and_decided_once():
    watch = PlateauWatch(OPTIONS, FACTS)
    assert watch.line(1000, PATIENCE_TOKENS, 6.5) and watch.line(2000, 2 * PATIENCE_TOKENS, 6.5) is None
    watch = PlateauWatch(OPTIONS, FACTS)
    assert watch.line(1000, PATIENCE_TOKENS, 5.0) is None and watch.line(2000, 2 * PATIENCE_TOKENS, 6.5) is None


@pytest.mark.parametrize("changes, cause", [
    ({"learning_rate": 2e-5}, "learning_rate=2e-05 is low"), ({"learning_rate": 0.5}, "learning_rate=0.5 is high"),
    ({"initialization": "plain"}, "initialization=neighbours shows them"), ({"step": 5000}, "800 tokens an update are few"),
    ({}, "learning_rate=0.002 with muon; try a third of it")])
def test_the_likely_cause(changes, cause):
    assert cause in line(**changes)
