"""The models in models/: small, found by name, with a card of their text, and better than chance."""

import json
import os

import numpy as np
import pytest
from conftest import ROOT

import albert_hvd
from albert_hvd.serving.formats.shipped import located, shipped_names
from albert_hvd.serving.formats.sources import read_model

NAMES = shipped_names()


def test_there_is_one_to_start_from():
    assert "tiny-bahasa" in NAMES and located("tiny-bahasa") == str(ROOT / "models" / "tiny-bahasa")


@pytest.mark.parametrize("name", NAMES)
def test_it_is_small_and_says_where_it_is_from(name):
    folder = ROOT / "models" / name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 6e6
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"
    card, said = (path.read_text() for path in (folder / "README.md", ROOT / "models" / f"{name}.md"))
    assert said.strip() in card and "held-out records, single pieces" in card


@pytest.mark.parametrize("name", NAMES)
def test_it_is_whole(name):
    source = read_model(name, "model")
    assert source.missing == [] and source.tokenizer_path.endswith(os.path.join(name, "spiece.model"))
    assert all(np.isfinite(array).all() for array in source.arrays.values())


def test_it_knows_some_malay():
    model = albert_hvd.load("tiny-bahasa")
    assert model.max_seq_length == 128
    assert model.fill_mask("Kuala Lumpur ialah ibu <mask> Malaysia")[0][0][0] == "\u2581kota"
    happy, glad, rice = model.encode(["Saya gembira sekali.", "Dia sangat gembira.", "Nasi itu dimasak semalam."])
    cosine = lambda a, b: a @ b / np.linalg.norm(a) / np.linalg.norm(b)  # noqa: E731
    assert cosine(happy, glad) > cosine(happy, rice)
