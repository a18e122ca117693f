"""Records on disk: the old project's files, shards and their index, and clear words about damage."""

import hashlib
import os

import numpy as np
import pytest
from small_records import PREDICTIONS, SEQ, make_batch, make_example, open_dataset

from albert_hvd.data.records import index, tfrecord
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.example import FIELDS, SEQUENCE_FIELDS
from albert_hvd.data.records.manifest import read_manifest, write_manifest
from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import expand_input_files


@pytest.fixture
def shard(tmp_path):
    """A path, and the 20 records that it holds."""
    path, batch = str(tmp_path / "a.tfrecord"), make_batch(20)
    with RecordWriter(path) as writer:
        writer.write_batch({field: values[:12] for field, values in batch.items()})
        for row in range(12, 20):
            writer.write({field: values[row] for field, values in batch.items()})
    return path, batch


def test_written_records_are_read_back_in_any_order(shard):
    path, batch = shard
    dataset = open_dataset(path)
    numbers = np.array([19, 0, 7, 7])
    read = dataset.read(numbers)
    for field in FIELDS:
        assert (read[field] == batch[field][numbers]).all()
        assert read[field].dtype == (np.float32 if field == "masked_lm_weights" else np.int32)
    assert read["sentence_weights"].tolist() == [[1.0]] * 4 and dataset.num_records == 20
    assert os.listdir(os.path.dirname(path)).count("a.tfrecord") == 1
    lengths, predictions = dataset.lengths()
    assert (lengths == batch["input_mask"].sum(1)).all() and (predictions == 3).all()


def test_tensorflow_reads_what_we_write_and_we_read_what_it_writes(shard, tmp_path):
    tf = pytest.importorskip("tensorflow")
    path, batch = shard
    spec = {field: tf.io.FixedLenFeature([batch[field].shape[1]], tf.float32 if "weights" in field else tf.int64)
            for field in FIELDS}
    raw = [record.numpy() for record in tf.data.TFRecordDataset(path)]
    parsed = tf.io.parse_example(raw, spec)
    assert all((parsed[field].numpy() == batch[field]).all() for field in FIELDS)
    theirs = str(tmp_path / "theirs.tfrecord")
    with tf.io.TFRecordWriter(theirs) as writer:
        for row in range(3):
            writer.write(make_example(batch, row).SerializeToString())
    read = open_dataset([path, theirs]).read(np.array([20, 21, 22]))
    assert all((read[field] == batch[field][:3]).all() for field in FIELDS)


def test_records_without_padding_take_any_larger_length_and_padded_ones_none(tmp_path):
    """The manifest tells, where the first record, which is full, cannot."""
    batch = make_batch(20)
    batch["input_mask"][0] = 1
    path = str(tmp_path / "a")
    with RecordWriter(path) as writer:
        writer.write_batch(batch)
    for padding, lengths, refused in ((True, (16,), (8, 32)), (False, (16, 32), (8,))):
        write_manifest(tmp_path, "a", {"options": {"max_seq_length": 16, "padding": padding}},
                       {"a": {"num_records": 20}})
        for length in lengths:
            RecordDataset([path], length, PREDICTIONS)
        for length in refused:
            with pytest.raises(InputError, match=f"^max_seq_length={length}: .*set max_seq_length=16"):
                RecordDataset([path], length, PREDICTIONS)


def test_records_without_padding_get_the_padding_of_their_vocabulary(tmp_path):
    batch, path = make_batch(5), str(tmp_path / "a")
    with RecordWriter(path) as writer:
        for row, length in enumerate(batch["input_mask"].sum(axis=1)):
            writer.write({field: batch[field][row, :length if field in SEQUENCE_FIELDS else None] for field in FIELDS})
    for pad_id, expected in ((7, 7), (None, 0), (-1, 0), ("7", 0)):
        write_manifest(tmp_path, "a", {"tokenizer": {"pad_id": pad_id}}, {"a": {"num_records": 5}})
        ids = open_dataset(path).read(np.arange(5))["input_ids"]
        assert (ids == np.where(batch["input_mask"], batch["input_ids"], expected)).all()


def test_a_file_of_the_old_script_reads_unchanged(fixtures):
    path = str(fixtures / "seed_tfrecord" / "albert-brightmart-128.tfrecord")
    dataset = RecordDataset([path], 128, 20, vocab_size=32000)
    batch = dataset.read(np.arange(140))
    assert dataset.num_records == 140 and abs(batch["next_sentence_labels"].mean() - 0.61) < 0.01
    assert (batch["input_ids"][:, 0] == 3).all() and batch["masked_lm_weights"].sum() == 2372
    lengths, predictions = dataset.lengths()
    assert (lengths == batch["input_mask"].sum(1)).all() and predictions.sum() == 2372


def damage(path, position, value=None):
    data = bytearray(open(path, "rb").read())
    if value is None:
        data = data[:position]
    else:
        data[position] ^= value
    with open(path, "wb") as file:
        file.write(data)


def test_damaged_data_is_named_with_file_and_offset(shard):
    path, batch = shard
    offset = int(tfrecord.load_index(path)["offset"][5])
    damage(path, offset + 30, 0x10)
    with pytest.raises(InputError, match=rf"a.tfrecord: wrong data CRC in the record at byte {offset}"):
        open_dataset(path).read(np.arange(20))
    warnings = []
    dataset = open_dataset(path, skip_corrupt=True, warn=warnings.append)
    for _ in range(2):  # a second epoch does not count it again
        read = dataset.read(np.arange(20))
    assert dataset.num_skipped == 1 and len(warnings) == 1
    assert not read["masked_lm_weights"][5].any()
    assert read["sentence_weights"][:, 0].tolist() == [1] * 5 + [0] + [1] * 14


@pytest.mark.parametrize("cut", [3, 14, 100])
def test_truncated_files_are_named_with_the_offset(shard, cut):
    path, _ = shard
    offset = int(tfrecord.load_index(path)["offset"][19])
    damage(path, offset + cut)
    with pytest.raises(InputError, match=rf"truncated in the record that begins at byte {offset}"):
        open_dataset(path)
    warnings = []
    assert open_dataset(path, skip_corrupt=True, warn=warnings.append).num_records == 19 and len(warnings) == 1


def test_files_that_are_no_records_are_refused(tmp_path):
    for name, data in (("text", b"Ini bukan TFRecord.\n" * 10), ("zeros", bytes(100))):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(InputError, match="wrong length CRC at byte 0"):
            open_dataset(str(tmp_path / name))
    (tmp_path / "empty").write_bytes(b"")
    with pytest.raises(InputError, match="no record in it"):
        open_dataset(str(tmp_path / "empty"))
    with open(tmp_path / "other", "wb") as file:
        file.write(tfrecord.frame(b"\x0a\x03abc"))
    with pytest.raises(InputError, match="not a tf.train.Example"):
        open_dataset(str(tmp_path / "other"))


def test_other_lengths_name_the_flag_to_change(shard):
    path, _ = shard
    with pytest.raises(InputError, match="^max_seq_length=32: .* has 16 values in .*set max_seq_length=16"):
        RecordDataset([path], 32, PREDICTIONS)
    with pytest.raises(InputError, match="^max_predictions_per_seq=20: .* set max_predictions_per_seq=4"):
        RecordDataset([path], SEQ, 20)


def test_ids_beyond_the_vocabulary_are_refused(shard):
    path, batch = shard
    largest = max(batch["input_ids"].max(), batch["masked_lm_ids"].max())
    open_dataset(path, vocab_size=int(largest) + 1).read(np.arange(20))
    with pytest.raises(InputError, match=f"^bert_config_file: .* but the config's vocab_size is {largest}"):
        open_dataset(path, vocab_size=int(largest)).read(np.arange(20))


def test_an_index_that_does_not_fit_is_made_again(shard):
    path, batch = shard
    os.replace(tfrecord.index_path(path), tfrecord.index_path(path) + "x")
    assert open_dataset(path).num_records == 20
    lengths, _ = open_dataset(path).lengths()
    assert (lengths == batch["input_mask"].sum(1)).all()
    with open(tfrecord.index_path(path), "wb") as file:
        file.write(b"nonsense")
    assert open_dataset(path).num_records == 20
    with open(tfrecord.index_path(path), "wb") as file:  # ends as it must, and is wrong before that
        rows = np.zeros(30, tfrecord.INDEX_DTYPE)
        rows["offset"][-1] = os.path.getsize(path)
        file.write(rows.tobytes())
    assert open_dataset(path).num_records == 20


def test_a_missing_index_is_made_once_and_kept(shard, monkeypatch):
    path, batch = shard
    wanted = open(tfrecord.index_path(path), "rb").read()
    os.remove(tfrecord.index_path(path))
    dataset = open_dataset(path)
    assert (tfrecord.load_index(path)["num_tokens"][:20] == -1).all()
    dataset.count_tokens()
    assert open(tfrecord.index_path(path), "rb").read()[:-8] == wanted[:-8]  # what stands beside the last offset is free
    monkeypatch.setattr(index, "scan_shard", None)  # not gone through again
    again = open_dataset(path)
    tokens, predictions = again.counts(np.array([19, 0, 7]))
    assert tokens.tolist() == batch["input_mask"].sum(1)[[19, 0, 7]].tolist() and predictions.tolist() == [3] * 3
    assert again.fingerprint == dataset.fingerprint


def test_where_no_index_can_be_kept_it_is_made_in_memory(shard):
    path, batch = shard
    os.remove(tfrecord.index_path(path))
    folder = os.path.dirname(path)
    os.chmod(folder, 0o555)
    try:
        dataset = open_dataset(path)
        dataset.count_tokens()
        assert dataset.counts(np.arange(20))[0].tolist() == batch["input_mask"].sum(1).tolist()
        assert not os.path.exists(tfrecord.index_path(path))
    finally:
        os.chmod(folder, 0o755)


def test_a_damaged_shard_keeps_no_index(shard):
    path, _ = shard
    offset = int(tfrecord.load_index(path)["offset"][5])
    os.remove(tfrecord.index_path(path))
    damage(path, offset + 30, 0x10)
    dataset = open_dataset(path, skip_corrupt=True, warn=lambda line: None)
    dataset.count_tokens()
    assert dataset.counts(np.array([5]))[0].tolist() == [0]
    assert (tfrecord.load_index(path)["num_tokens"][:20] == -1).all()  # where its records lie is known all the same


def test_any_record_of_many_blocks_and_shards_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "BLOCK", 4)
    monkeypatch.setattr(index, "CACHED_BLOCKS", 3)
    paths, batches = [], [make_batch(count, count) for count in (1, 4, 5, 11)]
    for number, batch in enumerate(batches):
        paths.append(str(tmp_path / f"{number}.tfrecord"))
        with RecordWriter(paths[-1]) as writer:
            writer.write_batch(batch)
    dataset = open_dataset(paths)
    numbers = np.random.default_rng(0).permutation(np.repeat(np.arange(21), 3))
    read, tokens = dataset.read(numbers), dataset.counts(numbers)[0]
    assert (read["input_ids"] == np.concatenate([batch["input_ids"] for batch in batches])[numbers]).all()
    assert (tokens == read["input_mask"].sum(axis=1)).all()


def test_an_index_that_is_wrong_in_the_middle_is_named(shard, monkeypatch):
    path, _ = shard
    monkeypatch.setattr(index, "BLOCK", 4)
    with open(tfrecord.index_path(path), "r+b") as file:
        file.seek(9 * tfrecord.INDEX_DTYPE.itemsize)
        file.write(bytes(8))
    dataset = open_dataset(path)
    dataset.read(np.array([3, 19]))
    with pytest.raises(InputError, match=r"a.tfrecord: its index .*/\.a.tfrecord.index does not fit; delete the index"):
        dataset.read(np.array([9]))


def old_fingerprint(paths):
    """As it was computed before it had a version."""
    digest = hashlib.sha256()
    for path in paths:
        offsets = tfrecord.load_index(path)["offset"]
        digest.update(offsets.tobytes())
        data = open(path, "rb").read()
        for end in offsets[1:][[0, -1]].tolist():
            digest.update(data[end - 4:end])
    return digest.hexdigest()[:16]


def test_fingerprints_tell_records_apart_and_old_ones_are_known(shard, tmp_path):
    path, _ = shard
    other, last = str(tmp_path / "b.tfrecord"), make_batch(20)
    last["input_ids"][19, 0] ^= 1  # as many bytes
    with RecordWriter(other) as writer:
        writer.write_batch(last)
    datasets = [open_dataset(paths) for paths in (path, other, [path, other], [other, path])]
    assert len({dataset.fingerprint for dataset in datasets}) == 4
    for dataset in datasets:
        assert dataset.is_described_by(old_fingerprint(dataset.paths)) and dataset.is_described_by(dataset.fingerprint)
    assert not datasets[2].is_described_by(old_fingerprint([other, path]))


def test_a_shard_that_the_manifest_contradicts_is_refused(shard):
    path, _ = shard
    write_manifest(os.path.dirname(path), "a", {}, {"a.tfrecord": {"num_records": 20}})
    open_dataset(path)
    write_manifest(os.path.dirname(path), "a", {}, {"a.tfrecord": {"num_records": 21}})
    with pytest.raises(InputError, match="20 records, but manifest.json beside it says 21"):
        open_dataset(path)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100000])
def test_a_manifest_that_is_none_is_refused(shard, text):
    path, _ = shard
    manifest = os.path.join(os.path.dirname(path), "manifest.json")
    with open(manifest, "w", encoding="utf-8") as file:
        file.write(text)
    with pytest.raises(InputError, match="manifest.json: cannot read it"):
        RecordDataset([path], 16, 3)


def test_the_manifest_keeps_other_builds(shard):
    path, _ = shard
    folder = os.path.dirname(path)
    write_manifest(folder, "one", {"a": 1}, {"a.tfrecord": {"num_records": 20}})
    write_manifest(folder, "two", {"a": 2}, {"b.tfrecord": {"num_records": 1}})
    manifest = read_manifest(folder)
    assert set(manifest["shards"]) == {"a.tfrecord", "b.tfrecord"} and set(manifest["builds"]) == {"one", "two"}


def test_nothing_appears_when_writing_fails(tmp_path):
    with pytest.raises(RuntimeError), RecordWriter(str(tmp_path / "a")) as writer:
        writer.write_batch(make_batch(2))
        raise RuntimeError
    assert os.listdir(tmp_path) == []


def test_input_patterns(tmp_path):
    for name in ("b.tfrecord", "a.tfrecord", "manifest.json"):
        (tmp_path / name).write_text("x")
    assert [os.path.basename(path) for path in expand_input_files(f"{tmp_path}/*")] == ["a.tfrecord", "b.tfrecord"]
    assert len(expand_input_files(f"{tmp_path}/b.tfrecord, {tmp_path}/a.tfrecord,")) == 2
    for pattern, message in ((f"{tmp_path}/c", "no such file"), (f"{tmp_path}/c*", "no file matches"),
                             (str(tmp_path), "is a folder"), ("", "is empty")):
        with pytest.raises(InputError, match=f"^eval_input_file.*{message}"):
            expand_input_files(pattern, "eval_input_file")
