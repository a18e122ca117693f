"""Config files: the shipped ones, the old project's, and wrong ones."""

import json

import pytest

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from conftest import ROOT

SIZES = {"tiny": (336, 4, 12, 1344), "base": (768, 12, 12, 3072), "large": (1024, 24, 16, 4096),
         "xlarge": (2048, 24, 16, 8192)}


@pytest.mark.parametrize("architecture, prefix", [("albert", "albert_config"), ("brightmart", "brightmart_config")])
@pytest.mark.parametrize("name", SIZES)
def test_shipped_configs_have_the_documented_sizes(architecture, prefix, name):
    config = AlbertConfig.from_json_file(str(ROOT / "albert_config" / f"{prefix}_{name}.json"))
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads,
            config.intermediate_size) == SIZES[name]
    assert (config.embedding_size, config.vocab_size, config.max_position_embeddings) == (128, 32000, 512)
    assert (config.architecture, config.hidden_dropout_prob) == (architecture, 0.0)


def test_a_config_of_the_old_project_loads():
    old = {"attention_probs_dropout_prob": 0.0, "directionality": "bidi", "hidden_act": "gelu",
           "hidden_dropout_prob": 0.0, "hidden_size": 768, "embedding_size": 128, "initializer_range": 0.02,
           "intermediate_size": 3072, "max_position_embeddings": 512, "num_attention_heads": 12,
           "num_hidden_layers": 12, "pooler_fc_size": 768, "pooler_num_attention_heads": 12,
           "pooler_num_fc_layers": 3, "pooler_size_per_head": 128, "pooler_type": "first_token_transform",
           "type_vocab_size": 2, "vocab_size": 32000, "ln_type": "preln"}
    assert AlbertConfig.from_dict(old).hidden_size == 768


@pytest.mark.parametrize("change, named", [
    ({"hiden_size": 3}, "hiden_size"), ({"hidden_size": "768"}, "'768'"), ({"hidden_size": 17}, "num_attention_heads"),
    ({"vocab_size": 0}, "vocab_size = 0"), ({"hidden_act": "tanh"}, "'tanh'"),
    ({"layers_to_keep": [0, 1]}, "layers_to_keep"),
    ({"num_hidden_groups": 2}, "num_hidden_groups = 2 is not supported"),
    ({"architecture": "bert"}, "'bert'"), ({"hidden_dropout_prob": 1.0}, "1.0"), ({"num_hidden_layers": True}, "True")])
def test_wrong_values_are_named(change, named):
    with pytest.raises(InputError, match=named):
        AlbertConfig.from_dict({"vocab_size": 100, "hidden_size": 16, "num_attention_heads": 4, **change})


def test_a_config_needs_its_vocabulary():
    with pytest.raises(InputError, match="vocab_size is missing"):
        AlbertConfig.from_dict({})


def test_unreadable_files_are_named(tmp_path):
    (tmp_path / "broken.json").write_text("{")
    for name in ("broken.json", "missing.json"):
        with pytest.raises(InputError, match=name):
            AlbertConfig.from_json_file(str(tmp_path / name))


def test_what_is_written_is_read_again(tiny_config):
    assert AlbertConfig.from_dict(json.loads(json.dumps(tiny_config.to_dict()))) == tiny_config
