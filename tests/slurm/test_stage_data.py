"""slurm/stage_data.sh: the copies are the records with all that describes them, never those of an earlier build."""

import os
import subprocess

import pytest
from conftest import ROOT, run_command
from pretraining_runs import flags
from small_corpus import make_documents, make_tokenizer, write_documents

from albert_hvd.data.batches.training_batches import tokenizers_of
from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.sources import parse_sources
from albert_hvd.runtime.files import expand_input_files


def call(*words, cwd=None):
    return subprocess.run([ROOT / "slurm" / "stage_data.sh", *map(str, words)], cwd=cwd, capture_output=True, text=True)


def stage(pattern, scratch, cwd=None):
    """Copies the records; returns (what was said, the pattern of the copies)."""
    results = call(pattern, scratch, cwd=cwd), call("--staged-pattern", pattern, scratch, cwd=cwd)
    assert [result.returncode for result in results] == [0, 0], results
    return results[0].stdout, results[1].stdout.strip()


@pytest.fixture
def records(tmp_path):
    """A folder with two shards, their indexes, manifest.json, the vocabulary and its copy."""
    folder = tmp_path / "shared" / "records"
    folder.mkdir(parents=True)
    make_tokenizer(folder)
    make_records(folder, 2)
    return folder


def make_records(folder, num_shards, num_documents=20):
    write_documents(folder / "text", make_documents(num_documents))
    build(str(folder / "text"), str(folder / "small.model"), f"{folder}/train.tfrecord@{num_shards}",
          ExampleOptions(16, 3), report=lambda line: None)
    (folder / "text").unlink()


def shards(pattern):
    return expand_input_files(pattern)


def test_the_copies_are_the_records_with_all_that_describes_them(records, tmp_path):
    pattern = f"{records}/train.tfrecord*"
    said, staged = stage(pattern, tmp_path / "scratch")
    assert staged.startswith(f"{tmp_path}/scratch/")
    ours, theirs = (RecordDataset(shards(one), 16, 3) for one in (staged, pattern))
    assert (ours.num_records, ours.fingerprint) == (theirs.num_records, theirs.fingerprint)
    assert tokenizers_of(ours.paths) == tokenizers_of(theirs.paths) != {}
    folder = os.path.dirname(ours.paths[0])
    names = sorted(os.listdir(folder))
    assert names == sorted(name for name in os.listdir(records) if name != "small.vocab")
    assert f": {len(names)} files copied to " in said
    for name in names:
        assert open(f"{folder}/{name}", "rb").read() == (records / name).read_bytes()
    assert ": 0 files copied to " in stage(pattern, tmp_path / "scratch")[0]


def test_the_weights_of_a_mixture_go_with_the_copies(records, tmp_path):
    names = [f"{records}/train.tfrecord-0000{number}-of-00002" for number in range(2)]
    said, staged = stage(f"{names[0]}:2, {names[1]}:0.5", tmp_path / "scratch")
    folder = staged.split("/scratch/")[1].split("/")[0]
    copies = [f"{tmp_path}/scratch/{folder}{name}" for name in names]
    assert parse_sources(staged) == [(os.path.basename(name), weight, [copy])
                                     for name, weight, copy in zip(names, (2.0, 0.5), copies)]
    assert [open(copy, "rb").read() for copy in copies] == [open(name, "rb").read() for name in names]


def test_a_new_build_takes_the_place_of_the_old_copies(records, tmp_path):
    other = tmp_path / "shared" / "other.tfrecord"
    other.write_bytes((records / "train.tfrecord-00000-of-00002").read_bytes())
    pattern, scratch = f"{records}/train.tfrecord*", tmp_path / "scratch"
    _, kept = stage(other, scratch)
    _, before = stage(pattern, scratch)
    for path in records.glob("*train.tfrecord*"):
        path.unlink()
    make_records(records, 3, num_documents=30)
    said, staged = stage(pattern, scratch)
    assert "1 stale copies removed" in said
    assert [os.path.basename(path) for path in shards(staged)] == [f"train.tfrecord-0000{n}-of-00003" for n in range(3)]
    assert not os.path.exists(before.split("/shared")[0]) and os.path.exists(kept)


def test_a_shard_that_was_cut_off_is_copied_again(records, tmp_path):
    pattern = f"{records}/train.tfrecord*"
    _, staged = stage(pattern, tmp_path / "scratch")
    os.truncate(shards(staged)[0], 5)
    assert ": 1 files copied to " in stage(pattern, tmp_path / "scratch")[0]
    assert open(shards(staged)[0], "rb").read() == (records / "train.tfrecord-00000-of-00002").read_bytes()


def test_patterns_of_all_kinds(records, tmp_path):
    """Relative, a comma list, a file that is named, and a glob over everything in the folder."""
    _, staged = stage("records/train.tfrecord-00001*, records/train.tfrecord-00000-of-00002", "scratch",
                      cwd=tmp_path / "shared")
    assert [os.path.basename(path) for path in shards(staged)] == [f"train.tfrecord-0000{n}-of-00002" for n in (1, 0)]
    (records / "small.vocab").unlink()
    _, staged = stage(f"{records}/*", tmp_path / "scratch")
    assert {os.path.basename(path) for path in shards(staged)} >= {f"train.tfrecord-0000{n}-of-00002" for n in (1, 0)}


@pytest.mark.parametrize("pattern, said", [
    ("nowhere/train*", "no file matches {cwd}/nowhere/train*: fix --input_file, or share that folder with this node"),
    ("shared/records/train*", "{scratch} cannot be made (Not a directory): set LOCAL_SCRATCH in slurm/cluster.env to a "
                              "folder on this disk")])
def test_refusals(records, tmp_path, pattern, said):
    (tmp_path / "file").write_text("in the way")
    scratch = tmp_path / "file" / "scratch"
    result = call(pattern, scratch, cwd=tmp_path)
    said = said.format(cwd=tmp_path, scratch=scratch)
    assert (result.returncode, result.stderr) == (2, f"stage_data.sh: {os.uname().nodename}: {said}\n")


@pytest.mark.tier("ci")
def test_a_run_goes_on_with_the_copies_and_without_them(records, training_files, tmp_path):
    config = (training_files / "config.json").read_text().replace('"vocab_size": 50', '"vocab_size": 110')
    (tmp_path / "config.json").write_text(config)
    pattern = f"{records}/train.tfrecord*"
    _, staged = stage(pattern, tmp_path / "scratch")
    for step, input_file in ((2, pattern), (4, staged), (6, pattern)):
        result = run_command("pretrain", **{**flags(training_files, tmp_path / "run", num_train_steps=step,
                                                    num_warmup_steps=0), "input_file": input_file,
                                            "bert_config_file": tmp_path / "config.json"})
        assert result.returncode == 0 and f"finished: step {step}" in result.stdout, result.stderr
    assert (tmp_path / "run" / "spiece.model").read_bytes() == (records / "small.model").read_bytes()


@pytest.mark.parametrize("notes", ["", "[1]", '{"../shared": 1', '{"../shared": "PATTERN"}'])
def test_damaged_notes_cost_nothing(records, tmp_path, notes):
    pattern = f"{records}/train.tfrecord*"
    (tmp_path / "scratch").mkdir()
    (tmp_path / "scratch" / ".staging.lock").write_text(notes.replace("PATTERN", pattern))
    _, staged = stage(pattern, tmp_path / "scratch")
    assert len(shards(staged)) == 2 and len(os.listdir(records)) > 4
