"""bin/benchmark guard: ratios of what was measured, against the committed ones."""

import json

import numpy as np
import pytest

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from benchmarks import guard
from benchmarks.contestants import Round
from benchmarks.model_flops import training_flops, work_of
from benchmarks.random_rows import random_rows

CONFIG = AlbertConfig(vocab_size=50, embedding_size=4, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
                      intermediate_size=16, max_position_embeddings=32)


def rounds_of(*seconds):
    return [Round(sec, work_of(np.array([10, 10]), 2), 0.0) for sec in seconds], 1000


def test_ratios_are_those_of_the_medians():
    flops = training_flops(CONFIG, work_of(np.array([10, 10]), 2))
    outcome = {"full": rounds_of(2.0, 4.0, 3.0), "bfloat16": rounds_of(1.5, 9.0, 1.5), "short": rounds_of(8.0),
               "packed": rounds_of(2.0), "product": ([flops, flops / 2, flops], 0)}
    assert list(guard.ratios_of(outcome, CONFIG).values()) == pytest.approx([1 / 3, 2.0, 4.0])


def test_a_changed_ratio_is_marked():
    rows = guard.compare({"a": 1.1, "b": 0.8, "new": 3.0}, {"a": 1.0, "b": 1.0}, tolerance=0.15)
    assert [(row["change"], row[""]) for row in rows] == [("+10%", ""), ("-20%", "changed"), ("", "")]
    assert rows[2]["committed"] is None


def test_cut_rows_keep_the_predictions_of_their_tokens():
    batch = guard._cut(random_rows(CONFIG, 2, 32), 2)
    assert batch["input_mask"].sum(axis=1).tolist() == [2, 2] and not batch["input_ids"][:, 2:].any()
    assert batch["masked_lm_weights"].tolist() == [[1, 1, 0], [1, 1, 0]]  # of the positions 0, 1 and 2


def test_the_committed_ratios_are_those_that_are_measured():
    outcome = {name: rounds_of(1.0) for name in ("full", "bfloat16", "short", "packed")}
    ratios = guard.ratios_of({**outcome, "product": ([1.0], 0)}, CONFIG)
    with open(guard.COMMITTED, encoding="utf-8") as file:
        assert json.load(file)["ratios"].keys() == ratios.keys()


@pytest.mark.parametrize("flags, message", [
    ({"train_batch_size": 6}, "--train_batch_size=6: must be a multiple of 4"),
    ({"rounds": 0}, "--rounds=0: must be at least 1"), ({"max_seq_length": 4096}, "--max_seq_length=4096")])
def test_bad_flags(flags, message):
    with pytest.raises(InputError, match=message):
        guard.run(guard.Options(**flags), None)
