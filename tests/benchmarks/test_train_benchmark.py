"""bin/benchmark train: what counts as useful work, turns in processes of their own, and the table."""

import json
import os

import numpy as np
import pytest

from albert_hvd.errors import InputError, RunFailed
from albert_hvd.model.config import AlbertConfig
from benchmarks import train
from benchmarks.contest import run_by_turns
from benchmarks.contestants import for_huggingface
from benchmarks.model_flops import NO_WORK, Work, training_flops, unread_flops, work_of

SIZES = dict(vocab_size=50, embedding_size=4, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
             intermediate_size=16, max_position_embeddings=32)


@pytest.fixture
def config_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(AlbertConfig(**SIZES).to_dict()))
    return str(tmp_path / "config.json")


def test_work_adds_up():
    work = work_of(np.array([3, 5]), 2) + Work(1, 4, 16, 1) + NO_WORK
    assert work == Work(examples=3, tokens=12, squared_lengths=9 + 25 + 16, predictions=3)


@pytest.mark.parametrize("architecture, head", [("albert", 8 * 4 + 4 * 50), ("brightmart", 8 * 8 + 8 * 4 + 4 * 50)])
def test_flops_are_those_of_the_products(architecture, head):
    config = AlbertConfig(architecture=architecture, **SIZES)

    def products(**work):
        return training_flops(config, NO_WORK._replace(**work)) / 6  # forward and twice backward, 2 a product

    assert products(tokens=1) == 4 * 8 + 3 * (4 * 8 * 8 + 2 * 8 * 16)
    assert products(squared_lengths=1) == 3 * 2 * 8
    assert products(predictions=1) == head
    assert products(examples=1) == 8 * 8 + 2 * 8


@pytest.mark.parametrize("masked, examples, unread", [(5, 2, 13), (0, 1, 19), (20, 2, 0)])
def test_the_last_layer_is_not_needed_where_no_head_reads_it(masked, examples, unread):
    work = Work(examples, tokens=20, squared_lengths=400, predictions=masked)
    assert unread_flops(AlbertConfig(**SIZES), work) == 6 * unread * (8 * 8 + 2 * 8 * 16)


def test_batches_for_the_peer_end_with_the_longest_example():
    batch = {"input_ids": np.array([[5, 6, 7, 0], [8, 9, 0, 0]], np.int32),
             "input_mask": np.array([[1, 1, 1, 0], [1, 1, 0, 0]], np.int32),
             "segment_ids": np.array([[0, 1, 1, 0], [0, 1, 0, 0]], np.int32),
             "masked_lm_positions": np.array([[2, 0], [1, 0]], np.int32),
             "masked_lm_ids": np.array([[17, 0], [19, 0]], np.int32),
             "masked_lm_weights": np.array([[1, 0], [1, 0]], np.float32),
             "next_sentence_labels": np.array([[1], [0]], np.int32)}
    theirs = for_huggingface(batch)
    assert theirs["input_ids"].tolist() == [[5, 6, 7], [8, 9, 0]]
    assert theirs["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert theirs["token_type_ids"].tolist() == [[0, 1, 1], [0, 1, 0]]
    assert theirs["labels"].tolist() == [[-100, -100, 17], [-100, 19, -100]]
    assert theirs["sentence_order_label"].tolist() == [1, 0]
    assert {array.dtype for array in theirs.values()} == {np.dtype("int64")}
    assert all(array.flags.c_contiguous for array in theirs.values())


def counting(start, path):
    """A contestant that counts its rounds and leaves a line of each in a file."""
    numbers = iter(range(start, start + 100))

    def play():
        number = next(numbers)
        with open(path, "a") as file:
            file.write(f"{number}\n")
        return os.getpid(), number

    return play


def refusing():
    raise InputError("--peer=x: not here")


def failing():
    return [].pop


def test_contestants_take_turns_in_processes_of_their_own(tmp_path):
    path = str(tmp_path / "turns")
    outcome = run_by_turns({"a": (counting, (0, path)), "b": (counting, (50, path))}, 3)
    assert open(path).read().split() == ["0", "50", "1", "51", "2", "52"]
    assert [number for _, number in outcome["b"][0]] == [50, 51, 52]
    pids = {pid for rounds, _ in outcome.values() for pid, _ in rounds}
    assert len(pids) == 2 and os.getpid() not in pids
    assert all(peak > 2**20 for _, peak in outcome.values())


@pytest.mark.parametrize("contestant, error, message", [
    (refusing, InputError, "--peer=x: not here"), (failing, RunFailed, "c: IndexError: pop from empty list")])
def test_what_a_contestant_says_reaches_the_user(contestant, error, message):
    with pytest.raises(error, match=message):
        run_by_turns({"c": (contestant, ())}, 1)


@pytest.mark.tier("all")
def test_the_table_names_speed_share_and_memory(config_file):
    report = train.run(train.Options(bert_config_file=config_file, max_seq_length=16, train_batch_size=4, rounds=1,
                                     steps=2), None)
    (row,) = report.rows
    assert row["program"] == "albert_hvd" and row["tokens an update"] == 4 * 16
    assert row["real tokens/s"] == pytest.approx(16 * row["sequences/s"])
    assert 0 < row["% of the ceiling"] and row["peak MiB"] > 100


@pytest.mark.parametrize("changes, named", [
    ({"precision": "int8"}, "--precision=int8"), ({"peer": "gpt"}, "--peer=gpt"), ({"rounds": 0}, "--rounds=0"),
    ({"max_seq_length": 33}, "--max_seq_length=33"), ({"accumulation_steps": 3}, "accumulation_steps=3"),
    ({"input_file": "x.tfrecord"}, "--max_predictions_per_seq")])
def test_bad_flags_are_refused(config_file, changes, named):
    with pytest.raises(InputError, match=named):
        train.run(train.Options(**{"bert_config_file": config_file, "max_seq_length": 16, **changes}), None)


def test_the_plot_is_a_png_file(tmp_path):
    rows = [{"program": "albert_hvd", "real tokens/s": 300.0}, {"program": "huggingface", "real tokens/s": 100.0}]
    train._draw(rows, train.Options(plot=str(tmp_path / "train.png")))
    assert (tmp_path / "train.png").read_bytes().startswith(b"\x89PNG\r\n")


def test_a_plot_that_cannot_be_written_is_refused_before_anything_is_measured(tmp_path, config_file):
    with pytest.raises(InputError, match="^plot: cannot make the folder"):
        train.run(train.Options(bert_config_file=config_file, max_seq_length=32,
                                plot=str(tmp_path / "config.json" / "train.png")), None)
