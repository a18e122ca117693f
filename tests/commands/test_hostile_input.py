"""Every data command is fed what nobody would write: clear results, nothing lost, exit code 0 or 2."""

import json

import numpy as np
import pytest
from conftest import own_lines, run_command
from small_corpus import make_documents, make_tokenizer

from albert_hvd.data.records.dataset import RecordDataset

LINE = "ini satu baris yang sangat panjang sekali tanpa henti "
HOSTILE = {
    "one_line": (LINE * (5_000_000 // len(LINE))).encode(),
    "no_spaces": b"abcdefghij" * 50_000,
    "invalid": b"baik \xff\xfe\x80 sekali. Ya \xc3\n\nSatu \xed\xa0\x80 lagi dokumen.\n",
    "nul": b"satu\0dua\0\0\n\n\0\n\ntiga empat\n",
    "emoji": "😀😀😀😀 saya ❤️ awak 👨‍👩‍👧\n\n😀\n\n🇲🇾\n".encode(),
    "jawi": "بهاس ملايو دتوليس دڠن توليسن جاوي.\n\nسلامت ڤاڬي\n".encode(),
    "odd_ends": "satu dua tiga\r\rempat\r\n\r\nlima\u0085enam\x0c\n\n\n\n\n".encode(),
    "one_word": b"satu"}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocabulary")
    make_tokenizer(folder)
    return folder / "small.model"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    for name, data in HOSTILE.items():
        (folder / f"{name}.txt").write_bytes(data)
    (folder / "empty.txt").write_bytes(b"")
    (folder / "blank.txt").write_bytes(b"\n \n\t\n\n")
    return folder


def test_preprocess(hostile, tmp_path):
    result = run_command("preprocess", input_file=hostile, output_file=tmp_path / "out.txt", num_workers=1,
                         exact_duplicates=False, near_duplicates=False, remove_spam_runs=False)
    assert result.returncode == 0, result.stderr
    text = (tmp_path / "out.txt").read_text(encoding="utf-8")
    for expected in ("satu dua\n\ntiga empat\n", "saya ❤️ awak 👨‍👩‍👧", "🇲🇾", "بهاس ملايو دتوليس دڠن توليسن جاوي.",
                     "lima...enam", "baik ��� sekali."):
        assert expected in text, expected
    assert text.count("panjang sekali") == HOSTILE["one_line"].count(b"panjang sekali") and "\0" not in text
    assert "invalid bytes were read as U+FFFD" in result.stdout


def test_train_tokenizer(hostile, tmp_path):
    files = ",".join(str(hostile / f"{name}.txt") for name in ("one_line", "invalid", "nul", "emoji", "jawi", "empty"))
    result = run_command("train_tokenizer", input_file=files, model_prefix=tmp_path / "v", vocab_size=55)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "v.model").exists() and "bytes per token" in result.stdout


def test_create_pretraining_data(hostile, vocabulary, tmp_path):
    result = run_command("create_pretraining_data", input_file=f"{hostile}/*.txt", tokenizer=vocabulary,
                         output_file=tmp_path / "a.tfrecord", max_seq_length=64, max_predictions_per_seq=10,
                         dupe_factor=1, num_workers=1)
    assert result.returncode == 0, result.stderr
    dataset = RecordDataset([str(tmp_path / "a.tfrecord")], 64, 10, vocab_size=110)
    tokens = json.loads((tmp_path / "manifest.json").read_text())["builds"]
    (build,) = tokens.values()
    assert dataset.lengths()[0].sum() == build["statistics"]["tokens"] + 3 * dataset.num_records
    assert build["statistics"]["invalid_bytes"] > 0
    batch = dataset.read(np.arange(min(dataset.num_records, 2000)))
    assert (batch["input_ids"] < 110).all()


@pytest.mark.parametrize("command, extra", [
    ("preprocess", {"output_file": "out"}), ("train_tokenizer", {"model_prefix": "out", "vocab_size": 50}),
    ("create_pretraining_data", {"output_file": "out", "tokenizer": "VOCABULARY"})])
def test_nothing_to_read_is_one_clear_line(hostile, vocabulary, tmp_path, command, extra):
    flags = {name: str(vocabulary) if value == "VOCABULARY" else value for name, value in extra.items()}
    for pattern, message in ((f"{hostile}/empty.txt", "text"), (f"{hostile}/blank.txt", "text"),
                             (f"{hostile}/missing.txt", "no such file"), (f"{hostile}/none*", "no file matches")):
        result = run_command(command, cwd=tmp_path, input_file=pattern, **flags)
        lines = own_lines(result, command)
        assert result.returncode == 2 and len(lines) == 1 and "Traceback" not in result.stderr, result.stderr
        assert "--input_file" in lines[0] and message in lines[0]
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize("command", ["preprocess", "train_tokenizer", "create_pretraining_data"])
def test_an_unwritable_place_is_one_clear_line(hostile, vocabulary, tmp_path, command):
    (tmp_path / "file").write_text("in the way")
    target = {"train_tokenizer": "model_prefix"}.get(command, "output_file")
    extra = {"tokenizer": vocabulary} if command == "create_pretraining_data" else {}
    result = run_command(command, input_file=f"{hostile}/jawi.txt", **{target: tmp_path / "file" / "out"}, **extra)
    assert result.returncode == 2 and f"--{target}" in own_lines(result, command)[0], result.stderr


def test_the_three_commands_in_a_row(tmp_path):
    documents = make_documents(80, 4)
    (tmp_path / "raw.jsonl").write_text("".join(json.dumps({"text": "\n".join(lines)}) + "\n" for lines in documents))
    for command, flags in (
            ("preprocess", {"input_file": "raw.jsonl", "output_file": "clean.txt"}),
            ("train_tokenizer", {"input_file": "clean.txt", "model_prefix": "v", "vocab_size": 100}),
            ("create_pretraining_data", {"input_file": "clean.txt", "tokenizer": "v.model", "max_seq_length": 64,
                                         "max_predictions_per_seq": 10, "output_file": "r/train.tfrecord@2"})):
        result = run_command(command, cwd=tmp_path, **flags)
        assert result.returncode == 0, result.stderr
    *names, vocabulary = sorted(path.name for path in (tmp_path / "r").glob("[!.]*"))
    assert names == ["manifest.json", "train.tfrecord-00000-of-00002", "train.tfrecord-00001-of-00002"]
    assert (tmp_path / "r" / vocabulary).read_bytes() == (tmp_path / "v.model").read_bytes()


@pytest.mark.tier("ci")
def test_one_line_of_50_mb(vocabulary, tmp_path):
    """Cut into documents of a bounded size, with no word lost."""
    number = 50_000_000 // len(LINE)
    (tmp_path / "a.txt").write_text(LINE * number)
    for command, flags in (
            ("preprocess", {"output_file": "clean.txt", "exact_duplicates": False, "near_duplicates": False}),
            ("train_tokenizer", {"model_prefix": "v", "vocab_size": 40}),
            ("create_pretraining_data", {"output_file": "r.tfrecord", "tokenizer": vocabulary, "dupe_factor": 1})):
        result = run_command(command, cwd=tmp_path, input_file="a.txt", **flags)
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "clean.txt").read_text().split() == LINE.split() * number
    (build,) = json.loads((tmp_path / "manifest.json").read_text())["builds"].values()
    dataset = RecordDataset([str(tmp_path / "r.tfrecord")], 512, 51)
    assert dataset.lengths()[0].sum() == build["statistics"]["tokens"] + 3 * dataset.num_records
