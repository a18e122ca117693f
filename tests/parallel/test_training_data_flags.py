"""bin/pretrain's flags on its data: the vocabulary, masks drawn anew, damaged records."""

import os
import shutil

import pytest

from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.tfrecord import load_index
from conftest import own_lines, run_command
from pretraining_runs import flags, train_log, without_clock
from small_corpus import make_documents, make_tokenizer, write_documents

pytestmark = pytest.mark.parallel


@pytest.fixture(scope="module")
def corpus(tmp_path_factory, training_files):
    """A folder with records of 16 positions, their vocabulary and a config for it."""
    folder = tmp_path_factory.mktemp("corpus")
    tokenizer = make_tokenizer(folder)
    text = write_documents(folder / "a.txt", make_documents(40))
    build(str(text), tokenizer.path, str(folder / "train-0.tfrecord"), ExampleOptions(16, 3, dupe_factor=1),
          report=lambda line: None)
    config = (training_files / "config.json").read_text().replace('"vocab_size": 50', '"vocab_size": 110')
    (folder / "config.json").write_text(config)
    return folder, tokenizer


def test_dynamic_masking_is_the_same_on_any_ranks_and_after_a_resumption(corpus, tmp_path):
    folder, tokenizer = corpus
    dynamic = dict(dynamic_masking=True, masking="ngram", pack_sequences=True, num_train_steps=8, num_warmup_steps=2,
                   save_checkpoints_steps=4)
    stored = {**dynamic, "dynamic_masking": False}
    runs = {name: flags(folder, str(tmp_path / name), **changes)
            for name, changes in (("whole", dynamic), ("stored", stored), ("half", dynamic))}
    logs = {}
    for name, ranks in (("whole", 1), ("stored", 1), ("half", 2)):
        result = run_command("pretrain", ranks, **runs[name])
        assert result.returncode == 0, result.stderr
        logs[name] = without_clock(train_log(runs[name]["output_dir"]))
    assert [line["loss"] for line in logs["half"]] == pytest.approx([line["loss"] for line in logs["whole"]], abs=1e-4)
    assert logs["stored"][0]["loss"] != logs["whole"][0]["loss"]
    shutil.rmtree(tmp_path / "whole" / "checkpoints" / "step_00000008")
    result = run_command("pretrain", 1, **runs["whole"])
    assert result.returncode == 0 and "resuming at step 4" in result.stdout, result.stderr
    assert without_clock(train_log(runs["whole"]["output_dir"])) == logs["whole"]
    # The manifest named the vocabulary; the run's folder keeps it.
    assert (tmp_path / "whole" / "spiece.model").read_bytes() == tokenizer.model


def test_dynamic_masking_without_a_vocabulary_is_refused(training_files, tmp_path):
    result = run_command("pretrain", **flags(training_files, str(tmp_path / "run"), dynamic_masking=True))
    assert result.returncode == 2
    (line,) = own_lines(result, "pretrain")
    assert "--dynamic_masking needs the vocabulary" in line and "--tokenizer" in line
    assert not os.path.exists(tmp_path / "run" / "config.json")


def test_damaged_records_are_an_error_or_left_out(training_files, tmp_path):
    path = tmp_path / "train-0.tfrecord"
    shutil.copy(training_files / "train-0.tfrecord", path)
    shutil.copy(training_files / "config.json", tmp_path)
    offset = int(load_index(str(path))["offset"][7])
    data = bytearray(path.read_bytes())
    data[offset + 40] ^= 1
    path.write_bytes(data)
    run = flags(tmp_path, str(tmp_path / "run"), num_train_steps=4)
    place = f"{path}: wrong data CRC in the record at byte {offset}"
    result = run_command("pretrain", 2, **run)
    assert result.returncode != 0 and place in result.stderr and "Traceback" not in result.stderr, result.stderr
    result = run_command("pretrain", 2, **run, skip_corrupt=True)
    assert result.returncode == 0, result.stderr
    assert f"warning: {place}: left out (1 so far)" in result.stderr
