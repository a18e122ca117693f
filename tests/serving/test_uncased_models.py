"""Models of uncased vocabularies: the form of their texts is kept and applied wherever they are read and written."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
from small_corpus import make_documents, write_documents
from trained_models import make_config, write_run

import albert_hvd
from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.text.text_form import TextForm
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.data.text.tokenizer_training import train_tokenizer
from albert_hvd.errors import InputError
from albert_hvd.finetuning.task_model import TaskModel, copy_task_model, read_task_model, write_task_model
from albert_hvd.finetuning.tasks import task_class
from albert_hvd.serving.export import export
from albert_hvd.serving.import_model import import_checkpoint
from albert_hvd.serving.options import ImportOptions
from albert_hvd.training.options import PretrainingOptions
from albert_hvd.training.pretrain import _check
from conftest import run_command
from pretraining_runs import flags

UNCASED = TextForm(do_lower_case=True, keep_accents=False, straight_quotes=True)
TEXTS = ["Saya MAKAN di Málaysia", "``Kanak-kanak'' bermain", "KAMI"]
PLAIN = ["saya makan di malaysia", '"kanak-kanak" bermain', "kami"]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    lines = [line.lower() for document in make_documents(60) for line in document]
    return train_tokenizer(lines, str(tmp_path_factory.mktemp("vocabulary") / "small"), vocab_size=110)


@pytest.fixture(scope="module")
def huggingface(vocabulary, tmp_path_factory):
    """A folder as transformers 4 saved uncased models: nothing in it says so."""
    folder = tmp_path_factory.mktemp("huggingface")
    run = write_run(folder / "run", make_config(), tokenizer=False)
    (folder / "run" / "spiece.model").write_bytes(vocabulary.model)
    export("huggingface", run, str(folder / "model"))
    os.remove(folder / "model" / "tokenizer.json")
    (folder / "model" / "tokenizer_config.json").write_text('{"model_max_length": 48}')
    return str(folder / "model")


def check_form(path):
    """That a model's answers do not depend on the form of its texts."""
    model = albert_hvd.load(path)
    np.testing.assert_array_equal(model.encode(TEXTS), model.encode(PLAIN))
    (masks,), (plain,) = model.fill_mask("Saya <mask>KAN"), model.fill_mask("saya <mask>kan")
    assert [found[:2] for found in masks] == [found[:2] for found in plain]
    assert masks[0][2].startswith("Saya") and masks[0][2].endswith("KAN")
    return model.encode(TEXTS)


@pytest.mark.parametrize("format_name", ["run", "huggingface", "tf1", "import"])
def test_the_form_goes_with_the_model(huggingface, tmp_path, format_name):
    expected = check_form(huggingface)
    run = str(tmp_path / "run")
    import_checkpoint(ImportOptions(kind="huggingface", input=huggingface, output_dir=run))
    path = run if format_name in ("run", "import") else str(export(format_name, run, str(tmp_path / format_name)))
    if format_name == "import":
        archive = export("tar", run, str(tmp_path / "tar"))
        path = str(tmp_path / "again")
        import_checkpoint(ImportOptions(kind="tf1", input=archive, output_dir=path))
    np.testing.assert_allclose(check_form(path), expected, atol=1e-6)


def test_a_saved_model_keeps_the_form_beside_its_vocabulary(huggingface, tmp_path):
    export("saved_model", huggingface, str(tmp_path / "out"))
    assert Tokenizer.from_file(str(tmp_path / "out" / "assets.extra" / "spiece.model")).text_form == UNCASED


def test_googles_checkpoints_show_it_by_their_vocabulary(huggingface, vocabulary, tmp_path):
    """Nothing else in the published folders says that they are uncased."""
    folder = export("tf1", huggingface, str(tmp_path / "tf1"))
    os.remove(tmp_path / "tf1" / "tokenizer_config.json")
    check_form(folder)
    cased = write_run(tmp_path / "cased", make_config())
    path = export("tf1", cased, str(tmp_path / "cased_tf1"))
    model = albert_hvd.load(path)
    assert not np.array_equal(model.encode(["Malaysia"]), model.encode(["malaysia"]))
    assert not (tmp_path / "cased_tf1" / "tokenizer_config.json").exists()


def test_a_run_of_text_as_it_is_stays_so(vocabulary, tmp_path):
    """Even with a vocabulary that has no capitals, for the model was trained on what is."""
    run = write_run(tmp_path / "run", make_config(), tokenizer=False)
    (tmp_path / "run" / "spiece.model").write_bytes(vocabulary.model)
    for path in (run, export("tf1", run, str(tmp_path / "tf1")),
                 export("huggingface", run, str(tmp_path / "huggingface"))):
        model = albert_hvd.load(path)
        assert not np.array_equal(model.encode(TEXTS), model.encode(PLAIN))


def test_a_task_model_keeps_the_form(vocabulary, tmp_path):
    task = task_class("emotion")(["a", "b"], max_seq_length=40)
    tokenizer = vocabulary.with_text_form(UNCASED)
    write_task_model(str(tmp_path / "model"), TaskModel(make_config(), task, seed=4), task, tokenizer)
    copy_task_model(str(tmp_path / "model"), str(tmp_path / "copy"))
    read = read_task_model(str(tmp_path / "copy"))[2]
    assert read.text_form == UNCASED
    assert read.encode_lines(TEXTS)[0].tolist() == vocabulary.encode_lines(PLAIN)[0].tolist()


@pytest.fixture(scope="module")
def records(huggingface, tmp_path_factory):
    """Records made with the Hugging Face folder's vocabulary."""
    folder = tmp_path_factory.mktemp("records")
    text = write_documents(folder / "a.txt", [[line.upper() for line in document] for document in make_documents(40)])
    for name, tokenizer in (("uncased", f"{huggingface}/spiece.model"), ("plain", str(folder / "plain.model"))):
        shutil.copy(f"{huggingface}/spiece.model", folder / "plain.model")
        build(str(text), tokenizer, str(folder / name / "a.tfrecord"), ExampleOptions(16, 3, dupe_factor=1),
              report=lambda line: None)
    (folder / "config.json").write_text(json.dumps(make_config().to_dict()))
    return folder


def test_training_goes_on_in_the_form_of_the_first_weights(huggingface, records, tmp_path):
    result = run_command("pretrain", **flags(records, str(tmp_path / "run"), init_checkpoint=huggingface,
                                             input_file=f"{records}/uncased/a.tfrecord", num_train_steps=1,
                                             num_warmup_steps=0))
    assert result.returncode == 0, result.stderr
    check_form(str(tmp_path / "run"))
    options = PretrainingOptions(
        input_file=f"{records}/uncased/a.tfrecord", output_dir=str(tmp_path / "other"), max_seq_length=16,
        max_predictions_per_seq=3, bert_config_file=f"{records}/config.json", init_checkpoint=huggingface)
    _check(options)
    plain = f"{records}/plain/a.tfrecord"
    with pytest.raises(InputError, match="trained on text in lower case without accents, .* made of text as it is"):
        _check(dataclasses.replace(options, input_file=plain))
    with pytest.raises(InputError, match="^eval_input_file=.*another vocabulary"):
        _check(dataclasses.replace(options, eval_input_file=plain))


def test_transformers_gives_the_same_ids(huggingface, vocabulary, tmp_path):
    pytest.importorskip("torch", reason="PyTorch is not installed (extra: parity)")
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra: parity)")
    own = Tokenizer.from_file(f"{huggingface}/spiece.model")
    out = export("huggingface", huggingface, str(tmp_path / "out"))
    theirs = transformers.AutoTokenizer.from_pretrained(out)
    lines = [line for document in make_documents(20) for line in document]
    lines += [line.upper() for line in lines[:50]] + [TEXTS[0], "ÉÀÇ ﬁ ΣΑΣ İ e\u0301 ½", "dia: ``a''  b "]
    assert theirs(lines, add_special_tokens=False)["input_ids"] == [list(ids) for ids in own.encode_lines(lines)]
