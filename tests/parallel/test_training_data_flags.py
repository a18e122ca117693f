"""bin/pretrain's flags on its data: the vocabulary, masks drawn anew, damaged records."""

import collections
import os
import shutil

import pytest

from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.tfrecord import load_index
from conftest import own_lines, run_command
from pretraining_runs import flags, train_log, without_clock
from small_corpus import make_documents, make_tokenizer, write_documents


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


DYNAMIC = dict(dynamic_masking=True, masking="ngram", pack_sequences=True, num_train_steps=8, num_warmup_steps=2,
               save_checkpoints_steps=4)
Run = collections.namedtuple("Run", ["flags", "folder", "log"])


def train(corpus, folder, ranks=0, **changes):
    """A `Run` to its end; `log` is without the clock's part."""
    run_flags = flags(corpus[0], str(folder), **{**DYNAMIC, **changes})
    result = run_command("pretrain", ranks, **run_flags)
    assert result.returncode == 0, result.stderr
    return Run(run_flags, folder, without_clock(train_log(folder)))


@pytest.fixture(scope="module")
def whole(corpus, tmp_path_factory):
    """An undisturbed run of one rank with masks that are drawn anew."""
    return train(corpus, tmp_path_factory.mktemp("whole"))


def test_dynamic_masking_draws_other_masks_than_the_stored_ones(corpus, whole, tmp_path):
    stored = train(corpus, tmp_path, dynamic_masking=False, num_train_steps=1, num_warmup_steps=0)
    assert stored.log[0]["loss"] != whole.log[0]["loss"]
    # The manifest named the vocabulary; the run's folder keeps it.
    assert (whole.folder / "spiece.model").read_bytes() == corpus[1].model


@pytest.mark.parallel
@pytest.mark.tier("ci")
def test_dynamic_masking_is_the_same_on_any_ranks(corpus, whole, tmp_path):
    half = train(corpus, tmp_path, ranks=2)
    assert [line["loss"] for line in half.log] == pytest.approx([line["loss"] for line in whole.log], abs=1e-4)


def test_dynamic_masking_is_the_same_after_a_resumption(whole, tmp_path):
    shutil.copytree(whole.folder, tmp_path / "again")
    shutil.rmtree(tmp_path / "again" / "checkpoints" / "step_00000008")
    result = run_command("pretrain", **{**whole.flags, "output_dir": tmp_path / "again"})
    assert result.returncode == 0 and "resuming at step 4" in result.stdout, result.stderr
    assert without_clock(train_log(tmp_path / "again")) == whole.log


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
    result = run_command("pretrain", **run)
    assert result.returncode == 2 and place in result.stderr and "Traceback" not in result.stderr, result.stderr
    result = run_command("pretrain", **run, skip_corrupt=True)
    assert result.returncode == 0, result.stderr
    assert f"warning: {place}: left out (1 so far)" in result.stderr
