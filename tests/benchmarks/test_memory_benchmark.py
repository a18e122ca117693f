"""Recomputation saves memory, as the operating system counts it, and the batch plan's estimate is on the safe side."""

import json

import pytest

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from benchmarks.memory import Options, run


def options_for(folder, **changes):
    # Deep and with many rows: a process also grows by some 50 MiB of compiled graph, and the system takes pages back
    # that were not used for a while, so less than that cannot be told apart.
    config = AlbertConfig(vocab_size=200, embedding_size=16, hidden_size=64, num_hidden_layers=16, num_attention_heads=4,
                          intermediate_size=256, max_position_embeddings=128)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    return Options(**{"bert_config_file": str(folder / "config.json"), "micro_batch_size": 96, "precisions": "float32",
                      **changes})


@pytest.mark.tier("all")
def test_recomputation_saves_memory(tmp_path):
    kept, recomputed = run(options_for(tmp_path), None).rows
    assert (kept["recompute"], recomputed["recompute"]) == (False, True)
    assert recomputed["MiB a row"] < kept["MiB a row"] / 2
    assert recomputed["peak MiB"] < kept["peak MiB"] - 100
    assert kept["MiB a row"] < kept["estimate"]


@pytest.mark.parametrize("changes, named", [
    ({"bert_config_file": None}, "--bert_config_file"), ({"max_seq_length": 129}, "--max_seq_length=129"),
    ({"micro_batch_size": 1}, "--micro_batch_size=1"), ({"precisions": "float32,int8"}, "int8")])
def test_bad_flags_are_refused(tmp_path, changes, named):
    with pytest.raises(InputError, match=named):
        run(options_for(tmp_path, **changes), None)
