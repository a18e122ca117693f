"""What `bin/pretrain` refuses before it makes a model: one line with the flag or file and the fix.

Exit codes and the silence of the other ranks are tests/parallel's; here every case is looked at.
"""

import dataclasses
import json

import numpy as np
import pytest

from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.training.options import PretrainingOptions
from albert_hvd.training.pretrain import _check
from conftest import random_record
from small_corpus import make_documents, make_tokenizer, write_documents


@pytest.fixture
def options(training_files, tmp_path):
    return PretrainingOptions(
        input_file=f"{training_files}/train-*.tfrecord", output_dir=str(tmp_path / "out"),
        bert_config_file=f"{training_files}/config.json", max_seq_length=16, max_predictions_per_seq=3)


def refusal(options, **changes):
    with pytest.raises(InputError) as error:
        _check(dataclasses.replace(options, **changes))
    message = str(error.value)
    assert "\n" not in message
    return message


def test_good_input_is_accepted(options):
    assert _check(options).vocab_size == 50


@pytest.mark.parametrize("flag", ["input_file", "eval_input_file"])
@pytest.mark.parametrize("value", ["nowhere.tfrecord", "nowhere-*.tfrecord"])
def test_missing_files(options, flag, value):
    assert f"{flag}={value}" in refusal(options, **{flag: value})


def test_empty_file(options, tmp_path):
    (tmp_path / "empty.tfrecord").write_bytes(b"")
    assert "empty.tfrecord" in refusal(options, input_file=str(tmp_path / "empty.tfrecord"))


def test_records_of_another_length(options):
    message = refusal(options, max_seq_length=12)
    assert "train-0.tfrecord" in message and "16" in message and "max_seq_length" in message
    message = refusal(options, max_predictions_per_seq=5)
    assert "3" in message and "max_predictions_per_seq" in message


def test_ids_beyond_the_vocabulary(options, training_files, tmp_path):
    config = {**json.loads((training_files / "config.json").read_text()), "vocab_size": 50}
    path = tmp_path / "large.tfrecord"
    with RecordWriter(str(path)) as writer:
        record = random_record(np.random.default_rng(0))
        record["input_ids"][0] = 77
        writer.write(record)
    message = refusal(options, input_file=str(path))
    assert "large.tfrecord" in message and "77" in message and str(config["vocab_size"]) in message


@pytest.mark.parametrize("text, named", [('{"vocab_size": 50, "hiden": 1}', "'hiden'"), ("[]", "list"), ("{", "JSON")])
def test_wrong_config(options, tmp_path, text, named):
    (tmp_path / "wrong.json").write_text(text)
    message = refusal(options, bert_config_file=str(tmp_path / "wrong.json"))
    assert named in message and "wrong.json" in message


def test_output_dir_that_cannot_be_made(options, tmp_path):
    (tmp_path / "a_file").write_text("")
    assert "a_file" in refusal(options, output_dir=str(tmp_path / "a_file" / "out"))


@pytest.mark.parametrize("changes, named", [
    ({"max_seq_length": 600}, "max_position_embeddings = 16"),
    ({"num_warmup_steps": 11, "num_train_steps": 10}, "num_warmup_steps=11"),
    ({"eval_every_steps": 5}, "eval_input_file")])
def test_flags_that_contradict(options, changes, named):
    assert named in refusal(options, **changes)


def test_more_gpus_than_the_one_rank_is_a_warning(options, capsys):
    _check(dataclasses.replace(options, num_gpu_cores=3))
    assert "num_gpu_cores=3" in capsys.readouterr().err


@pytest.fixture
def masked_records(tmp_path):
    """Options of a run on records that were masked as n-grams at 0.3."""
    tokenizer = make_tokenizer(tmp_path)
    text = write_documents(tmp_path / "a.txt", make_documents(40))
    build(str(text), tokenizer.path, str(tmp_path / "a.tfrecord"),
          ExampleOptions(16, 3, dupe_factor=1, masked_lm_prob=0.3, masking="ngram"), report=lambda line: None)
    config = AlbertConfig(vocab_size=110, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                          intermediate_size=32, max_position_embeddings=16)
    (tmp_path / "config.json").write_text(json.dumps(config.to_dict()))
    return PretrainingOptions(
        input_file=f"{tmp_path}/a.tfrecord", output_dir=str(tmp_path / "out"), max_seq_length=16,
        bert_config_file=f"{tmp_path}/config.json", max_predictions_per_seq=3)


@pytest.mark.parametrize("changes, line", [
    ({}, ""), ({"masked_lm_prob": 0.3, "masking": "ngram"}, ""),
    ({"masking": "token", "masked_lm_prob": 0.2, "dynamic_masking": True}, ""),
    ({"masked_lm_prob": 0.15}, "note: no effect of masked_lm_prob=0.15: the records of input_file decide, which were "
                               "masked with masked_lm_prob = 0.3; dynamic_masking would mask them anew\n"),
    ({"masking": "token", "masked_lm_prob": 0.2},
     "note: no effect of masked_lm_prob=0.2 and masking=token: the records of input_file decide, which were masked "
     "with masked_lm_prob = 0.3 and masking = ngram; dynamic_masking would mask them anew\n")])
def test_flags_that_the_records_decide(masked_records, capsys, changes, line):
    _check(dataclasses.replace(masked_records, **changes))
    assert capsys.readouterr().err == line


def test_what_dynamic_masking_masks_is_noted(masked_records):
    assert masked_records.masking is masked_records.masked_lm_prob is None
    dynamic = dataclasses.replace(masked_records, dynamic_masking=True)
    assert (dynamic.masking, dynamic.masked_lm_prob) == ("whole_word", 0.15)
