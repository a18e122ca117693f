"""Fine-tuned models leave and come back: SavedModel, tar, Hugging Face folders; and training goes on from them."""

import json
import os
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from conftest import command_environment, own_lines, run_command
from safetensors.numpy import load_file, save_file
from small_tasks import labelled_texts, write_tsv
from task_folders import LABELS, write_task_folder
from trained_models import make_config, write_run

import albert_hvd
from albert_hvd.errors import InputError
from albert_hvd.finetuning.job import prepare
from albert_hvd.finetuning.options import FineTuningOptions
from albert_hvd.finetuning.seed_training import SeedTraining
from albert_hvd.finetuning.task_export import export_task
from albert_hvd.finetuning.task_import import import_with_head
from albert_hvd.finetuning.task_model import read_task_model
from albert_hvd.model.encoder import named_variables
from albert_hvd.serving.export import export as export_model
from albert_hvd.serving.formats.sources import read_model
from albert_hvd.serving.options import ExportOptions, ImportOptions

TASKS = ["emotion", "pair_classification", "regression", "pair_regression", "pos"]
TEXTS = ["saya makan di rumah", "mereka ke sekolah", "kanak-kanak bermain bola di padang yang luas sekali"]


def inputs_of(name):
    return list(zip(TEXTS, TEXTS[1:] + TEXTS[:1])) if name.startswith("pair") else TEXTS


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """{task: its folder}"""
    return {name: write_task_folder(tmp_path_factory.mktemp(name), name, long_texts="truncate", pooling="first")
            for name in TASKS}


def export(folder, output_dir, format_name="huggingface", **changes):
    return export_task(ExportOptions(format=format_name, model=str(folder), output_dir=str(output_dir), **changes))


def bring(folder, output_dir, **changes):
    return import_with_head(ImportOptions(kind="huggingface", input=str(folder), output_dir=str(output_dir), **changes))


def assert_same_answers(folder, other, name):
    ours, theirs = (albert_hvd.load(str(path)).predict(inputs_of(name)) for path in (folder, other))
    for one, two in zip(ours, theirs, strict=True):
        shares = [record.pop("probabilities", {"": record.pop("score", 0)}) for record in (one, two)]
        assert one == two and shares[0] == pytest.approx(shares[1], abs=2e-6)


@pytest.mark.parametrize("name", TASKS)
def test_to_hugging_face_and_back_keeps_every_bit(folders, tmp_path, name):
    export(folders[name], tmp_path / "there", license="mit")
    config = json.loads((tmp_path / "there" / "config.json").read_text())
    token_level = name == "pos"
    assert config["architectures"] == ["AlbertForTokenClassification" if token_level else
                                       "AlbertForSequenceClassification"]
    assert list(config["id2label"].values()) == (["score"] if "regression" in name else LABELS)
    assert config.get("problem_type") == {"pos": None, "emotion": "single_label_classification",
                                          "pair_classification": "single_label_classification"}.get(name, "regression")
    card = (tmp_path / "there" / "README.md").read_text()
    assert 'license: "mit"' in card and ("token-classification" if token_level else "text-classification") in card
    lines = bring(tmp_path / "there", tmp_path / "back")
    assert f"the classifier, for {name} (" in lines[-1]
    for before, after in zip(read_task_model(os.path.join(folders[name], "model")),
                             read_task_model(str(tmp_path / "back" / "model")), strict=True):
        if hasattr(before, "encoder"):
            used = before.trained_variables()
            for path, variable in used.items():
                np.testing.assert_array_equal(named_variables(after)[path].numpy(), variable.numpy(), err_msg=path)
        elif hasattr(before, "labels"):
            assert (before.name, before.labels, before.max_seq_length, before.pooling, before.long_texts) == (
                after.name, after.labels, after.max_seq_length, after.pooling, after.long_texts)
        else:
            assert before.sha256 == after.sha256
    assert_same_answers(folders[name], tmp_path / "back", name)
    # The folder is a run too: its trunk is there to be trained further.
    source = read_model(str(tmp_path / "back"), "init_checkpoint")
    assert source.kind == "run" and any(path.startswith("masked_lm_head/") for path in source.missing)


@pytest.mark.parametrize("name, choices, reason", [
    ("pos", {"head": "crf"}, "AlbertForTokenClassification has no conditional random field.*or fine-tune with head=lin"),
    ("emotion", {"layers": "sum"}, "reads the last layer, and this model a sum of all.*fine-tune with layers=last"),
    ("emotion", {"pooling": "mean"}, "reads <cls> through the pooler, and this model the mean.*with pooling=first"),
    ("pos", {"pooling": "mean"}, "scores each piece by itself, and this model the mean over its words pieces"),
    ("emotion", {"config": make_config("brightmart")}, "'brightmart' cannot be exported to Hugging Face"),
])
def test_what_transformers_has_not_is_refused_and_travels_otherwise(tmp_path, name, choices, reason):
    folder = write_task_folder(tmp_path, name, **choices)
    with pytest.raises(InputError, match=reason):
        export(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export(folder, tmp_path / "saved", "saved_model")
    assert (tmp_path / "saved" / "saved_model.pb").exists()


def test_a_tar_is_read_by_predict(folders, tmp_path):
    first, second = (export(folders["emotion"], tmp_path / name, "tar", date="2020-04-10") for name in "ab")
    assert os.path.basename(first) == "albert-h16-l2-emotion-2020-04-10.tar.gz"
    with open(first, "rb") as one, open(second, "rb") as other:
        assert one.read() == other.read()
    with tarfile.open(first) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert_same_answers(folders["emotion"], tmp_path / "unpacked" / "albert-h16-l2-emotion-2020-04-10", "emotion")
    with pytest.raises(InputError, match="^output_dir=.*exists"):
        export(folders["emotion"], tmp_path / "a", "tar", date="2020-04-10")


PLAIN_TENSORFLOW = """
import sys
import numpy as np, tensorflow as tf
sys.modules["albert_hvd"] = None  # an import of it fails
batch = np.load(sys.argv[2])
predict = tf.saved_model.load(sys.argv[1]).signatures["predict"]
outputs = predict(**{name: tf.constant(batch[name]) for name in batch.files})
np.savez(sys.argv[3], **{name: output.numpy() for name, output in outputs.items()})
"""


@pytest.mark.parametrize("name, head", [("pair_classification", "linear"), ("regression", "linear"), ("pos", "crf")])
def test_a_saved_model_needs_tensorflow_alone(tmp_path, name, head):
    from albert_hvd.finetuning.batches import pad
    from albert_hvd.finetuning.evaluation import Scorer

    folder = write_task_folder(tmp_path, name, head=head)
    export(folder, tmp_path / "out", "saved_model")
    assert sorted(os.listdir(tmp_path / "out" / "assets.extra")) == ["config.json", "spiece.model", "task.json"]
    model, task, tokenizer = read_task_model(os.path.join(folder, "model"))
    inputs = [tuple(text.split()) for text in TEXTS[:2]] if task.is_tagging else inputs_of(name)[:2]
    rows = task.encode(inputs, tokenizer)
    batch = pad(rows, np.arange(2), tokenizer.pad_id)
    names = ["input_ids", "input_mask", "segment_ids", *(["positions"] if task.is_tagging else [])]
    np.savez(tmp_path / "batch.npz", **{key: batch[key] for key in names})
    subprocess.run([sys.executable, "-c", PLAIN_TENSORFLOW, "out", "batch.npz", "outputs.npz"], cwd=tmp_path,
                   env=command_environment(), check=True, timeout=200)
    outputs, scores = np.load(tmp_path / "outputs.npz"), Scorer(model, task, tokenizer.pad_id)(rows)
    is_slot = batch["weights"] > 0
    if task.is_regression:
        np.testing.assert_allclose(outputs["scores"], scores.probabilities[:, 0], rtol=1e-6)
    elif task.is_tagging:
        np.testing.assert_array_equal(outputs["tags"][is_slot], scores.labels)
        np.testing.assert_allclose(outputs["probabilities"][is_slot], scores.probabilities, atol=1e-6)
    else:
        np.testing.assert_allclose(outputs["probabilities"], scores.probabilities, atol=1e-6)


@pytest.mark.parametrize("changes, named", [
    (dict(format_name="tf1"), "format=tf1: it holds a pre-trained model"),
    (dict(tokenizer="other.model"), "tokenizer=other.model: model=.* is a fine-tuned model, which has its own"),
    (dict(format_name="tar", date="2020-13-01"), "date=2020-13-01: not a date")])
def test_flags_that_do_not_go_with_a_task_model(folders, tmp_path, changes, named):
    with pytest.raises(InputError, match=named):
        export(folders["emotion"], tmp_path / "out", **changes)
    assert not (tmp_path / "out").exists()


def test_the_commands(folders, tmp_path):
    result = run_command("export", format="huggingface", model=folders["emotion"], output_dir=tmp_path / "there")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{tmp_path / 'there'}\n", "")
    result = run_command("import_checkpoint", **{"from": "huggingface"}, input=tmp_path / "there",
                         output_dir=tmp_path / "back")
    assert result.returncode == 0 and f"{tmp_path / 'back' / 'model'}, for bin/predict" in result.stdout
    answer = run_command("predict", stdin="saya makan\n", model=tmp_path / "back")
    assert set(json.loads(answer.stdout)["probabilities"]) == set(LABELS)
    result = run_command("export", format="huggingface", model=folders["emotion"], output_dir=tmp_path / "there")
    line, = own_lines(result, "export")
    assert result.returncode == 2 and line.startswith(f"--output_dir={tmp_path / 'there'}: it exists")


def altered(folder, target, **changes):
    """A copy of an exported folder with other entries in its config.json; None removes one."""
    os.mkdir(target)
    save_file(load_file(os.path.join(folder, "model.safetensors")), os.path.join(target, "model.safetensors"))
    config = json.loads(open(os.path.join(folder, "config.json"), encoding="utf-8").read())
    config = {key: value for key, value in {**config, **changes}.items() if value is not None}
    for name, content in (("config.json", json.dumps(config).encode()),
                          ("spiece.model", open(os.path.join(folder, "spiece.model"), "rb").read())):
        with open(os.path.join(target, name), "wb") as file:
            file.write(content)
    return target


def test_a_classifier_of_someone_elses(folders, tmp_path):
    export(folders["pair_classification"], tmp_path / "there")
    plain = altered(tmp_path / "there", tmp_path / "plain", task_specific_params=None, problem_type=None)
    assert "the classifier, for classification (anger, happy, sad):" in bring(plain, tmp_path / "a")[-1]
    (plain / "tokenizer_config.json").write_text('{"model_max_length": 16}')
    bring(plain, tmp_path / "b", task="pair_classification")
    assert_same_answers(folders["pair_classification"], tmp_path / "b", "pair_classification")
    # Its rows may be as long as the model has positions, since nothing else is said.
    assert albert_hvd.load(str(tmp_path / "a")).max_seq_length == 48
    nameless = altered(tmp_path / "there", tmp_path / "nameless", id2label=None, label2id=None)
    bring(nameless, tmp_path / "c")
    assert albert_hvd.load(str(tmp_path / "c")).labels == ("LABEL_0", "LABEL_1", "LABEL_2")


@pytest.mark.parametrize("changes, options, named", [
    ({"id2label": {"0": "a", "1": "b"}}, {}, "input=.*: id2label of its config.json has 2 names, and its classifier 3"),
    ({}, {"task": "tagging"}, "task=tagging: the classifier of .* is for classification or pair_classification"),
    ({}, {"task": "regression"}, "task=regression: the classifier of .* is for classification or pair_class")])
def test_a_classifier_that_does_not_fit(folders, tmp_path, changes, options, named):
    export(folders["emotion"], tmp_path / "there")
    with pytest.raises(InputError, match=named):
        bring(altered(tmp_path / "there", tmp_path / "altered", **changes), tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("changes, reason", [
    ({"problem_type": "multi_label_classification"}, "each text has several labels"),
    ({"architectures": ["AlbertForMultipleChoice"]}, "its config.json names AlbertForMultipleChoice"),
    ({"architectures": 3}, "its config.json names None"), ({"architectures": [[]]}, "its config.json names None")])
def test_a_classifier_that_no_task_has_is_left_out_by_name(folders, tmp_path, changes, reason):
    export(folders["emotion"], tmp_path / "there")
    lines = bring(altered(tmp_path / "there", tmp_path / "altered", **changes), tmp_path / "out")
    assert lines[-1].startswith("left out: the classifier of") and reason in lines[-1]
    assert not (tmp_path / "out" / "model").exists() and (tmp_path / "out" / "checkpoints").exists()


@pytest.mark.parametrize("settings", [3, {"albert_hvd": []}, {"albert_hvd": {"task": [], "max_seq_length": "x"}}])
def test_settings_that_are_none_are_left_alone(folders, tmp_path, settings):
    export(folders["emotion"], tmp_path / "there")
    lines = bring(altered(tmp_path / "there", tmp_path / "altered", task_specific_params=settings), tmp_path / "out")
    assert "for classification (anger, happy, sad)" in lines[-1]


@pytest.mark.parametrize("weight, bias", [((3, 15), (3,)), ((3, 16), (2,)), ((3,), (3,)), ((0, 16), (0,))])
def test_a_classifier_of_another_size_is_refused(folders, tmp_path, weight, bias):
    export(folders["emotion"], tmp_path / "there")
    path = tmp_path / "there" / "model.safetensors"
    save_file({**load_file(path), "classifier.weight": np.zeros(weight, np.float32),
               "classifier.bias": np.zeros(bias, np.float32)}, path)
    with pytest.raises(InputError, match="its classifier has the shapes .* and its config a hidden size of 16"):
        bring(tmp_path / "there", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_task_of_a_model_without_classifier_is_refused(tmp_path):
    run = write_run(tmp_path / "run", make_config())
    there = export_model("huggingface", run, str(tmp_path / "there"))
    with pytest.raises(InputError, match="^task=classification: .* has no classifier; leave it out"):
        bring(there, tmp_path / "out", task="classification")


def job_of(tmp_path, init_checkpoint, labels=LABELS, **changes):
    names = dict(zip(("gembira", "marah", "sedih"), labels))
    train = write_tsv(tmp_path / "train.tsv", [(names[label], text) for label, text in labelled_texts(30)])
    return prepare(FineTuningOptions(task="emotion", train_file=train, init_checkpoint=init_checkpoint,
                                     max_seq_length=16, output_dir=str(tmp_path / "out"), **changes))


def test_training_goes_on_from_a_task_model(folders, tmp_path):
    (tmp_path / "same").mkdir()
    job = job_of(tmp_path / "same", folders["emotion"])
    assert job.first_weights.origin == f"weights of {folders['emotion']} (with its head)"
    arrays = load_file(os.path.join(folders["emotion"], "model", "model.safetensors"))
    training = SeedTraining(job, 1, str(tmp_path / "seed"))
    for path, variable in training._variables.items():
        np.testing.assert_array_equal(variable.numpy(), arrays[path], err_msg=path)
    training.close()


@pytest.mark.parametrize("name, labels", [("emotion", ["x", "y", "z"]), ("pos", LABELS),
                                          ("pair_classification", LABELS)])
def test_another_head_is_left_out_and_the_trunk_taken(folders, tmp_path, name, labels):
    job = job_of(tmp_path, os.path.join(folders[name], "model"), labels)
    assert f"(the head, for 3 labels of {name}, is left out)" in job.first_weights.origin
    arrays = load_file(os.path.join(folders[name], "model", "model.safetensors"))
    assert job.first_weights.arrays.keys() == {path for path in arrays if path.startswith("encoder/")}
    for path, array in job.first_weights.arrays.items():
        np.testing.assert_array_equal(array, arrays[path])


def test_a_task_model_has_its_own_vocabulary(folders, tmp_path):
    with pytest.raises(InputError, match="^tokenizer=other.model: init_checkpoint=.* is a fine-tuned model"):
        job_of(tmp_path, folders["emotion"], tokenizer="other.model")
    (tmp_path / "damaged").mkdir()
    for name in ("task.json", "model.safetensors"):
        (tmp_path / "damaged" / name).write_text("{}")
    with pytest.raises(InputError, match="^init_checkpoint=.*damaged: task.json is not of the format"):
        job_of(tmp_path, str(tmp_path / "damaged"))
