"""bin/benchmark train --device=gpu: configurations, the device's trace, and the turns, rehearsed on the CPU."""

import json
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest

from albert_hvd.errors import InputError, RunFailed
from albert_hvd.model.config import AlbertConfig
from benchmarks import gpu_train, train
from benchmarks.contest import run_by_turns
from benchmarks.gpu_round import idle_share, longest_kernels, read_tensorflow_trace
from benchmarks.gpu_train import parse_configurations
from benchmarks.peer_process import _padded, clean_environment

SIZES = dict(vocab_size=50, embedding_size=4, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
             intermediate_size=16, max_position_embeddings=32)


@pytest.fixture
def config_file(tmp_path):
    (tmp_path / "albert_config_tiny.json").write_text(json.dumps(AlbertConfig(**SIZES).to_dict()))
    return str(tmp_path / "albert_config_tiny.json")


def options(**changes):
    return train.Options(**{"device": "rehearsal", "attention": "plain", "bert_config_file": "c/albert_config_tiny.json",
                            **changes})


def test_configurations_name_model_positions_and_rows():
    found = parse_configurations(options(configs="base:512,large:128:40,packed:base:3,packed", input_file="x.tfrecord",
                                         max_seq_length=512, max_predictions_per_seq=51))
    assert [(c.config_file, c.positions, c.rows, c.packed) for c in found] == [
        ("c/albert_config_base.json", 512, 64, False), ("c/albert_config_large.json", 128, 40, False),
        ("c/albert_config_base.json", 512, 3, True), ("c/albert_config_base.json", 512, 64, True)]


def test_without_configurations_the_flags_of_one_count():
    found, = parse_configurations(options(max_seq_length=32, train_batch_size=5))
    assert (found.config_file, found.positions, found.rows, found.packed) == ("c/albert_config_tiny.json", 32, 5, False)


@pytest.mark.parametrize("configs", ["base", "base:x", "base:0", "base:1:2:3", "packed:base:1:2"])
def test_bad_configurations_are_refused(configs):
    with pytest.raises(InputError, match="--configs"):
        parse_configurations(options(configs=configs, input_file="x", max_predictions_per_seq=5))


def test_packed_configurations_need_records():
    with pytest.raises(InputError, match="--input_file"):
        parse_configurations(options(configs="packed:base"))


@pytest.mark.parametrize("changes, named", [
    ({"device": "tpu"}, "--device=tpu"), ({"attention": "plain,flash"}, "--attention=plain,flash"),
    ({"peer_kernels": "math"}, "--peer_kernels=math")])
def test_bad_flags_are_refused(config_file, changes, named):
    with pytest.raises(InputError, match=named):
        train.run(options(bert_config_file=config_file, **changes), None)


def test_a_machine_without_a_gpu_is_refused(config_file, monkeypatch):
    monkeypatch.setattr(gpu_train, "first_gpu_name", lambda: None)
    with pytest.raises(InputError, match="--device=gpu: NVIDIA's driver shows no GPU"):
        train.run(options(bert_config_file=config_file, max_seq_length=16, device="gpu"), None)


def test_the_device_is_idle_where_no_event_of_any_stream_is():
    trace = [["a", 100.0, 10.0], ["b", 105.0, 10.0], ["c", 106.0, 1.0], ["a", 130.0, 10.0]]  # busy 15 + 10 of 40
    assert idle_share(trace) == pytest.approx(15 / 40)
    assert idle_share([]) is None
    assert longest_kernels(trace, 1) == [("a", 20 / 31, 2)]


def test_tensorflows_trace_gives_the_events_of_the_streams(tmp_path):
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    for plane_name, line_name in (("/device:GPU:0", "Stream #7"), ("/device:GPU:0", "XLA Ops"), ("/host:CPU", "Stream #7")):
        plane = space.planes.add(name=plane_name)
        plane.event_metadata[3].name = "gemm"
        line = plane.lines.add(name=line_name, timestamp_ns=2000)
        line.events.add(metadata_id=3, offset_ps=5_000_000, duration_ps=1_000_000)
    folder = tmp_path / "plugins" / "profile" / "run"
    folder.mkdir(parents=True)
    (folder / "host.xplane.pb").write_bytes(space.SerializeToString())
    assert read_tensorflow_trace(str(tmp_path)) == [["gemm", 7.0, 1.0]]


def test_the_peer_gets_no_package_of_tensorflows_environment():
    environment = clean_environment({"PYTHONPATH": "/kit/site", "VIRTUAL_ENV": "/kit", "HOME": "/root",
                                     "LD_LIBRARY_PATH": "/kit/cuda:/driver/lib64:"})
    assert environment == {"VIRTUAL_ENV": "/kit", "HOME": "/root", "LD_LIBRARY_PATH": "/driver/lib64"}


def test_the_peers_batches_have_few_lengths_and_no_mask_that_hides_nothing():
    def batch(length, real):
        mask = (np.arange(length) < real)[None].astype(np.int64)
        return {"input_ids": mask * 7, "attention_mask": mask, "labels": np.full((1, length), -100),
                "sentence_order_label": np.zeros(1, np.int64)}

    padded = _padded(batch(130, 130), 512)
    assert padded["input_ids"].shape == padded["labels"].shape == (1, 256)
    assert padded["attention_mask"].sum() == 130 and (padded["labels"] == -100).all()
    full = _padded(batch(100, 100), 100)
    assert full["input_ids"].shape == (1, 100) and "attention_mask" not in full


def test_the_peer_trains_in_a_process_of_its_own_and_ends_with_its_questions(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    ids = np.random.default_rng(0).integers(5, 50, (4, 16))
    np.savez(tmp_path / "0.npz", input_ids=ids, token_type_ids=np.zeros_like(ids), labels=ids,
             sentence_order_label=np.array([0, 1, 0, 1]))
    settings = {"sizes": {key: SIZES[key] for key in SIZES}, "precision": "bfloat16", "kernel": None, "compile": False,
                "device": "cpu", "seed": 1, "learning_rate": 0.03, "weight_decay": 0.0, "clip_norm": 1.0, "steps": 5,
                "batches": [str(tmp_path / "0.npz")]}
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    script = pathlib.Path(train.__file__).with_name("huggingface_peer.py")
    with subprocess.Popen([sys.executable, script, tmp_path / "settings.json"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as peer:
        answers = [json.loads(peer.stdout.readline())]
        for question in ("round", "round", "finish"):
            print(question, file=peer.stdin, flush=True)
            answers.append(json.loads(peer.stdout.readline()))
        peer.stdin.close()
        assert peer.wait(timeout=60) == 0
    ready, first, second, end = answers
    assert ready["setup_sec"] > 0 and set(ready["versions"]) == {"torch", "transformers"}
    assert first["batches"] == second["batches"] == [0] * 5
    assert second["loss"] < first["loss"] < 10
    assert end == {"peak": 0, "trace": []}


class Finished:
    """A contestant with a last word."""

    def __call__(self):
        return 1

    def finish(self):
        return "done"


class WithoutLastWord(Finished):
    def finish(self):
        raise RunFailed("no trace")


def sleeping():
    time.sleep(60)


def broken():
    raise RunFailed("no kernel")


def test_contestants_that_fail_or_take_too_long_leave_the_others_alone():
    failures = {}
    outcome = run_by_turns({"good": (Finished, ()), "broken": (broken, ()), "slow": (sleeping, ()),
                             "silent": (WithoutLastWord, ())}, 2, 16, failures, together=["slow"])
    assert outcome == {"good": ([1, 1], "done"), "silent": ([1, 1], None)}
    assert failures == {"silent": "silent: no trace", "broken": "broken: no kernel", "slow": "slow: not done in time"}


def test_a_rehearsal_fills_the_table_and_prints_each_configuration(config_file, capfd):
    report = train.run(options(bert_config_file=config_file, configs="tiny:16:4", rounds=1, steps=2), None)
    row, = report.rows
    assert row["program"] == "albert_hvd, plain" and row["rows"] == 4
    assert row["real tokens/s"] == pytest.approx(16 * row["sequences/s"])
    assert row["ms an update"] == pytest.approx(1e3 * 4 / row["sequences/s"])
    line = json.loads(next(line for line in capfd.readouterr().out.splitlines() if line.startswith("{")))
    assert line["configuration"] == "tiny:16:4" and line["rows"] == report.rows and line["failures"] == {}
