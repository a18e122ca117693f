"""models/make_tiny_bahasa on the sample's text: from raw text to a folder that is found and used."""

import json
import os
import shutil
import subprocess

import pytest
from conftest import ROOT, command_environment

import albert_hvd

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci")]


def make(*arguments, **settings):
    environment = {**command_environment(), **settings}
    return subprocess.run([str(ROOT / "models" / "make_tiny_bahasa"), *map(str, arguments)], env=environment,
                          capture_output=True, text=True, timeout=500)


def test_raw_text_becomes_a_model(tmp_path):
    texts = ROOT / "albert_hvd" / "sample" / "texts"
    for part, names in (("train", "train_*.txt"), ("valid", "eval_*.txt")):
        (tmp_path / "texts" / part).mkdir(parents=True)
        for path in texts.glob(names):
            shutil.copy(path, tmp_path / "texts" / part)
    settings = dict(CPU_MINUTES="0.4", VOCABULARY_SIZE="1000", COPIES="1", PRECISION="float32")
    result = make(tmp_path / "texts", tmp_path / "work", **settings)
    assert result.returncode == 0, result.stderr[-2000:]
    model = tmp_path / "work" / "tiny-bahasa"
    assert sorted(os.listdir(model)) == ["README.md", "config.json", "model.safetensors", "special_tokens_map.json",
                                         "spiece.model", "tokenizer_config.json"]
    card = (model / "README.md").read_text()
    assert "CC BY 4.0" in card and "| masking | whole_word |" in card and "held-out records, single pieces" in card
    loaded = albert_hvd.load(str(model))
    assert loaded.max_seq_length == 128 and loaded.encode(["Saya suka nasi lemak."]).shape == (1, 336)
    before, after = (json.loads((tmp_path / "work" / run / "eval_results.json").read_text())
                     for run in ("run", "published"))
    assert before["masked_lm_loss"] < before["unigram_masked_lm_loss"]
    assert after["masked_lm_loss"] == pytest.approx(before["masked_lm_loss"], abs=5e-3)
    again = make(tmp_path / "texts", tmp_path / "work", tmp_path / "other", **settings)
    assert again.returncode == 0, again.stderr[-2000:]
    assert (tmp_path / "other" / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_without_folders_it_says_what_it_takes():
    result = make()
    assert result.returncode == 2 and result.stderr.startswith("models/make_tiny_bahasa TEXTS WORK [OUTPUT]\n")
