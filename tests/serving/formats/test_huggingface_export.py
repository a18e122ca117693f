"""The exported folder and its tokenizer.json, without Hugging Face's libraries."""

import json

import numpy as np
import pytest
from huggingface_folders import export, make_config, make_source
from small_corpus import make_documents, make_tokenizer

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.data.text.tokenizer_training import train_tokenizer
from albert_hvd.errors import InputError
from albert_hvd.model.pretraining_model import variable_shapes
from albert_hvd.serving.formats.huggingface import names as huggingface
from albert_hvd.serving.formats.huggingface.export import export_huggingface
from albert_hvd.serving.formats.huggingface.options import FolderOptions
from albert_hvd.serving.formats.huggingface.weights import read_weights

FILES = ["README.md", "config.json", "model.safetensors", "special_tokens_map.json", "spiece.model",
         "tokenizer.json", "tokenizer_config.json"]
LINES = [line for document in make_documents(40) for line in document]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    make_tokenizer(folder)
    return folder / "small.model"


def test_the_folder_holds_the_model(vocabulary, tmp_path):
    source = export(vocabulary, tmp_path / "out", 110)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    assert (tmp_path / "out" / "spiece.model").read_bytes() == vocabulary.read_bytes()
    config = huggingface.config_from_huggingface(json.loads((tmp_path / "out" / "config.json").read_text()), "x")
    back = read_weights(str(tmp_path / "out"), config)
    assert config == source.config and all((back[path] == source.arrays[path]).all() for path in source.arrays)


def test_tokenizer_json_has_the_vocabulary_in_order(vocabulary, tmp_path):
    export(vocabulary, tmp_path / "out", 110)
    content = json.loads((tmp_path / "out" / "tokenizer.json").read_text())
    tokenizer = Tokenizer.from_file(str(vocabulary))
    assert [piece for piece, _ in content["model"]["vocab"]] == [tokenizer.piece(i) for i in range(110)]
    assert content["model"]["unk_id"] == tokenizer.unk_id
    assert {token["content"]: token["id"] for token in content["added_tokens"]} == {
        tokenizer.piece(i): i for i in range(8)}
    assert [token["content"] for token in content["added_tokens"] if token["lstrip"]] == ["<mask>"]
    names = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert (names["cls_token"], names["sep_token"], names["pad_token"]) == ("<cls>", "<sep>", "<pad>")
    assert names["mask_token"]["content"] == "<mask>" and names["model_max_length"] == 64


def test_rows_are_no_longer_than_those_of_the_training(vocabulary, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "flags.json").write_text(json.dumps({"max_seq_length": 32}))
    export(vocabulary, tmp_path / "out", 110, folder=tmp_path / "run")
    assert json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())["model_max_length"] == 32


@pytest.mark.parametrize("missing, expected", [
    ((), "AlbertForPreTraining"), (("sentence_head",), "AlbertForMaskedLM"),
    (("encoder/pooler", "sentence_head"), "AlbertForMaskedLM"),
    (("masked_lm_head", "sentence_head"), "AlbertModel")])
def test_missing_heads_are_left_out(vocabulary, tmp_path, missing, expected):
    config = make_config(110)
    paths = [path for path in variable_shapes(config) if path.startswith(missing or ("-",))]
    export(vocabulary, tmp_path / "out", 110, missing=paths)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [expected]
    assert not set(paths) & read_weights(str(tmp_path / "out"), config).keys()


def test_refusals_leave_nothing_behind(vocabulary, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    train_tokenizer(LINES, str(tmp_path / "bpe"), vocab_size=110, model_type="bpe")
    train_tokenizer(LINES, str(tmp_path / "half"), vocab_size=110, user_defined_symbols=("½",))
    for path, size, output, message in (
            (vocabulary, 110, "full", "output_dir=.*full: cannot write it"),
            (vocabulary, 111, "out", "110 pieces, the model has 111"),
            (tmp_path / "bpe.model", 110, "out", "is not a unigram model"),
            (tmp_path / "half.model", 110, "out", "'½' is one that normalisation replaces")):
        before = sorted(tmp_path.iterdir())
        with pytest.raises(InputError, match=message):
            export_huggingface(make_source(path, make_config(size)), str(tmp_path / output))
        assert sorted(tmp_path.iterdir()) == before and (tmp_path / "full" / "mine.txt").exists()


def test_float16_is_half_as_large_and_rounded_once(vocabulary, tmp_path):
    source = export(vocabulary, tmp_path / "out", 110, options=FolderOptions(dtype="float16"))
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["dtype"] == "float16"
    back = read_weights(str(tmp_path / "out"), huggingface.config_from_huggingface(config, "x"))
    for path, array in source.arrays.items():
        np.testing.assert_array_equal(back[path], array.astype(np.float16).astype(np.float32))
    num_bytes = sum(2 * array.size for array in source.arrays.values())
    assert num_bytes < (tmp_path / "out" / "model.safetensors").stat().st_size < num_bytes + 5000


def test_what_float16_cannot_hold_is_refused(vocabulary, tmp_path):
    source = make_source(vocabulary, make_config(110))
    source.arrays["masked_lm_head/output_bias"][3] = -7e4
    with pytest.raises(InputError, match="^dtype=float16: predictions.bias has 70000, too large for it; give float32"):
        export_huggingface(source, str(tmp_path / "out"), FolderOptions(dtype="float16"))
    assert not list(tmp_path.iterdir())


def test_without_tokenizer_json_the_card_names_this_program(vocabulary, tmp_path):
    export(vocabulary, tmp_path / "out", 110, options=FolderOptions(tokenizer_json=False))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        name for name in FILES if name != "tokenizer.json"]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "albert_hvd.load(" in card and "transformers import" not in card


def test_the_card_repeats_what_the_user_says_of_the_text(vocabulary, tmp_path):
    (tmp_path / "said.md").write_text("News of 2017, CC BY 4.0.\n\n")
    export(vocabulary, tmp_path / "out", 110, options=FolderOptions(data_card=str(tmp_path / "said.md")))
    assert "## Data\n\nNews of 2017, CC BY 4.0.\n" in (tmp_path / "out" / "README.md").read_text()
    (tmp_path / "said.md").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="^data_card=.*said.md: not UTF-8; convert the file first$"):
        export(vocabulary, tmp_path / "again", 110, options=FolderOptions(data_card=str(tmp_path / "said.md")))
    assert not (tmp_path / "again").exists()
