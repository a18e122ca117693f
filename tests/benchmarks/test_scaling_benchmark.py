"""bin/benchmark scaling: what is predicted, from what, and ranks that take turns; nothing is asserted about speed."""

import json
import os
import time

import pytest

from albert_hvd.errors import InputError, RunFailed
from albert_hvd.model.config import AlbertConfig
from benchmarks.contest import run_by_turns
from benchmarks.gradients import gradient_shapes, num_gradient_values
from benchmarks.published_scaling import TABLES, compare_published, missing_seconds, speeds
from benchmarks.ranks import RankSetting, play_ranks
from benchmarks.scaling import Options, read_measurements, run
from benchmarks.scaling_model import Link, Measurement, Training, predict_models, ring_seconds

LINK = Link(latency_sec=1e-3, bytes_per_sec=2e8)


@pytest.fixture
def config_file(tmp_path, tiny_config):
    (tmp_path / "albert_config_small.json").write_text(json.dumps(tiny_config.to_dict()))
    return str(tmp_path / "albert_config_small.json")


@pytest.fixture
def allreduce_file(tmp_path):
    """What bin/benchmark allreduce writes, of 2 ranks and a link that is known."""
    rows = [{"message": kind, "bytes": size, "microseconds": 1e6 * ring_seconds(size, 2, LINK) * factor}
            for size in (4, 10**4, 10**7) for kind, factor in (("float32", 1), ("float16", 9))]
    (tmp_path / "allreduce.json").write_text(json.dumps({"settings": {"ranks": 2}, "rows": rows}))
    return str(tmp_path / "allreduce.json")


@pytest.mark.parametrize("architecture", ["albert", "brightmart"])
def test_values_of_a_gradient_are_those_of_the_model(architecture):
    config = AlbertConfig(vocab_size=50, embedding_size=4, hidden_size=8, num_hidden_layers=3, num_attention_heads=2,
                          intermediate_size=20, max_position_embeddings=32, architecture=architecture)
    assert num_gradient_values(config) == sum(shape.num_elements() for shape in gradient_shapes(config))


def test_published_figures_stand_beside_predictions():
    rows = compare_published()
    assert [(row["published"], row["GPUs"]) for row in rows] == [
        (table.name, gpus) for table in TABLES for gpus in table.updates_per_sec]
    for row in rows:
        assert row["deviation %"] == pytest.approx(100 * (row["predicted"] / row["updates/s"] - 1))
        assert row["missing ms"] == pytest.approx(1e3 * (1 / row["updates/s"] - 1 / row["predicted"]), abs=1e-9)
    first = {table.name: next(iter(table.updates_per_sec)) for table in TABLES}
    fitted = [row for row in rows if row["GPUs"] == first[row["published"]]]
    assert [row["deviation %"] for row in fitted] == pytest.approx([0.0] * len(TABLES), abs=1e-9)
    assert [row["efficiency %"] for row in rows if row["published"].startswith("AWS")] == pytest.approx(
        [100, 100 * 0.46 / 0.48, 100 * 0.90 / 0.96, 100 * 1.73 / 1.92])
    others = sorted(row["missing ms"] for row in rows if row not in fitted)
    assert others[0] <= 1e3 * missing_seconds(rows) <= others[-1]


def test_models_are_predicted_on_every_system():
    config = AlbertConfig(vocab_size=100)
    trainings = {name: Training(config, values, 4, 128, 12, 1024) for name, values in (("a", 10**7), ("b", 2 * 10**7))}
    rows = predict_models(trainings, speeds(128), missing_sec=0.01)
    systems = list(dict.fromkeys(table.system.name for table in TABLES))
    assert [(row["system"], row["model"], row["GPUs"]) for row in rows] == [
        (system, model, gpus) for system in systems for model in "ab" for gpus in (3, 8, 16, 32, 64, 128, 256, 512)]
    for row in rows:
        assert row["sequences/s"] == pytest.approx(1024 * row["updates/s"])
        assert row["sequences/s, slower"] == pytest.approx(1024 / (1 / row["updates/s"] + 0.01))
        assert row["efficiency %, slower"] < row["efficiency %"] < 100
    for smaller, larger in zip(rows, rows[1:]):
        if smaller["model"] == larger["model"] and smaller["GPUs"] < larger["GPUs"]:
            assert smaller["efficiency %"] > larger["efficiency %"]


def test_measurements_of_several_files(allreduce_file):
    measurements = read_measurements(f"{allreduce_file},{allreduce_file}")
    expected = [Measurement(2, size, pytest.approx(ring_seconds(size, 2, LINK))) for size in (4, 10**4, 10**7)]
    assert measurements == expected * 2


@pytest.mark.parametrize("text", [
    "", "[]", "{}", '{"settings": {"ranks": 2}, "rows": []}', '{"settings": {"ranks": "x"}, "rows": []}',
    '{"settings": {"ranks": 2}, "rows": [{"message": "float32", "bytes": 4}]}',
    '{"settings": {"ranks": 2}, "rows": [{"message": "float32", "bytes": 4, "microseconds": 0},'
    ' {"message": "float32", "bytes": 8, "microseconds": 1}]}',
    '{"settings": {"ranks": 1}, "rows": [{"message": "float32", "bytes": 4, "microseconds": 1},'
    ' {"message": "float32", "bytes": 8, "microseconds": 1}]}'])
def test_other_files_are_no_measurements(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="--allreduce=.*a.json"):
        read_measurements(str(tmp_path / "a.json"))


def test_predictions_alone(config_file, allreduce_file, tmp_path):
    report = run(Options(model=config_file, max_seq_length=16, measure=False, allreduce=allreduce_file,
                         plot=str(tmp_path / "plot.png")), "/nowhere")
    assert report.rows == []  # nothing was trained
    fitted, published, predicted = report.sections.values()
    assert [row["bytes"] for row in fitted] == [4, 10**4, 10**7]
    assert [row["residual %"] for row in fitted] == pytest.approx([0.0] * 3, abs=1e-6)
    assert published == compare_published()
    assert {row["model"] for row in predicted} == {"small"}
    assert any("1000 microseconds and 200 MB/s" in note for note in report.notes)
    for table in TABLES:
        assert any(table.source in note for note in report.notes)
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("changes, named", [
    ({"model": "/nowhere.json"}, "model=/nowhere.json"), ({"max_seq_length": 17}, "--max_seq_length=17"),
    ({"ranks": 1}, "--ranks=1"), ({"rounds": 0}, "--rounds=0"), ({"steps": 0}, "--steps=0"),
    ({"micro_batch_size": 0}, "--micro_batch_size=0"), ({"train_batch_size": 511}, "--train_batch_size=511"),
    ({"allreduce": "/nowhere.json"}, "--allreduce=/nowhere.json"), ({"plot": "/dev/null/a.png"}, "^plot: ")])
def test_bad_flags_are_refused(config_file, changes, named):
    with pytest.raises(InputError, match=named):
        run(Options(**{"model": config_file, "max_seq_length": 16, **changes}), "/nowhere")


def processes_of(text):
    """Numbers of the processes whose command line holds `text`."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if text.encode() in file.read():
                    found.append(pid)
        except OSError:  # it has ended
            pass
    return found


@pytest.mark.parallel
@pytest.mark.tier("all")
def test_ranks_take_turns_and_leave(tiny_config):
    config = AlbertConfig(**{**tiny_config.to_dict(), "vocab_size": 61})  # by which the ranks are known
    setting = RankSetting(config, max_seq_length=16, rows=2, steps=2)
    outcome = run_by_turns({"alone": (play_ranks, (setting, 1, False)), "two": (play_ranks, (setting, 2, True))}, 2)
    assert all(len(rounds) == 2 and min(rounds) > 0 for rounds, _ in outcome.values())
    deadline = time.monotonic() + 300
    while processes_of('"vocab_size": 61'):
        assert time.monotonic() < deadline, "the ranks are still there"
        time.sleep(0.1)


@pytest.mark.parallel
@pytest.mark.tier("all")
def test_ranks_that_fail_are_told_of():
    setting = RankSetting(AlbertConfig(vocab_size=50, max_position_embeddings=8), max_seq_length=9, rows=1, steps=1)
    with pytest.raises(RunFailed, match="horovodrun -np 1"):
        run_by_turns({"alone": (play_ranks, (setting, 1, False))}, 1)
