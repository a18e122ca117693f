"""bin/benchmark guard: ratios of what was measured, against the committed ones."""

import json

import numpy as np
import pytest

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from benchmarks import guard, guard_commands
from benchmarks.contestants import Round
from benchmarks.model_flops import training_flops, work_of
from benchmarks.random_rows import random_rows
from benchmarks.report import Report

CONFIG = AlbertConfig(vocab_size=50, embedding_size=4, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
                      intermediate_size=16, max_position_embeddings=32)


def rounds_of(*seconds):
    return [Round(sec, work_of(np.array([10, 10]), 2), 0.0) for sec in seconds], 1000


def test_ratios_are_those_of_the_medians():
    flops = training_flops(CONFIG, work_of(np.array([10, 10]), 2))
    outcome = {"full": rounds_of(2.0, 4.0, 3.0), "bfloat16": rounds_of(1.5, 9.0, 1.5), "short": rounds_of(8.0),
               "packed": rounds_of(2.0), "small": rounds_of(4.0), "product": ([flops, flops / 2, flops], 0)}
    assert list(guard.ratios_of(outcome, CONFIG).values()) == pytest.approx([1 / 3, 2.0, 4.0, 3 / 4])


def test_a_changed_ratio_is_marked():
    rows = guard.compare({"a": 1.1, "b": 0.8, "new": 3.0}, {"a": 1.0, "b": 1.0}, tolerance=0.15)
    assert [(row["change"], row[""]) for row in rows] == [("+10%", ""), ("-20%", "changed"), ("", "")]
    assert rows[2]["committed"] is None


def test_cut_rows_keep_the_predictions_of_their_tokens():
    batch = guard._cut(random_rows(CONFIG, 2, 32), 2)
    assert batch["input_mask"].sum(axis=1).tolist() == [2, 2] and not batch["input_ids"][:, 2:].any()
    assert batch["masked_lm_weights"].tolist() == [[1, 1, 0], [1, 1, 0]]  # of the positions 0, 1 and 2


def test_the_committed_ratios_are_those_that_are_measured(monkeypatch):
    """Those of the commands with their benchmarks replaced, for their names."""
    outcome = {name: rounds_of(1.0) for name in ("full", "bfloat16", "short", "packed", "small")}
    ratios = guard.ratios_of({**outcome, "product": ([1.0], 0)}, CONFIG)
    rows = [{"what": name, "MB/CPU-s net": speed} for name, speed in (
        ("one document", 1.0), ("text", 3.0), ("SentencePiece alone, 1 thread", 6.0))]
    monkeypatch.setattr(guard_commands.data, "run", lambda options, folder: Report("data", {}, rows))
    assert list(guard_commands.records_ratio(None).values()) == [0.5]
    with open(guard.COMMITTED, encoding="utf-8") as file:
        committed = json.load(file)["ratios"].keys()
    assert committed >= {*ratios, *guard_commands.records_ratio(None)}
    assert {name.partition(" ")[0] for name in committed if "Hugging Face" in name} == {
        "encode", "fill_mask", "predict", "finetune"}


@pytest.mark.tier("all")
def test_ratios_to_the_peer(tmp_path):
    pytest.importorskip("torch")
    ratios = guard_commands.peer_ratios(guard.Options(peer="huggingface", rounds=1), str(tmp_path))
    assert len(ratios) == 4 and min(ratios.values()) > 0


@pytest.mark.parametrize("flags, message", [
    ({"train_batch_size": 6}, "--train_batch_size=6: must be a multiple of 4"),
    ({"rounds": 0}, "--rounds=0: must be at least 1"), ({"peer": "none at all"}, "none at all"), ({"max_seq_length": 4096}, "--max_seq_length=4096")])
def test_bad_flags(flags, message):
    with pytest.raises(InputError, match=message):
        guard.run(guard.Options(**flags), None)
