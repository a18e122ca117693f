"""bin/import_checkpoint: what comes out works as a run, and nothing half-made is left."""

import dataclasses
import json
import os
import tarfile

import numpy as np
import pytest
from safetensors.numpy import load_file

from albert_hvd.data.text.tokenizer_training import train_tokenizer
from albert_hvd.errors import InputError
from albert_hvd.model.encoder import named_variables
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.serving.formats.sources import read_model
from albert_hvd.serving.formats.tf1 import write_checkpoint
from albert_hvd.serving.import_model import import_checkpoint
from albert_hvd.serving.options import ImportOptions
from conftest import own_lines, run_command
from model_folders import FOLDERS, write_huggingface, write_run
from tf1_checkpoints import random_arrays, same_arrays, write_config


def make_tf1(folder, config, parts=("encoder/", "masked_lm_head/", "sentence_head/")):
    """A TF1 folder with these parts of a random model; returns their arrays."""
    arrays = {path: array for path, array in random_arrays(config).items() if path.startswith(tuple(parts))}
    write_checkpoint(str(folder / "model.ckpt"), arrays, config)
    write_config(folder, config)
    return arrays


def options(tmp_path, kind="tf1", source="model", **changes):
    return ImportOptions(kind, str(tmp_path / source), str(tmp_path / "run"), **changes)


def refusal(tmp_path, options):
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(InputError) as error:
        import_checkpoint(options)
    assert sorted(os.listdir(tmp_path)) == before, "nothing is left behind"
    return str(error.value)


@pytest.fixture
def vocabulary(tmp_path_factory):
    """A SentencePiece model; returns (path, number of pieces)."""
    prefix = tmp_path_factory.mktemp("vocabulary") / "malay"
    words = "saya suka makan nasi lemak di kedai ini setiap pagi bersama kawan lama yang baik".split()
    lines = [" ".join(words[i:] + words[:i]) for i in range(len(words))]
    train_tokenizer(lines, str(prefix), vocab_size=50, input_sentence_size=1000)
    return f"{prefix}.model", 50


@pytest.mark.parametrize("architecture", sorted(FOLDERS))
def test_the_reference_checkpoints_come_in(architecture, fixtures, tmp_path):
    folder = fixtures / FOLDERS[architecture]
    lines = import_checkpoint(ImportOptions("tf1", str(folder / "model.ckpt"), str(tmp_path / "run")))
    run = read_model(str(tmp_path / "run"), "input")
    assert run.kind == "run" and run.config.architecture == architecture
    assert same_arrays(run.arrays, read_model(str(folder), "input").arrays)
    assert f"architecture {architecture}" in lines[0] and not any("new weights" in line for line in lines)


@pytest.mark.parametrize("named", ["albert", "brightmart", None])
@pytest.mark.parametrize("as_a_flag", [False, True])
def test_a_config_that_names_another_architecture_is_overruled_aloud(named, as_a_flag, tiny_config, tmp_path, capsys):
    config = dataclasses.replace(tiny_config, architecture="brightmart")
    make_tf1(tmp_path / "model", config)
    path = tmp_path / "model" / "albert_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **({"architecture": named} if named else {})}))
    lines = import_checkpoint(options(tmp_path, bert_config_file=str(path) if as_a_flag else None))
    assert "(architecture brightmart)" in lines[0]
    warnings = capsys.readouterr().err.splitlines()
    assert len(warnings) == (named == "albert")
    for line in warnings:
        assert line.startswith("warning: albert_config.json: architecture = 'albert', but") and "'brightmart'" in line


def test_missing_parts_begin_as_a_new_model_would(tiny_config, tmp_path):
    arrays = make_tf1(tmp_path / "model", tiny_config, parts=["encoder/embeddings/", "encoder/layer/"])
    lines = import_checkpoint(options(tmp_path, seed=3))
    for name in ("pooler", "masked-LM head", "sentence head"):
        assert sum(f"the {name}; new weights from seed=3" in line for line in lines) == 1
    new = named_variables(AlbertPretrainer(tiny_config, 3))
    weights = load_file(tmp_path / "run" / "checkpoints" / "step_00000000" / "weights.safetensors")
    for path, variable in new.items():
        np.testing.assert_array_equal(weights[path], arrays.get(path, variable.numpy()))
    # Random heads are for training on; nobody takes them for the model's own.
    run = read_model(str(tmp_path / "run"), "input")
    assert same_arrays(run.arrays, arrays) and sorted(run.missing) == sorted(set(new) - set(arrays))


def test_a_hugging_face_folder_with_its_vocabulary(tiny_config, vocabulary, tmp_path):
    path, _ = vocabulary
    (tmp_path / "model").mkdir()
    arrays = random_arrays(tiny_config)
    write_huggingface(tmp_path / "model", arrays, tiny_config)
    import_checkpoint(options(tmp_path, "huggingface", tokenizer=path))
    assert sorted(os.listdir(tmp_path / "run")) == ["checkpoints", "config.json", "spiece.model"]
    assert (tmp_path / "run" / "spiece.model").read_bytes() == open(path, "rb").read()
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == tiny_config.to_dict()
    assert same_arrays(read_model(str(tmp_path / "run"), "input").arrays, arrays)


def test_a_vocabulary_of_another_size_is_refused(tiny_config, vocabulary, tmp_path):
    make_tf1(tmp_path / "model", dataclasses.replace(tiny_config, vocab_size=60))
    assert "50 pieces, the model has 60" in refusal(tmp_path, options(tmp_path, tokenizer=vocabulary[0]))


def test_an_archive_is_unpacked_and_removed(tiny_config, tmp_path):
    arrays = make_tf1(tmp_path / "model", tiny_config)
    with tarfile.open(tmp_path / "albert.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "model", "downloads/albert_base")
    import_checkpoint(options(tmp_path, source="albert.tar.gz"))
    assert same_arrays(read_model(str(tmp_path / "run"), "input").arrays, arrays)
    assert sorted(os.listdir(tmp_path)) == ["albert.tar.gz", "model", "run"]


def test_a_hostile_archive_leaves_nothing(tmp_path):
    with tarfile.open(tmp_path / "albert.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../evil"))
    assert "outside the folder" in refusal(tmp_path, options(tmp_path, source="albert.tar.gz"))


def test_an_archive_without_a_model_is_named_itself(tmp_path):
    (tmp_path / "empty").mkdir()
    for name, mode in (("empty.tar.gz", "w:gz"), ("empty.tar", "w")):
        with tarfile.open(tmp_path / name, mode) as archive:
            archive.add(tmp_path / "empty", "empty")
    message = refusal(tmp_path, options(tmp_path, source="empty.tar.gz"))
    assert message.startswith(f"input={tmp_path}/empty.tar.gz") and "partial" not in message
    assert "compress it with gzip" in refusal(tmp_path, options(tmp_path, source="empty.tar"))


def test_from_must_say_what_is_there(tiny_config, tmp_path):
    make_tf1(tmp_path / "model", tiny_config)
    assert "from=huggingface" in refusal(tmp_path, options(tmp_path, "huggingface"))
    write_run(tmp_path / "own", random_arrays(tiny_config), tiny_config)
    assert "a run of this program already" in refusal(tmp_path, options(tmp_path, source="own"))


def test_flags_and_folders_that_do_not_fit(tiny_config, tmp_path):
    make_tf1(tmp_path / "model", tiny_config)
    config = str(tmp_path / "model" / "albert_config.json")
    assert "leave the flag out" in refusal(tmp_path, options(tmp_path, "huggingface", bert_config_file=config))
    assert "no such file or folder" in refusal(tmp_path, options(tmp_path, source="absent"))
    (tmp_path / "run").mkdir()
    import_checkpoint(options(tmp_path, bert_config_file=config))  # an empty folder is taken
    assert "holds something" in refusal(tmp_path, options(tmp_path))


def test_the_command_and_what_continues_from_it(training_files, tiny_config, tmp_path):
    make_tf1(tmp_path / "model", tiny_config, parts=["encoder/"])
    result = run_command("import_checkpoint", **{"from": "tf1", "input": str(tmp_path / "model"),
                                                 "output_dir": str(tmp_path / "run")})
    assert result.returncode == 0 and "the masked-LM head; new weights" in result.stdout, result.stderr
    shared = {"bert_config_file": str(tmp_path / "run" / "config.json"), "max_seq_length": 16,
              "max_predictions_per_seq": 3}
    result = run_command("validate", input_file=str(training_files / "eval.tfrecord"), eval_batch_size=4,
                         output_dir=str(tmp_path / "run"), **shared)
    assert result.returncode == 0 and "global_step = 0" in result.stdout, result.stderr
    result = run_command("pretrain", input_file=str(training_files / "train-*.tfrecord"), train_batch_size=4,
                         num_train_steps=1, num_warmup_steps=0, output_dir=str(tmp_path / "next"),
                         init_checkpoint=str(tmp_path / "run"), **shared)
    assert result.returncode == 0 and f"weights of {tmp_path / 'run'}" in result.stdout, result.stderr


def test_the_command_refuses_in_one_line(tiny_config, tmp_path):
    make_tf1(tmp_path / "model", tiny_config)
    result = run_command("import_checkpoint", **{"from": "huggingface", "input": str(tmp_path / "model"),
                                                 "output_dir": str(tmp_path / "run")})
    assert result.returncode == 2 and result.stdout == ""
    assert len(own_lines(result, "import_checkpoint")) == 1 and "--from=huggingface" in result.stderr
    assert "Traceback" not in result.stderr and os.listdir(tmp_path) == ["model"]
