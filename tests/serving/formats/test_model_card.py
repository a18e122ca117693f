"""The model card says what the run's files say, and nothing else."""

import json

import pytest
from huggingface_folders import make_config
from small_corpus import make_tokenizer

from albert_hvd.serving.formats.huggingface.model_card import model_card
from albert_hvd.serving.formats.huggingface.options import FolderOptions


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return make_tokenizer(tmp_path_factory.mktemp("vocabulary"))


def test_a_runs_figures_are_in_it(tokenizer, tmp_path):
    records, run = tmp_path / "records", tmp_path / "run"
    (run / "checkpoints" / "step_00000007").mkdir(parents=True)
    records.mkdir()
    (records / "a.tfrecord").write_bytes(b"")
    (records / "manifest.json").write_text(json.dumps({
        "shards": {"a.tfrecord": {"build": "a", "num_records": 31, "num_real_tokens": 977}},
        "builds": {"a": {"options": {"masking": "whole|word"}, "input_files": ["/home/me/berita.txt"]}}}))
    (run / "flags.json").write_text(json.dumps({
        "input_file": f"{records}/*.tfrecord", "optimizer": "lamb", "learning_rate": 0.002, "num_train_steps": 7,
        "max_seq_length": 32}))
    (run / "train_log.jsonl").write_text('{"step": 5, "loss": 8.0}\n{"step": 7, "loss": 7.25}\n')
    (run / "eval_results.json").write_text(json.dumps({"global_step": 7, "masked_lm_accuracy": 0.125}))
    for folder in (run, run / "checkpoints", run / "checkpoints" / "step_00000007"):
        card = model_card(str(folder), make_config(110), tokenizer, "AlbertForPreTraining",
                          FolderOptions(license="apache-2.0"))
        for line in ('license: "apache-2.0"', "- ms", "pipeline_tag: fill-mask", "| records | 31 |",
                     "| real tokens | 977 |", "| text of a | berita.txt |", "| masking | whole\\|word |",
                     "| optimizer | lamb |", "| learning_rate | 0.002 |", "| last logged loss | 7.25 |",
                     "| masked_lm_accuracy | 0.125 |"):
            assert line in card.splitlines(), line
        assert "Texts of more than 32 pieces are cut." in card
        assert "/home/me" not in card and str(tmp_path) not in card


def test_what_is_not_known_is_said_so(tokenizer, tmp_path):
    card = model_card(str(tmp_path), make_config(110), tokenizer, "AlbertModel")
    assert "license" not in card and "pipeline_tag: feature-extraction" in card and "fill-mask" not in card
    assert card.count("Unknown:") == 2 and "Not evaluated" in card and "@inproceedings{lan2020albert" in card


def test_each_kind_of_held_out_records_has_a_table(tokenizer, tmp_path):
    (tmp_path / "flags.json").write_text("{}")
    for name, loss in (("_single_pieces", 4.5), ("", 4.25)):
        (tmp_path / f"eval_results{name}.json").write_text(json.dumps({"masked_lm_loss": loss}))
    card = model_card(str(tmp_path), make_config(110), tokenizer, "AlbertForPreTraining")
    assert ("## Evaluation\n\n| held-out records | value |\n|---|---|\n| masked_lm_loss | 4.25 |\n\n"
            "| held-out records, single pieces | value |\n|---|---|\n| masked_lm_loss | 4.5 |\n") in card


def test_the_folder_that_the_command_was_called_in_is_not_the_run(tokenizer, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "train_log.jsonl").write_text('{"step": 5, "loss": 8.0}\n')
    (tmp_path / "eval_results.json").write_text(json.dumps({"masked_lm_accuracy": 0.125}))
    monkeypatch.chdir(tmp_path)
    card = model_card(str(tmp_path / "elsewhere"), make_config(110), tokenizer, "AlbertModel")
    assert "last logged" not in card and "0.125" not in card


def test_a_folder_beside_the_checkpoints_is_not_the_run(tokenizer, tmp_path):
    (tmp_path / "flags.json").write_text(json.dumps({"optimizer": "lamb"}))
    (tmp_path / "elsewhere").mkdir()
    assert "lamb" not in model_card(str(tmp_path / "elsewhere"), make_config(110), tokenizer, "AlbertModel")
