"""What is written is read back the same: records, manifests, checkpoints, configs, documents."""

import csv
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from record_targets import example_class

from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.data.records.example import FIELDS, decode_examples, encode_examples
from albert_hvd.data.records.manifest import read_manifest, write_manifest
from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.data.text.documents import read_documents
from albert_hvd.finetuning.labelled_data import read_sentences, read_texts
from albert_hvd.model.config import ARCHITECTURES, AlbertConfig
from albert_hvd.run_folder.checkpoints import WEIGHTS, CheckpointFolder, find_checkpoint, load_arrays, read_state

SEQ, PREDICTIONS, LARGEST = 5, 3, 2**21 - 1
quick = settings(derandomize=True, max_examples=40, deadline=None)

bits = st.integers(0, 1)
records = st.fixed_dictionaries({
    **{name: st.lists(values, min_size=length, max_size=length) for name, length, values in (
        ("input_ids", SEQ, st.integers(0, LARGEST)), ("input_mask", SEQ, bits), ("segment_ids", SEQ, bits),
        ("masked_lm_positions", PREDICTIONS, st.integers(0, SEQ - 1)),
        ("masked_lm_ids", PREDICTIONS, st.integers(0, LARGEST)),
        ("masked_lm_weights", PREDICTIONS, st.floats(0, 1, width=32)), ("next_sentence_labels", 1, bits))}})
# As a person might write it: no surrogates, and nothing that ends a line.
text = st.text(st.characters(blacklist_categories=("Cs", "Cc", "Zl", "Zp")), max_size=20).map(
    lambda text: " ".join(text.split())).filter(bool)
small = st.integers(1, 2**31 - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("round_trips")


def columns(rows):
    return {name: np.array([row[name] for row in rows], np.float32 if "weights" in name else np.int64)
            for name in FIELDS}


@quick
@given(st.lists(records, min_size=1, max_size=4))
def test_examples_are_what_protobuf_reads(rows):
    batch = columns(rows)
    examples = encode_examples(batch)
    decoded = decode_examples(examples, SEQ, PREDICTIONS)
    for name in FIELDS:
        np.testing.assert_array_equal(decoded[name], batch[name])
    for example, row in zip(examples, rows, strict=True):
        features = example_class().FromString(example).features.feature
        assert features["masked_lm_weights"].float_list.value == row["masked_lm_weights"]
        assert all(features[name].int64_list.value == row[name] for name in FIELDS if "weights" not in name)


@quick
@given(st.lists(records, min_size=1, max_size=4), st.booleans())
def test_shards(folder, rows, by_row):
    path, batch = str(folder / "a.tfrecord"), columns(rows)
    with RecordWriter(path) as writer:
        for part in ([columns([row]) for row in rows] if by_row else [batch]):
            writer.write_batch(part)
    dataset = RecordDataset([path], SEQ, PREDICTIONS, LARGEST + 1)
    read, (tokens, predictions) = dataset.read(np.arange(len(rows))), dataset.lengths()
    dataset.close()
    assert all((read[name] == batch[name]).all() for name in FIELDS)
    assert tokens.tolist() == [sum(row["input_mask"]) for row in rows]
    assert predictions.tolist() == [sum(weight > 0 for weight in row["masked_lm_weights"]) for row in rows]


@quick
@given(st.dictionaries(st.sampled_from("ab"), st.dictionaries(text, st.integers(), max_size=3), min_size=1), text)
def test_manifests_of_several_builds(folder, entries, option):
    for name in "ab":
        (folder / name).touch()
    (folder / "manifest.json").unlink(missing_ok=True)
    for name, entry in entries.items():
        write_manifest(str(folder), f"build {name}", {"option": option}, {name: entry})
    manifest = read_manifest(str(folder))
    assert manifest["shards"] == {name: {"build": f"build {name}", **entry} for name, entry in entries.items()}
    assert manifest["builds"] == {f"build {name}": {"option": option} for name in entries}


@quick
@given(small, small, st.integers(1, 99), small, st.floats(0, 0.99), st.sampled_from(ARCHITECTURES))
def test_configs(folder, vocab_size, embedding_size, heads, layers, rate, architecture):
    config = AlbertConfig(vocab_size, embedding_size, hidden_size=heads * 8, num_attention_heads=heads,
                          num_hidden_layers=layers, hidden_dropout_prob=rate, architecture=architecture)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    assert AlbertConfig.from_json_file(str(folder / "config.json")) == config


@quick
@given(st.binary(min_size=4, max_size=64), st.integers(0, 10**9), st.dictionaries(text, text, max_size=3))
def test_checkpoints(tmp_path_factory, content, step, state):
    weights = {"a/b": np.frombuffer(content[:len(content) // 4 * 4], np.float32)}  # NaN and the like too
    checkpoints = CheckpointFolder(str(tmp_path_factory.mktemp("checkpoints")))
    checkpoints.save(step, weights, None, {"kept": state})
    path = find_checkpoint(checkpoints.folder, "init_checkpoint")
    assert path == checkpoints.path(step) and read_state(path)["kept"] == state and read_state(path)["step"] == step
    loaded = load_arrays(path, WEIGHTS, {"a/b": weights["a/b"].shape}, path)
    assert loaded["a/b"].tobytes() == weights["a/b"].tobytes()


@quick
@given(st.lists(text, min_size=1, max_size=4))
def test_documents_of_json_lines_and_tables(folder, texts):
    (folder / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with open(folder / "a.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(texts)])
    for name in ("a.jsonl", "a.csv"):
        assert list(read_documents(str(folder / name))) == [[text] for text in texts]


@quick
@given(st.lists(st.tuples(text, text), min_size=1, max_size=4))
def test_labelled_json_lines(folder, pairs):
    path = folder / "labelled.jsonl"
    path.write_text("".join(json.dumps({"label": label, "text": text}) + "\n" for label, text in pairs))
    assert [(*one.labels, one.inputs) for one in read_texts(str(path), "train_file")] == pairs
    words, tags = zip(*pairs)
    path.write_text(json.dumps({"words": words, "tags": tags}))
    sentence, = read_sentences(str(path), "train_file")
    assert (sentence.inputs, sentence.labels) == (words, tags)


def test_a_manifest_names_files_whose_names_are_no_text(folder):
    (folder / "c").touch()
    build = {"input_files": [os.fsdecode(b"caf\xe9.txt")]}
    write_manifest(str(folder), "c", build, {"c": {}})
    assert read_manifest(str(folder))["builds"]["c"] == build
