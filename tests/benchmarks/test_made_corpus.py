"""The made corpus of `bin/benchmark input` holds the records that its measurement reads."""

import numpy as np
import pytest

from albert_hvd.data.batches import packed_rows
from albert_hvd.data.batches.rows import TrainingBatches
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.errors import InputError
from benchmarks import made_corpus


@pytest.fixture
def small(monkeypatch):
    for name, value in (("TEMPLATE_RECORDS", 6), ("SHARDS", 4), ("WINDOW", 8), ("_READ_WINDOWS", 2), ("_SLACK_WINDOWS", 1)):
        monkeypatch.setattr(made_corpus, name, value)


@pytest.mark.parametrize("num_records", [6, 50, 200])
@pytest.mark.parametrize("packed", [False, True])
def test_what_is_read_is_there(training_files, tmp_path, monkeypatch, small, num_records, packed):
    monkeypatch.setattr(packed_rows, "WINDOW", 8)
    template = str(training_files / "train-0.tfrecord")
    made = made_corpus.make_corpus(template, num_records, str(tmp_path), seed=3)
    dataset, wanted = RecordDataset(made, 16, 3), RecordDataset([template], 16, 3).read(np.arange(6))
    assert dataset.num_records == num_records
    kind = packed_rows.PackedTrainingBatches if packed else TrainingBatches
    for start in made_corpus.places(num_records):
        batches = kind(dataset, 1, 0, 1, 3, start_record=start, prefetch=1)
        while batches.position < start + 16:
            batch = next(batches)
            first = batch["input_ids"][0][batch["input_mask"][0] == 1].tolist()
            assert first in [row[mask == 1].tolist() for row, mask in zip(wanted["input_ids"], wanted["input_mask"])]
        batches.close()
    assert len(made) <= 4


def test_a_template_must_be_long_enough(training_files, tmp_path, monkeypatch):
    with pytest.raises(InputError, match="fewer than 4096 records"):
        made_corpus.make_corpus(str(training_files / "train-0.tfrecord"), 5000, str(tmp_path), seed=3)
