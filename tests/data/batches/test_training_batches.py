"""The vocabulary that a run finds behind its records, and batches with masks drawn anew."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from albert_hvd.data.batches.training_batches import find_tokenizer, tokenizers_of, training_batches
from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.masking import unmask
from albert_hvd.errors import InputError
from small_corpus import make_documents, make_tokenizer, write_documents


@dataclasses.dataclass
class Options:
    tokenizer: str = None
    dynamic_masking: bool = True
    masking: str = "whole_word"
    masked_lm_prob: float = 0.15
    pack_sequences: bool = False
    train_batch_size: int = 4
    seed: int = 3


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """(records of 64 positions, the tokenizer that their manifest names)."""
    folder = tmp_path_factory.mktemp("corpus")
    tokenizer = make_tokenizer(folder)
    text = write_documents(folder / "a.txt", make_documents(30))
    build(str(text), tokenizer.path, str(folder / "a.tfrecord"), ExampleOptions(64, 10, dupe_factor=1),
          report=lambda line: None)
    return str(folder / "a.tfrecord"), tokenizer


def test_tokenizers_are_those_of_the_shards_that_are_read(tmp_path):
    builds = {name: {"tokenizer": {"sha256": sha256, "path": f"{name}.model"}}
              for name, sha256 in (("a", "11"), ("b", "22"), ("c", "33"))}
    shards = {f"{name}.tfrecord": {"build": name} for name in builds}
    for folder in ("described", "bare"):
        (tmp_path / folder).mkdir()
    (tmp_path / "described" / "manifest.json").write_text(json.dumps({"shards": shards, "builds": builds}))

    def found(*names):
        return tokenizers_of([str(tmp_path / name) for name in names])

    assert found("described/b.tfrecord", "described/a.tfrecord") == {"11": "a.model", "22": "b.model"}
    assert found("described/c.tfrecord", "bare/a.tfrecord") == {"33": "c.model"}
    assert found("bare/a.tfrecord") == {}


def test_the_manifest_leads_to_the_tokenizer(corpus, tmp_path):
    path, tokenizer = corpus
    assert find_tokenizer(Options(), [path], 110).sha256 == tokenizer.sha256
    copy = shutil.copy(path, tmp_path / "b.tfrecord")  # without its manifest
    assert find_tokenizer(Options(), [str(copy)], 110) is None
    assert find_tokenizer(Options(tokenizer=tokenizer.path), [str(copy)], 110).path == tokenizer.path


def test_a_tokenizer_that_is_no_longer_the_same_is_not_taken(corpus, tmp_path):
    path, tokenizer = corpus
    for name in ("a.tfrecord", "manifest.json"):
        shutil.copy(f"{path[:-len('a.tfrecord')]}{name}", tmp_path / name)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["builds"][path]["tokenizer"]["sha256"] = "0" * 64
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    records = [str(tmp_path / "a.tfrecord")]
    assert find_tokenizer(Options(), records, 110) is None
    with pytest.raises(InputError, match="^tokenizer=.*not the vocabulary that made the records of input_file"):
        find_tokenizer(Options(tokenizer=tokenizer.path), records, 110)


def test_a_tokenizer_must_fit_the_model(corpus):
    path, tokenizer = corpus
    with pytest.raises(InputError, match="110 pieces, but the config's vocab_size is 100"):
        find_tokenizer(Options(), [path], 100)


@pytest.mark.parametrize("packed", [False, True])
def test_masks_change_from_epoch_to_epoch_and_the_text_does_not(corpus, packed):
    path, tokenizer = corpus
    dataset = RecordDataset([path], 64, 10)
    batches = training_batches(Options(pack_sequences=packed), dataset, tokenizer, 0, 1, start_record=0)
    read = np.zeros(110, int)
    while batches.epoch < 3:
        read += pieces(next(batches))
    batches.close()
    stored = pieces(dataset.read(np.arange(dataset.num_records)))
    # At least three whole epochs of the same pieces were read, less than four, and no <mask>.
    assert (read >= 3 * stored).all() and (read <= 4 * stored).all()
    assert read[tokenizer.mask_id] == 0


def pieces(batch):
    """How often each piece occurs in the text of a batch, its masks filled in: int (V,)."""
    text = unmask(*(batch[field] for field in ("input_ids", "masked_lm_positions", "masked_lm_ids",
                                               "masked_lm_weights")))
    return np.bincount(text[batch["input_mask"] > 0], minlength=110)


def test_masks_resume_where_they_stopped(corpus):
    path, tokenizer = corpus
    dataset = RecordDataset([path], 64, 10)

    def take(number, start_record=0):
        batches = training_batches(Options(pack_sequences=True), dataset, tokenizer, 0, 1, start_record)
        taken = [(next(batches), batches.position) for _ in range(number)]
        batches.close()
        return taken

    whole = take(6)
    rest = take(3, start_record=whole[2][1])
    for (batch, position), (resumed, resumed_position) in zip(whole[3:], rest):
        assert position == resumed_position
        assert all((batch[name] == resumed[name]).all() for name in batch)
