"""bin/benchmark: what its tables say is what was done; nothing is asserted about speed."""

import json
import sys

import pytest
from conftest import own_lines, run_command
from small_corpus import make_documents, make_tokenizer, write_documents

from albert_hvd.data.records.build import ExampleOptions, build
from albert_hvd.errors import InputError, RunFailed
from benchmarks import command_usage
from benchmarks.report import Report


def run_benchmark(*words, **flags):
    return run_command("benchmark", words=words, **flags)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a.txt, small.model, and config.json of a tiny model for it."""
    folder = tmp_path_factory.mktemp("benchmark")
    write_documents(folder / "a.txt", make_documents(40))
    tokenizer = make_tokenizer(folder)
    config = {"vocab_size": tokenizer.vocab_size, "embedding_size": 8, "hidden_size": 16, "num_hidden_layers": 1,
              "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.tier("all")
def test_data(files, tmp_path):
    result = run_benchmark("data", input_file=files / "a.txt", tokenizer=files / "small.model", sizes="0.05,0.1",
                           max_seq_length=64, max_predictions_per_seq=10, repeats=1, num_shards=2,
                           scratch_dir=tmp_path, json=tmp_path / "figures.json", compare_published=True)
    assert result.returncode == 0, result.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert [row["what"] for row in figures["rows"]] == [
        "one document", "text repeated to 0.05 MB", "text repeated to 0.1 MB", "SentencePiece alone, 1 thread",
        "SentencePiece alone, 2 threads"]
    one, small, large = figures["rows"][:3]
    assert 0.05 <= small["MB"] < 0.06 and 0.1 <= large["MB"] < 0.11 and one["MB"] < 0.005
    for row in (one, small, large):
        assert row["RSS sum MiB"] >= row["RSS largest MiB"] > 20 and row["CPU s"] > 0
        assert set(row) >= {"wall s"}
    assert large["MB/s"] == large["MB"] / large["wall s"] and large["tokens/s"] > 0
    assert figures["settings"]["max_seq_length"] == 64 and figures["versions"]["python"] and figures["machine"]["cores"]
    for words in ("Published, not measured here", "Peak RSS", "SentencePiece takes", "text repeated to 0.1 MB"):
        assert words in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]  # the scratch text and records are gone


@pytest.mark.tier("all")
def test_data_of_preprocess(files, tmp_path):
    result = run_benchmark("data", command="preprocess", input_file=files / "a.txt", sizes="0.05,0.2", repeats=1,
                           num_shards=2, scratch_dir=tmp_path, json=tmp_path / "figures.json")
    assert result.returncode == 0, result.stderr
    _, small, large = json.loads((tmp_path / "figures.json").read_text())["rows"]
    assert 0.97 * large["MB"] < large["MB out"] <= large["MB"] and small["MB/CPU-s net"] > 0
    assert "Peak RSS" in result.stdout and "SentencePiece" not in result.stdout
    assert all(f"{name} 0." in result.stdout for name in ("shorten_letters", "links", "signature"))
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


@pytest.mark.tier("all")
def test_input(files, tmp_path):
    build(str(files / "a.txt"), str(files / "small.model"), str(tmp_path / "a.tfrecord"), ExampleOptions(64, 10),
          report=lambda line: None)
    result = run_benchmark("input", input_file=tmp_path / "a.tfrecord", bert_config_file=files / "config.json",
                           tokenizer=files / "small.model", max_seq_length=64, max_predictions_per_seq=10,
                           seconds=0.1, json=tmp_path / "figures.json")
    assert result.returncode == 0, result.stderr
    rows = {row["what"]: row for row in json.loads((tmp_path / "figures.json").read_text())["rows"]}
    pipelines = [f"pipeline, {kind}{masks}" for masks in ("", ", dynamic masking") for kind in ("unpacked", "packed")]
    assert list(rows) == [*pipelines, "training, unpacked", "training, packed"]
    for name in pipelines:
        consumed = rows["training, packed" if ", packed" in name else "training, unpacked"]["rows/s"]
        assert rows[name]["x the model"] == pytest.approx(rows[name]["rows/s"] / consumed)
    assert rows["pipeline, packed"]["fill %"] > rows["pipeline, unpacked"]["fill %"]
    assert "wanted: 10" in result.stdout


@pytest.mark.parametrize("words, flags, message", [
    ((), {}, "the first word must be one of"), (("speed",), {}, "speed: the first word must be one of"),
    (("data", "input"), {}, "the first word must be one of"),
    (("data",), {}, "--input_file is missing"), (("data",), {"sizes": "big"}, "--sizes=big"),
    (("data",), {"repeats": 0}, "--repeats=0"), (("data",), {"scratch_dir": "/nowhere"}, "--scratch_dir=/nowhere"),
    (("input",), {}, "--input_file is missing"), (("input",), {"steps": 3}, "steps")])
def test_bad_flags_are_one_clear_line(files, words, flags, message):
    if words == ("data",) and flags:
        flags = {"input_file": files / "a.txt", "tokenizer": files / "small.model", **flags}
    result = run_benchmark(*words, **flags)
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    (line,) = own_lines(result, "benchmark")
    assert message in line


def test_each_benchmark_has_a_help_of_its_own():
    assert "bin/benchmark data " in run_benchmark("--help").stdout
    result = run_benchmark("data", "--help")
    assert result.returncode == 0 and "--sizes" in result.stdout and "--bert_config_file" not in result.stdout


def test_usage_counts_the_processes_that_a_command_starts():
    child = "import time; x = bytearray(60_000_000); time.sleep(0.5)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    usage = command_usage.run_command([sys.executable, "-c", parent])
    assert usage.wall_sec > 0.5 and usage.largest_mib > 57 and usage.sum_mib > usage.largest_mib
    with pytest.raises(RunFailed, match="(?s)exit code 3.*why"):
        command_usage.run_command([sys.executable, "-c", "print('why'); exit(3)"])


def test_a_report_is_a_table_and_whole_json(tmp_path):
    report = Report("some", {"a": 1, "b": None}, [{"what": "x", "MB": 1234.5}, {"what": "longer", "s": 0.12345}], ["n"])
    lines = report.lines()
    assert lines[0] == "some: a=1"
    assert lines[lines.index("") + 1:] == ["what      MB       s", "x       1234", "longer        0.1235", "", "n"]
    report.write_json(str(tmp_path / "a.json"))
    assert json.loads((tmp_path / "a.json").read_text())["rows"] == report.rows
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="^json"):
        report.write_json(str(tmp_path / "file" / "a.json"))
