"""What is checked before a model is made, that a folder holds one job, and where fine-tuning begins.

It begins with any kind of pre-trained model, or random weights; never with another vocabulary.
"""

import json

import numpy as np
import pytest
from small_corpus import make_tokenizer
from small_tasks import labelled_texts, tagged_sentences, write_conll, write_tsv
from trained_models import make_config, write_kinds, write_run

from albert_hvd.data.text.tokenizer_training import train_tokenizer
from albert_hvd.errors import InputError
from albert_hvd.finetuning.job import describe, prepare, read_first_weights
from albert_hvd.finetuning.options import FineTuningOptions


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    write_run(folder / "run", make_config())
    write_tsv(folder / "train.tsv", labelled_texts(30))
    write_conll(folder / "train.conll", tagged_sentences(30))
    return folder


def make_options(files, output_dir, task="emotion", **changes):
    train = "train.conll" if task in ("pos", "tagging") else "train.tsv"
    return FineTuningOptions(**{"task": task, "train_file": str(files / train), "output_dir": str(output_dir),
                                "init_checkpoint": str(files / "run"), "max_seq_length": 24, **changes})


def test_a_job(files, tmp_path):
    job = prepare(make_options(files, tmp_path / "out", baselines="majority"))
    assert job.task.labels == ("gembira", "marah", "sedih") and job.baselines == ["majority"]
    assert [name for name, _ in job.parts()] == ["train", "valid"]
    assert len(job.data.train.examples) + len(job.data.valid.examples) == 30
    table = describe(job, 2, "CPU")
    assert "2 ranks on CPU" in table and "3 examples, 3 labels of" in table and "(split off)" in table


@pytest.mark.parametrize("task, changes, named", [
    ("emotion", {"max_seq_length": 64}, "max_seq_length=64: the model has 48 positions"),
    ("emotion", {"head": "crf"}, "head=crf: task=emotion has none such; give linear"),
    ("pos", {"head": "crf", "class_weights": "balanced"}, "class_weights=balanced goes with head=linear"),
    ("emotion", {"baselines": "oracle"}, "baselines=oracle"),
    ("emotion", {"init_checkpoint": None}, "bert_config_file and tokenizer missing"),
    ("emotion", {"valid_fraction": 0.0}, "valid_fraction=0"),
    ("emotion", {"text_pair_column": "text_b"}, "text_pair_column=text_b: task=emotion has no second text"),
    ("emotion", {"test_file": "nowhere.tsv"}, "test_file=nowhere.tsv: no such file"),
    ("pos", {"valid_file": "valid.csv"}, "valid_file=valid.csv: files of tagged sentences end in"),
])
def test_bad_input_is_named_and_leaves_nothing(files, tmp_path, task, changes, named):
    with pytest.raises(InputError) as error:
        prepare(make_options(files, tmp_path / "out", task, **changes))
    assert named in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_rare_label_is_one_whatever_the_seed_draws(files, tmp_path):
    texts = [*labelled_texts(30), ("takut", "ngeri sekali"), ("malu", "segan sekali")]
    path = write_tsv(tmp_path / "rare.tsv", texts)
    for seed in range(12):
        job = prepare(make_options(files, tmp_path / str(seed), train_file=path, split_seed=seed))
        assert job.task.labels == ("gembira", "malu", "marah", "sedih", "takut")
        assert {label for example in job.data.train.examples for label in example.labels} == set(job.task.labels)


def test_numbers_with_a_file_of_names(files, tmp_path):
    names = sorted({label for label, _ in labelled_texts(30)})
    path = write_tsv(tmp_path / "ids.tsv", [(str(names.index(label)), text) for label, text in labelled_texts(30)])
    (tmp_path / "names.txt").write_text("\n".join(names))
    job = prepare(make_options(files, tmp_path / "out", train_file=path, labels_file=str(tmp_path / "names.txt")))
    assert job.task.labels == tuple(names)
    assert {example.labels[0] for example in job.data.train.examples} == set(names)


def test_columns_by_name(files, tmp_path):
    rows = [("id", "kelas_emosi", "isi"), *((str(i), *pair) for i, pair in enumerate(labelled_texts(30)))]
    (tmp_path / "a.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    job = prepare(make_options(files, tmp_path / "out", train_file=str(tmp_path / "a.csv"), text_column="isi",
                               label_column="kelas_emosi"))
    assert job.task.labels == ("gembira", "marah", "sedih") and len(job.data.train.examples) == 27


def test_one_label_is_too_few(files, tmp_path):
    path = write_tsv(tmp_path / "one.tsv", [("marah", "saya"), ("marah", "dia")])
    with pytest.raises(InputError, match="the labels are marah; two or more"):
        prepare(make_options(files, tmp_path / "out", train_file=path, valid_file=path))


def test_a_folder_holds_one_job(files, tmp_path):
    options = make_options(files, tmp_path / "out", seeds=(1,))
    prepare(options)
    prepare(make_options(files, tmp_path / "out", seeds=(1, 2), log_every_steps=7, name="other"))
    assert json.loads((tmp_path / "out" / "flags.json").read_text())["seeds"] == [1, 2]
    for changes, named in (({"learning_rate": 0.5}, "learning_rate: 0.5 now and 0.001 in the run that output_dir="),
                           ({"test_file": options.train_file}, "test_file: ")):
        with pytest.raises(InputError) as error:
            prepare(make_options(files, tmp_path / "out", **changes))
        assert named in str(error.value)


def test_data_that_has_changed_is_noticed(files, tmp_path):
    path = write_tsv(tmp_path / "train.tsv", labelled_texts(30))
    prepare(make_options(files, tmp_path / "out", train_file=path))
    write_tsv(tmp_path / "train.tsv", labelled_texts(30, seed=5))
    with pytest.raises(InputError, match="train.tsv: it has changed since the run that"):
        prepare(make_options(files, tmp_path / "out", train_file=path))


def test_a_file_in_the_place_of_the_folder(files, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(InputError, match="^output_dir: cannot make the folder"):
        prepare(make_options(files, tmp_path / "out"))


def read(**options):
    return read_first_weights(FineTuningOptions(task="pos", train_file="x", output_dir="y", **options))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return write_kinds(tmp_path_factory.mktemp("kinds"), make_config())


@pytest.fixture(scope="module")
def other_tokenizer(tmp_path_factory):
    """As large as the models' own."""
    lines = [f"{a}{b} {b}{a}{b}" for a in "abcdefghijklmnop" for b in ("la", "ku", "si", "to", "me", "ra")] * 3
    return train_tokenizer(lines, str(tmp_path_factory.mktemp("other") / "other"), vocab_size=110).path


def test_every_kind_of_folder_gives_the_same_encoder(folders):
    first, *others = (read(init_checkpoint=folder) for folder in folders)
    assert first.name == "run" and set(first.arrays) and all(path.startswith("encoder/") for path in first.arrays)
    for other in others:
        assert other.config == first.config and other.tokenizer.sha256 == first.tokenizer.sha256
        assert set(other.arrays) == set(first.arrays)
        for path, array in first.arrays.items():
            np.testing.assert_array_equal(other.arrays[path], array)


def test_random_weights(tmp_path):
    tokenizer = make_tokenizer(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(make_config().to_dict()))
    weights = read(bert_config_file=str(tmp_path / "config.json"), tokenizer=tokenizer.path)
    assert (weights.arrays, weights.name, weights.config) == ({}, "random weights", make_config())
    with pytest.raises(InputError, match="tokenizer missing"):
        read(bert_config_file=str(tmp_path / "config.json"))
    (tmp_path / "config.json").write_text(json.dumps(make_config(vocab_size=90).to_dict()))
    with pytest.raises(InputError, match="110 pieces, but the config's vocab_size is 90"):
        read(bert_config_file=str(tmp_path / "config.json"), tokenizer=tokenizer.path)


def test_another_vocabulary_of_the_same_size_is_refused(folders, other_tokenizer):
    for folder in folders:
        with pytest.raises(InputError, match="not the vocabulary that init_checkpoint="):
            read(init_checkpoint=folder, tokenizer=other_tokenizer)


def test_a_run_knows_its_vocabulary_without_the_file(tmp_path, other_tokenizer):
    """bin/pretrain notes the hashes of the vocabularies of its records."""
    tokenizer = make_tokenizer(tmp_path)
    run = write_run(tmp_path / "run", make_config(), tokenizer=False)
    with pytest.raises(InputError, match="its vocabulary is not known"):
        read(init_checkpoint=run)
    read(init_checkpoint=run, tokenizer=other_tokenizer)  # nothing is known of it
    run = write_run(tmp_path / "noted", make_config(), tokenizer=False, tokenizers=[tokenizer.sha256])
    assert read(init_checkpoint=run, tokenizer=tokenizer.path).tokenizer.sha256 == tokenizer.sha256
    with pytest.raises(InputError, match="not the vocabulary"):
        read(init_checkpoint=run, tokenizer=other_tokenizer)


def test_another_config_is_refused(folders, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(make_config(hidden_size=32).to_dict()))
    with pytest.raises(InputError, match="^bert_config_file=.*not the config of"):
        read(init_checkpoint=folders[0], bert_config_file=str(tmp_path / "config.json"))
    with pytest.raises(InputError, match="^init_checkpoint=.*no such file or folder"):
        read(init_checkpoint=str(tmp_path / "nowhere"))
