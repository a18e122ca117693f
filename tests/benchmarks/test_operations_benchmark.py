"""bin/benchmark operations: the profiler's names become kinds, the shares are those of a whole, and one core is compared."""

import json

import pytest

from albert_hvd.errors import InputError
from benchmarks.operations import COMPILED, Options, Profile, kind_of, rows_of, run, time_by_kind
from conftest import run_command


@pytest.mark.parametrize("name, kind", [
    ("StatefulPartitionedCall/gradient_tape/MatMul_12/MatMul_1:_MklMatMul", "MatMul"),
    ("StatefulPartitionedCall/MatMul:_MklNativeFusedMatMul", "FusedMatMul"),
    ("a/b:_MklBatchMatMulV2", "BatchMatMul"), ("AddN_3:AddN", "AddN"), ("a:_FusedMatMul", "MatMul"),
    ("CpuExecutable::ExecuteAsyncOnStream", COMPILED), ("ExecutorState::Process", None), ("python call", None),
    ("EagerLocalExecute: ParseExampleV2", None), ("f:__inference_step_12", None)])
def test_kinds(name, kind):
    assert kind_of(name) == kind


@pytest.mark.tier("ci")
def test_an_update_is_made_of_operations(tmp_path, tiny_config):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict()))
    result = run_command("benchmark", words=["operations"], bert_config_file=tmp_path / "config.json", max_seq_length=16,
                         train_batch_size=2, steps=2, one_core=True, json=tmp_path / "report.json")
    assert result.returncode == 0, result.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    rows = {row.pop("operation"): row for row in report["rows"]}
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    layers = tiny_config.num_hidden_layers
    # A layer has two products of attention, and two gradients of each.
    assert rows["BatchMatMul"]["calls an update"] == 6 * layers
    assert rows[COMPILED]["calls an update"] > 2 * layers
    # The same operations ran on one core, and both yardsticks and the whole were measured on both.
    assert all(row["times as fast"] == row["ms on one core"] / row["ms an update"] > 0 for row in rows.values())
    (yardsticks,) = report["sections"].values()
    assert len(yardsticks) == 3 and all(row["times as fast"] > 0 for row in yardsticks)


def test_kinds_are_compared_with_one_core():
    options = Options(steps=2, least_share=0.2)
    profile = Profile(1.0, {"MatMul": [8.0, 4], "AddN": [1.0, 2], "Cast": [1.0, 6]})
    alone = Profile(2.0, {"MatMul": [16.0, 4], "AddN": [1.0, 2], "Cast": [1.5, 6]})
    product = {"operation": "MatMul", "calls an update": 2, "ms an update": 4, "share": 0.8}
    others = {"operation": "2 other kinds", "calls an update": 4, "ms an update": 1, "share": 0.2}
    assert rows_of(options, profile) == [product, others]
    assert rows_of(options, profile, alone) == [{**product, "ms on one core": 8, "times as fast": 2},
                                                {**others, "ms on one core": 1.25, "times as fast": 1.25}]


def test_no_trace(tmp_path):
    with pytest.raises(InputError, match="wrote no trace"):
        time_by_kind(str(tmp_path))


@pytest.mark.parametrize("changes, named", [({"steps": 0}, "--steps=0"), ({"max_seq_length": 10_000}, "10000")])
def test_bad_flags_are_refused(tmp_path, tiny_config, changes, named):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict()))
    with pytest.raises(InputError, match=named):
        run(Options(bert_config_file=str(tmp_path / "config.json"), **{"max_seq_length": 16, **changes}), "/nowhere")
