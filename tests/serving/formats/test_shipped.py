"""Models that come with the program are found by their names."""

import os

import numpy as np
import pytest
from trained_models import TEXTS, make_config, write_run

import albert_hvd
from albert_hvd.errors import InputError
from albert_hvd.serving.export import export
from albert_hvd.serving.formats import shipped
from albert_hvd.serving.formats.huggingface.options import FolderOptions
from albert_hvd.serving.formats.sources import kind_of, read_model
from albert_hvd.serving.formats.vocabulary import vocabularies_at


@pytest.fixture
def models(tmp_path, monkeypatch):
    """A place of shipped models with one, small-ms; the working directory is an empty folder."""
    run = write_run(tmp_path / "run", make_config())
    (tmp_path / "run" / "flags.json").write_text('{"max_seq_length": 24}')
    export("huggingface", run, str(tmp_path / "models" / "small-ms"),
           folder_options=FolderOptions(dtype="float16", tokenizer_json=False))
    monkeypatch.setattr(shipped, "_PLACES", (str(tmp_path / "none"), str(tmp_path / "models")))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "models"


def test_a_name_is_the_folder(models):
    folder = str(models / "small-ms")
    assert shipped.located("small-ms") == folder and shipped.shipped_names() == ["small-ms"]
    assert kind_of("small-ms", "model") == "huggingface" and read_model("small-ms", "model").folder == folder
    assert vocabularies_at("small-ms", "model") == vocabularies_at(folder, "model")
    named, there = albert_hvd.load("small-ms"), albert_hvd.load(folder)
    np.testing.assert_array_equal(named.encode(TEXTS), there.encode(TEXTS))
    assert named.max_seq_length == 24


def test_what_lies_here_comes_first(models):
    os.mkdir("small-ms")
    assert shipped.located("small-ms") == "small-ms"
    with pytest.raises(InputError, match="^model=small-ms: an empty folder"):
        read_model("small-ms", "model")


@pytest.mark.parametrize("path", ["other", "", ".", "..", "../models/small-ms/config", "./small-ms", "small-ms/", ".hidden"])
def test_other_names_are_paths(models, path):
    assert shipped.located(path) == path


def test_an_unknown_name_gets_the_known_ones(models):
    with pytest.raises(InputError, match="^model=smal-ms: no such file or folder; give .*, or the name small-ms$"):
        read_model("smal-ms", "model")
