"""What is checked before a model is made, and that a folder holds one job."""

import json

import pytest
from small_tasks import labelled_texts, tagged_sentences, write_conll, write_tsv
from trained_models import make_config, write_run

from albert_hvd.errors import InputError
from albert_hvd.finetuning.job import describe, prepare
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
    ("emotion", {"max_seq_length": 64}, "--max_seq_length=64: the model has 48 positions"),
    ("emotion", {"head": "crf"}, "--head=crf: --task=emotion has none such; give linear"),
    ("pos", {"head": "crf", "class_weights": "balanced"}, "--class_weights=balanced goes with --head=linear"),
    ("emotion", {"baselines": "oracle"}, "--baselines=oracle"),
    ("emotion", {"init_checkpoint": None}, "--bert_config_file and --tokenizer missing"),
    ("emotion", {"valid_fraction": 0.0}, "--valid_fraction=0"),
    ("emotion", {"test_file": "nowhere.tsv"}, "--test_file=nowhere.tsv: no such file"),
    ("pos", {"valid_file": "valid.csv"}, "--valid_file=valid.csv: files of tagged sentences end in"),
])
def test_bad_input_is_named_and_leaves_nothing(files, tmp_path, task, changes, named):
    with pytest.raises(InputError) as error:
        prepare(make_options(files, tmp_path / "out", task, **changes))
    assert named in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_one_label_is_too_few(files, tmp_path):
    path = write_tsv(tmp_path / "one.tsv", [("marah", "saya"), ("marah", "dia")])
    with pytest.raises(InputError, match="the labels are marah; two or more"):
        prepare(make_options(files, tmp_path / "out", train_file=path, valid_file=path))


def test_a_folder_holds_one_job(files, tmp_path):
    options = make_options(files, tmp_path / "out", seeds=(1,))
    prepare(options)
    prepare(make_options(files, tmp_path / "out", seeds=(1, 2), log_every_steps=7, name="other"))
    assert json.loads((tmp_path / "out" / "flags.json").read_text())["seeds"] == [1, 2]
    for changes, named in (({"learning_rate": 0.5}, "--learning_rate: 0.5 now and 0.001 in the run that --output_dir="),
                           ({"test_file": options.train_file}, "--test_file: ")):
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
    with pytest.raises(InputError, match="--output_dir: cannot make the folder"):
        prepare(make_options(files, tmp_path / "out"))
