"""bin/benchmark operations: the profiler's names become kinds, and the shares are those of a whole."""

import json

import pytest

from albert_hvd.errors import InputError
from benchmarks.operations import COMPILED, Options, kind_of, run, time_by_kind
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
                         train_batch_size=2, steps=2, json=tmp_path / "report.json")
    assert result.returncode == 0, result.stderr
    rows = {row.pop("operation"): row for row in json.loads((tmp_path / "report.json").read_text())["rows"]}
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    layers = tiny_config.num_hidden_layers
    # A layer has two products of attention, and two gradients of each.
    assert rows["BatchMatMul"]["calls an update"] == 6 * layers
    assert rows[COMPILED]["calls an update"] > 2 * layers


def test_no_trace(tmp_path):
    with pytest.raises(InputError, match="wrote no trace"):
        time_by_kind(str(tmp_path))


@pytest.mark.parametrize("changes, named", [({"steps": 0}, "--steps=0"), ({"max_seq_length": 10_000}, "10000")])
def test_bad_flags_are_refused(tmp_path, tiny_config, changes, named):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict()))
    with pytest.raises(InputError, match=named):
        run(Options(bert_config_file=str(tmp_path / "config.json"), **{"max_seq_length": 16, **changes}), "/nowhere")
