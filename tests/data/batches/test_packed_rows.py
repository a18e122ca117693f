"""Packing: every example once, in rows that hold it whole, and the same place after a resume."""

import itertools

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.data.batches import order, packed_rows
from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.errors import InputError

SEQ = 32


class Examples:
    """Stands in for a RecordDataset: example n holds the ids 1000 n + 1, 1000 n + 2, ..."""

    max_seq_length, max_predictions_per_seq, paths, sources = SEQ, 5, ["a"], ()

    def __init__(self, lengths, seed=0):
        self._lengths = np.array(lengths)
        self._predictions = np.minimum(np.maximum(self._lengths // 6, 1), 5)
        self.num_records = len(lengths)

    def count_tokens(self):
        """The lengths are known."""

    def counts(self, numbers):
        return self._lengths[numbers], self._predictions[numbers]

    def counted_pieces(self, shard):
        for start in range(0, self.num_records, 7):
            tokens, predictions = self.counts(np.arange(start, min(start + 7, self.num_records)))
            yield {"num_tokens": tokens, "num_predictions": predictions}

    def read_stretches(self):
        self.stretches = True

    def read(self, numbers):
        mask = np.arange(SEQ) < self._lengths[numbers][:, None]
        weights = np.arange(5) < self._predictions[numbers][:, None]
        positions = np.arange(5) * weights
        ids = (1000 * numbers[:, None] + 1 + np.arange(SEQ)) * mask
        return {"input_ids": ids.astype(np.int32), "input_mask": mask.astype(np.int32),
                "segment_ids": (mask & (np.arange(SEQ) > 2)).astype(np.int32), "masked_lm_positions": positions,
                "masked_lm_ids": np.take_along_axis(ids, positions, 1) * weights,
                "masked_lm_weights": weights.astype(np.float32), "next_sentence_labels": numbers[:, None] % 2,
                "sentence_weights": np.ones((len(numbers), 1), np.float32)}


LENGTHS = st.lists(st.integers(3, SEQ), min_size=1, max_size=60)


def make(dataset, batch_size=4, rank=0, size=1, **settings):
    return packed_rows.PackedTrainingBatches(dataset, batch_size, rank, size, seed=9, **settings)


def take(dataset, count, *arguments, **settings):
    batches = make(dataset, *arguments, **settings)
    taken = [(batch, batches.position) for batch in itertools.islice(batches, count)]
    batches.close()
    return taken


@settings(derandomize=True, max_examples=40, deadline=None)
@given(LENGTHS, st.integers(1, 3), st.integers(1, 3))
def test_packed_rows_hold_what_the_records_hold(lengths, rows, size):
    dataset = Examples(lengths)
    whole = take(dataset, 6, rows * size)
    seen = []
    for batch, position in whole:
        for row in range(rows * size):
            for example in range(1, int(batch["input_mask"][row].max()) + 1):
                at = np.flatnonzero(batch["input_mask"][row] == example)
                number = int(batch["input_ids"][row, at[0]]) // 1000
                seen.append(number)
                original = dataset.read(np.array([number]))
                length = lengths[number]
                assert (np.diff(at) == 1).all() and batch["cls_positions"][row, example - 1] == at[0]
                assert (batch["input_ids"][row, at] == original["input_ids"][0, :length]).all()
                assert (batch["segment_ids"][row, at] == original["segment_ids"][0, :length]).all()
                assert batch["position_ids"][row, at].tolist() == list(range(length))
                assert batch["next_sentence_labels"][row, example - 1] == number % 2
                assert batch["sentence_weights"][row, example - 1] == 1
            predicted = batch["masked_lm_weights"][row] > 0
            assert (batch["input_ids"][row, batch["masked_lm_positions"][row, predicted]]
                    == batch["masked_lm_ids"][row, predicted]).all()
            assert predicted.sum() == sum(dataset._predictions[seen[-int(batch["input_mask"][row].max()):]])
            assert batch["sentence_weights"][row].sum() == batch["input_mask"][row].max()
        assert position == len(seen)
    for start in range(0, len(seen) - len(lengths) + 1, len(lengths)):
        assert sorted(seen[start:start + len(lengths)]) == list(range(len(lengths)))
    ranks = [take(dataset, 6, rows * size, rank, size) for rank in range(size)]
    for step, (batch, position) in enumerate(whole):
        for field, values in batch.items():
            assert (np.concatenate([rank[step][0][field] for rank in ranks]) == values).all()
        assert {rank[step][1] for rank in ranks} == {position}


@settings(derandomize=True, max_examples=30, deadline=None)
@given(LENGTHS, st.integers(1, 5), st.integers(1, 5))
def test_resume_goes_on_with_the_next_row(lengths, before, after):
    dataset = Examples(lengths)
    whole = take(dataset, before + after)
    resumed = take(dataset, after, start_record=whole[before - 1][1])
    for (batch, position), (again, place) in zip(whole[before:], resumed):
        assert position == place and all((batch[field] == again[field]).all() for field in batch)


def test_windows_join_and_resume(monkeypatch):
    monkeypatch.setattr(packed_rows, "WINDOW", 16)
    dataset = Examples(np.random.default_rng(0).integers(3, SEQ, 50).tolist())
    whole = take(dataset, 30, 3)
    ids = np.concatenate([batch["input_ids"][batch["position_ids"] == 0] for batch, _ in whole])
    assert sorted(ids[ids > 0][:50] // 1000) == list(range(50))
    resumed = take(dataset, 5, 3, start_record=whole[11][1])
    assert all((a["input_ids"] == b["input_ids"]).all() for (a, _), (b, _) in zip(whole[12:], resumed))


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.integers(1, SEQ), min_size=1, max_size=200))
def test_row_limits_are_those_of_all_records(lengths):
    dataset = Examples(lengths)
    tokens, predictions = dataset.counts(np.arange(len(lengths)))
    share = predictions.sum() / tokens.sum()
    wanted = max(int(np.ceil(1.25 * share * SEQ)), int(predictions.max()))
    assert packed_rows.row_limits(dataset, sampled=False) == (
        -(-SEQ // max(int(np.percentile(tokens, 10)), 8)), -(-wanted // 8) * 8)


def test_row_limits_of_a_sample_have_room_for_any_record():
    lengths = np.tile(np.arange(8, SEQ), 4000)
    lengths[70_001] = SEQ
    dataset = Examples(lengths)
    sampled, of_all = (packed_rows.row_limits(dataset, sampled) for sampled in (True, False))
    assert sampled == of_all and dataset.max_predictions_per_seq <= sampled[1]


def test_packing_in_lanes_reads_each_record_once(monkeypatch):
    for name, value in (("TABLE", 20), ("LANES", 4), ("CHUNK", 3)):
        monkeypatch.setattr(order, name, value)
    monkeypatch.setattr(packed_rows, "WINDOW", 16)
    monkeypatch.setattr(packed_rows, "SAMPLE", 20)
    monkeypatch.setattr(packed_rows, "_STRETCH", 5)
    dataset = Examples(np.random.default_rng(0).integers(3, SEQ, 50).tolist())
    whole = take(dataset, 30, 2)
    ids = np.concatenate([batch["input_ids"][batch["position_ids"] == 0] for batch, _ in whole])
    assert dataset.stretches and sorted(ids[ids > 0][:50] // 1000) == list(range(50))
    ranks = [take(dataset, 30, 2, rank, 2) for rank in range(2)]
    for step, (batch, position) in enumerate(whole):
        assert ranks[0][step][1] == position
        assert (np.concatenate([rank[step][0]["input_ids"] for rank in ranks]) == batch["input_ids"]).all()
    resumed = take(dataset, 5, 2, start_record=whole[11][1])
    assert all((a["input_ids"] == b["input_ids"]).all() for (a, _), (b, _) in zip(whole[12:], resumed))


def test_a_place_inside_a_row_is_refused():
    dataset = Examples([5] * 60)
    with pytest.raises(InputError, match="^pack_sequences: .*1 records"):
        make(dataset, start_record=1)


@pytest.mark.parametrize("name, lengths", [
    ("tweets", lambda generator: generator.gamma(3, 10, 20_000) + 5),
    ("mixed", lambda generator: np.where(generator.random(20_000) < 0.3, 512 - generator.gamma(2, 60, 20_000),
                                         generator.gamma(3, 10, 20_000) + 5))])
def test_at_least_95_percent_are_real_tokens(name, lengths):
    lengths = np.clip(lengths(np.random.default_rng(0)), 5, 512).astype(int)
    predictions = np.minimum(np.maximum(np.rint(lengths * 0.15), 1), 51).astype(int)
    rows = packed_rows.pack(lengths, predictions, 512, 96, 64)
    assert lengths.sum() / (512 * len(rows)) > 0.95


@pytest.mark.parametrize("sources", [["twitter-natural"], ["twitter-natural", "news-majoriti", "subtitle-local-film"]])
def test_real_corpora_fill_95_percent(tmp_path, sources):
    data = SHARED / "data"
    if not data.is_dir():
        pytest.skip("the development corpus is not on this machine (../shared/data)")
    for name in sources:
        text = (data / "pretrain" / "train" / f"{name}.txt").read_bytes()[:250_000]
        (tmp_path / f"{name}.txt").write_bytes(text.rpartition(b"\n\n")[0])
    build(f"{tmp_path}/*.txt", str(data / "tokenizer" / "sp10m.cased.v8.model"), str(tmp_path / "a.tfrecord"),
          ExampleOptions(dupe_factor=1), report=lambda line: None)
    dataset = RecordDataset([str(tmp_path / "a.tfrecord")], 512, 51)
    batches = packed_rows.PackedTrainingBatches(dataset, 4, 0, 1, seed=0)
    filled = [(next(batches)["input_mask"] > 0).mean() for _ in range(12)]
    batches.close()
    assert np.mean(filled) > 0.95
