"""bin/benchmark memory: its table; what recomputation saves is counted in tests/training/test_kept_activations.py."""

import json

import pytest

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.training.batch_plan import activation_bytes_per_row
from benchmarks.memory import Options, run

CONFIG = AlbertConfig(vocab_size=200, embedding_size=16, hidden_size=64, num_hidden_layers=2, num_attention_heads=4,
                      intermediate_size=256, max_position_embeddings=128)


def options_for(folder, **changes):
    (folder / "config.json").write_text(json.dumps(CONFIG.to_dict()))
    return Options(**{"bert_config_file": str(folder / "config.json"), "micro_batch_size": 2, "precisions": "float32",
                      **changes})


@pytest.mark.tier("all")
def test_a_row_for_each_setting(tmp_path):
    rows = run(options_for(tmp_path), None).rows
    assert [(row["precision"], row["recompute"]) for row in rows] == [("float32", False), ("float32", True)]
    for row in rows:
        assert row["peak MiB"] > row["MiB a row"] and row["s a step"] > 0
        assert row["estimate"] * 2**20 == activation_bytes_per_row(CONFIG, 128, "float32", row["recompute"])


@pytest.mark.parametrize("changes, named", [
    ({"bert_config_file": None}, "--bert_config_file"), ({"max_seq_length": 129}, "--max_seq_length=129"),
    ({"micro_batch_size": 1}, "--micro_batch_size=1"), ({"precisions": "float32,int8"}, "int8")])
def test_bad_flags_are_refused(tmp_path, changes, named):
    with pytest.raises(InputError, match=named):
        run(options_for(tmp_path, **changes), None)
