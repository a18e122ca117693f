"""Records from text: the same bytes for any number of processes, resumable, and true statistics."""

import dataclasses
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import SHARED, command_environment, command_words
from small_corpus import make_documents, make_tokenizer, write_documents

from albert_hvd.data.records import build as building
from albert_hvd.data.records import build_plan
from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.text import corpus
from albert_hvd.errors import InputError
from albert_hvd.runtime import lock
from albert_hvd.runtime.files import expand_outputs
from albert_hvd.runtime.worker_pool import RankTeam

OPTIONS = ExampleOptions(max_seq_length=64, max_predictions_per_seq=10, dupe_factor=2)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Paths of a small corpus and a vocabulary, and its `Tokenizer`."""
    folder = tmp_path_factory.mktemp("corpus")
    path = write_documents(folder / "a.txt", make_documents(120, 1))
    return str(path), str(folder / "small.model"), make_tokenizer(folder)


@pytest.fixture
def small_blocks(monkeypatch):
    """Several blocks and more buckets, as a large corpus has them (in this process)."""
    plan_blocks = corpus.plan_blocks
    monkeypatch.setattr(corpus, "plan_blocks", lambda paths: plan_blocks(paths, 8000))


def run(files, output, options=OPTIONS, **settings):
    return build(files[0], files[1], str(output), options, report=lambda line: None, **settings)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder)) if name != "manifest.json"}


@pytest.mark.parametrize("output", ["a.tfrecord", "a.tfrecord@3"])
def test_the_bytes_do_not_depend_on_the_number_of_workers(files, tmp_path, small_blocks, output):
    for workers in (1, 2):
        run(files, tmp_path / str(workers) / output, num_workers=workers)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")
    # The vocabulary, shards and indexes, no leftovers.
    assert len(contents(tmp_path / "1")) == (3 if "@" not in output else 7)


def test_the_bytes_do_not_depend_on_how_runs_are_spilled(files, tmp_path, small_blocks, monkeypatch):
    plan = build_plan.make_plan(files[0], files[1], str(tmp_path / "a.tfrecord"), OPTIONS)
    assert len(plan.runs) == len(plan.blocks) > 5
    run(files, tmp_path / "1" / "a.tfrecord")
    monkeypatch.setattr(build_plan, "FEWEST_SEGMENTS", 4)
    monkeypatch.setattr(build_plan, "MOST_RUNS", 2)
    plan = build_plan.make_plan(files[0], files[1], str(tmp_path / "a.tfrecord"), OPTIONS)
    assert [len(segments) for segments in plan.runs] == [2, 1] and len(plan.runs[0][0]) > 1
    assert [number for segments in plan.runs for part in segments for number in part] == list(range(len(plan.blocks)))
    run(files, tmp_path / "2" / "a.tfrecord")
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


@pytest.mark.parametrize("output, parts", [("a.tfrecord", True), ("a.tfrecord@2", False)])
def test_few_shards_are_made_of_parts(files, tmp_path, monkeypatch, output, parts):
    """So that no rank is idle; both ranks of a job, one after the other in this process."""
    run(files, tmp_path / "one" / output)
    plan = build_plan.make_plan(files[0], files[1], str(tmp_path / "two" / output), OPTIONS)
    teams = [team_of_rank(building._Work(plan), rank) for rank in (0, 1)]
    building._open_scratch(plan)
    for team in teams:
        for number in range(len(plan.runs)):
            building._do_run(team._shared, number)
    steps, results = zip(*(building._write_shards(plan, team) for team in teams))
    assert steps == ((8, 8) if parts else (2, 2))
    done = [len(list(itertools.islice(result, 4 if parts else None))) for result in results]
    assert done == ([4, 4] if parts else [1, 1])
    for result in results:
        assert list(result) == []  # the joining of parts, once all are there
    for team in teams:
        team._shared.close()
    building._finish(plan, "a.tfrecord")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def team_of_rank(work, rank):
    """A rank of two, without MPI."""
    team = RankTeam.__new__(RankTeam)
    team.rank, team.size, team.width, team._shared = rank, 2, 2, work
    team.barrier, team.on_rank_0 = lambda: None, lambda function: function()
    return team


_opened = None  # while it is a list: what this process opens


def _note_open(event, arguments):
    if event == "open" and _opened is not None:
        _opened.append(arguments[0])


sys.addaudithook(_note_open)


def test_files_are_opened_in_proportion_to_the_text(tmp_path, monkeypatch):
    """Buckets and runs grow with the corpus; no bucket opens all runs again."""
    make_tokenizer(tmp_path)
    monkeypatch.setattr(build_plan, "BUCKET_BYTES", {1: 1000, 2: 1000})
    monkeypatch.setattr(build_plan, "FEWEST_SEGMENTS", 1)
    monkeypatch.setattr(build_plan, "SEGMENT_BYTES", 2000)
    plan_blocks = corpus.plan_blocks
    monkeypatch.setattr(corpus, "plan_blocks", lambda paths: plan_blocks(paths, 1000))
    opens, buckets = [], []
    for times in (1, 2, 3):
        text = write_documents(tmp_path / f"{times}.txt", make_documents(100, 1) * times)
        plan = build_plan.make_plan(str(text), str(tmp_path / "small.model"), str(tmp_path / "a"), OPTIONS)
        buckets.append((plan.num_buckets, len(plan.runs)))
        monkeypatch.setattr(sys.modules[__name__], "_opened", [])
        run((str(text), str(tmp_path / "small.model")), tmp_path / str(times) / "a@2")
        opens.append(len(_opened))
        monkeypatch.setattr(sys.modules[__name__], "_opened", None)
    assert min(buckets[0]) > 8 and all(three >= 2.5 * one for one, three in zip(buckets[0], buckets[2])), buckets
    assert opens[1] - opens[0] > 50
    assert opens[2] - opens[1] == pytest.approx(opens[1] - opens[0], rel=0.1)


def test_a_large_corpus_has_large_buckets_and_the_manifest_says_why(files, tmp_path, monkeypatch):
    small = build_plan.make_plan(files[0], files[1], str(tmp_path / "a"), OPTIONS)
    monkeypatch.setattr(build_plan, "MOST_SMALL_BYTES", 1000)
    monkeypatch.setattr(build_plan, "BUCKET_BYTES", {1: 500, 2: 2000})
    large = build_plan.make_plan(files[0], files[1], str(tmp_path / "a"), OPTIONS)
    assert (small.format, small.num_buckets) == (1, 8) and large.format == 2
    text = sum(block.end - block.start for block in large.blocks)
    assert large.num_buckets == -(-(text * 2 * 2 // 5) // 2000) and large.fingerprint != small.fingerprint
    run(files, tmp_path / "a")
    (entry,) = json.loads((tmp_path / "manifest.json").read_text())["builds"].values()
    assert entry["format"].startswith("2: buckets of 128 MiB of tokens, since")


def test_a_second_build_of_the_same_output_is_refused(files, tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "_ENDING_SEC", 0.0)
    names = []

    def at_work(*arguments):
        names.append(os.listdir(tmp_path))
        with pytest.raises(InputError, match="^output_file=.*a.tfrecord@2: another run writes there: process"):
            run(files, tmp_path / "a.tfrecord@2", num_workers=2)
        return sort_block(*arguments)

    sort_block = building.sort_block
    monkeypatch.setattr(building, "sort_block", at_work)
    run(files, tmp_path / "a.tfrecord@2")
    assert ".a.tfrecord-00000-of-00002.lock" in names[0] and len(contents(tmp_path)) == 5


def test_a_part_that_is_cut_short_is_an_error(files, tmp_path, small_blocks):
    plan = build_plan.make_plan(files[0], files[1], str(tmp_path / "a"), OPTIONS)
    building._open_scratch(plan)
    for number in range(len(plan.runs)):
        building._do_run(building._Work(plan), number)
    path = plan.run_path(0)
    whole = open(path, "rb").read()
    for size in (0, 4, len(whole) // 2):
        with open(path, "wb") as file:
            file.write(whole[:size])
        with pytest.raises(InputError, match="^output_file: .*cut short; delete the folder"):
            run(files, tmp_path / "a")


def test_records_hold_the_text_and_the_statistics_are_theirs(files, tmp_path, small_blocks):
    totals = run(files, tmp_path / "a.tfrecord@2")
    tokenizer, paths = files[2], [str(tmp_path / f"a.tfrecord-0000{i}-of-00002") for i in range(2)]
    dataset = RecordDataset(paths, 64, 10, vocab_size=tokenizer.vocab_size)
    batch = dataset.read(np.arange(dataset.num_records))
    original = batch["input_ids"].copy()
    rows, columns = np.nonzero(batch["masked_lm_weights"])
    original[rows, batch["masked_lm_positions"][rows, columns]] = batch["masked_lm_ids"][rows, columns]
    text_tokens = np.concatenate(tokenizer.encode_lines([line for document in make_documents(120, 1)
                                                         for line in document]))
    # Every token of the text is there twice (dupe_factor), and nothing else.
    counts = np.bincount(original[~tokenizer.is_special[original]], minlength=tokenizer.vocab_size)
    assert (counts == 2 * np.bincount(text_tokens, minlength=tokenizer.vocab_size)).all()
    assert totals["num_records"] == dataset.num_records and totals["documents"] == 120
    assert totals["num_real_tokens"] == batch["input_mask"].sum() and totals["num_masked"] == len(rows)
    assert totals["num_label_1"] == batch["next_sentence_labels"].sum()
    assert sum(totals[f"length_bin_{i}"] for i in range(10)) == dataset.num_records
    assert 0.4 < totals["num_label_1"] / totals["num_records"] < 0.6
    assert (batch["input_ids"][batch["input_mask"] == 0] == tokenizer.pad_id).all()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert sum(shard["num_records"] for shard in manifest["shards"].values()) == dataset.num_records
    (entry,) = manifest["builds"].values()
    assert entry["options"] == dataclasses.asdict(OPTIONS) and entry["tokenizer"]["sha256"] == tokenizer.sha256
    assert dataset.lengths()[0].tolist() == batch["input_mask"].sum(1).tolist()


@pytest.mark.parametrize("fail_at", ["sort_block", "bucket_records"])
def test_an_interrupted_run_goes_on_where_it_stopped(files, tmp_path, small_blocks, monkeypatch, fail_at):
    run(files, tmp_path / "whole" / "a.tfrecord@4")
    function, calls = getattr(building, fail_at), []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return function(*arguments)

    monkeypatch.setattr(building, fail_at, failing)
    with pytest.raises(KeyboardInterrupt):
        run(files, tmp_path / "again" / "a.tfrecord@4")
    assert not (tmp_path / "again" / "manifest.json").exists()
    run(files, tmp_path / "again" / "a.tfrecord@4")
    assert contents(tmp_path / "whole") == contents(tmp_path / "again")
    # Nothing that was finished was done twice: only the call that failed.
    monkeypatch.setattr(building, fail_at, function)
    needed = len(corpus.plan_blocks([files[0]])) if fail_at == "sort_block" else None
    assert needed is None or len(calls) == needed + 1


def test_a_killed_command_is_run_again(tmp_path):
    """SIGKILL to the command and its workers, in the middle of the work."""
    write_documents(tmp_path / "a.txt", make_documents(12_000, 3))
    make_tokenizer(tmp_path)

    def start(output):
        return subprocess.Popen(
            command_words("create_pretraining_data", input_file=tmp_path / "a.txt", tokenizer=tmp_path / "small.model",
                          output_file=output / "a.tfrecord@4", max_seq_length=64, max_predictions_per_seq=10,
                          num_workers=2),
            env=command_environment(), stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, start_new_session=True)

    process = start(tmp_path / "killed")
    while not list(tmp_path.glob("killed/.*.building/run-*.json")):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL and not (tmp_path / "killed" / "manifest.json").exists()
    for output in ("killed", "whole"):
        assert start(tmp_path / output).wait() == 0
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_the_old_projects_vocabulary_pads_with_5(tmp_path):
    model = SHARED / "data" / "tokenizer" / "sp10m.cased.v8.model"
    if not model.exists():
        pytest.skip("the old project's vocabulary is not on this machine (../shared/data/tokenizer)")
    write_documents(tmp_path / "a.txt", make_documents(20))
    build(str(tmp_path / "a.txt"), str(model), str(tmp_path / "a.tfrecord"), OPTIONS, report=lambda line: None)
    dataset = RecordDataset([str(tmp_path / "a.tfrecord")], 64, 10, vocab_size=32000)
    batch = dataset.read(np.arange(dataset.num_records))
    assert (batch["input_mask"] == 0).any() and (batch["input_ids"][batch["input_mask"] == 0] == 5).all()
    assert (batch["input_ids"][batch["input_mask"] == 1] != 5).all()


def test_a_finished_build_is_kept_and_a_changed_one_made_again(files, tmp_path):
    run(files, tmp_path / "a.tfrecord")
    before = (tmp_path / "a.tfrecord").stat().st_mtime_ns
    lines = []
    build(files[0], files[1], str(tmp_path / "a.tfrecord"), OPTIONS, report=lines.append)
    assert "already complete" in lines[0] and (tmp_path / "a.tfrecord").stat().st_mtime_ns == before
    run(files, tmp_path / "a.tfrecord", dataclasses.replace(OPTIONS, random_seed=1))
    assert (tmp_path / "a.tfrecord").stat().st_mtime_ns != before


@pytest.mark.parametrize("change", [{"sentence_objective": "nsp"}, {"masking": "ngram"}, {"masking": "token"},
                                    {"max_seq_length": 8, "max_predictions_per_seq": 2}])
def test_options(files, tmp_path, change):
    totals = run(files, tmp_path / "a.tfrecord", dataclasses.replace(OPTIONS, dupe_factor=1, **change))
    assert 0.35 < totals["num_label_1"] / totals["num_records"] < 0.65


def test_min_fill_joins_short_documents(files, tmp_path):
    options = dataclasses.replace(OPTIONS, dupe_factor=1, max_seq_length=1024, short_seq_prob=0.0)
    plain = run(files, tmp_path / "a.tfrecord", options)
    joined = run(files, tmp_path / "b.tfrecord", dataclasses.replace(options, min_fill=0.8))
    assert joined["tokens"] == plain["tokens"] and joined["num_records"] < plain["num_records"] / 2


@pytest.mark.parametrize("output", ["a.tfrecord", "a.tfrecord@3"])
def test_records_without_padding_are_the_same_records(files, tmp_path, small_blocks, output):
    tokenizer = files[2]
    batches, lengths, sizes = [], [], []
    for padding in (True, False):
        folder = tmp_path / str(padding)
        run(files, folder / output, dataclasses.replace(OPTIONS, padding=padding), num_workers=1)
        paths = sorted(str(path) for path in folder.glob("a.tfrecord*"))
        dataset = RecordDataset(paths, 64, 10, vocab_size=tokenizer.vocab_size)
        batches.append(dataset.read(np.arange(dataset.num_records)))
        lengths.append(np.stack(dataset.lengths()))
        sizes.append(sum(map(os.path.getsize, paths)))
        dataset.close()
    assert all((batches[0][field] == batches[1][field]).all() for field in batches[0])
    assert (lengths[0] == lengths[1]).all() and sizes[0] - sizes[1] == 3 * (batches[0]["input_mask"] == 0).sum() > 0


def test_the_default_has_the_fingerprint_that_it_had_without_the_choice(files, tmp_path):
    plans = [build_plan.make_plan(files[0], files[1], str(tmp_path / "a"), dataclasses.replace(OPTIONS, padding=padding))
             for padding in (True, False)]
    settings = dataclasses.asdict(OPTIONS)
    del settings["padding"]
    described = [1, [(files[0], os.path.getsize(files[0]), os.stat(files[0]).st_mtime_ns)], files[2].sha256,
                 [str(tmp_path / "a")], settings]
    assert plans[0].fingerprint == hashlib.sha256(json.dumps(described).encode()).hexdigest() != plans[1].fingerprint


def test_output_names():
    assert expand_outputs("a,b") == ["a", "b"]
    assert expand_outputs("d/x@2") == ["d/x-00000-of-00002", "d/x-00001-of-00002"]
    for bad in ("", "a,a", "x@0"):
        with pytest.raises(InputError, match="^output_file"):
            expand_outputs(bad)


@pytest.mark.parametrize("change, flag", [
    ({"max_seq_length": 4}, "max_seq_length"), ({"max_predictions_per_seq": 65}, "max_predictions_per_seq"),
    ({"dupe_factor": 0}, "dupe_factor"), ({"masked_lm_prob": 1.5}, "masked_lm_prob"),
    ({"masking": "words"}, "masking"), ({"sentence_objective": "none"}, "sentence_objective")])
def test_bad_options_name_the_flag(files, tmp_path, change, flag):
    with pytest.raises(InputError, match=f"^{flag}="):
        run(files, tmp_path / "a.tfrecord", dataclasses.replace(OPTIONS, **change))
