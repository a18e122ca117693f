"""bin/benchmark allreduce: sizes, definitions and files; nothing is asserted about speed."""

import json

import pytest
from conftest import own_lines, run_command

from albert_hvd.errors import InputError
from benchmarks.allreduce import Options, message_sizes, run
from benchmarks.gradients import num_gradient_values


@pytest.fixture
def config_file(tmp_path, tiny_config):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict()))
    return str(tmp_path / "config.json")


@pytest.mark.parametrize("largest, sizes", [(1, [1]), (4, [1, 4]), (20, [1, 4, 16, 20])])
def test_messages_grow_to_the_largest(largest, sizes):
    assert message_sizes(largest) == sizes


def run_benchmark(ranks=0, **flags):
    return run_command("benchmark", ranks, words=["allreduce"], **flags)


@pytest.mark.parallel
@pytest.mark.tier("all")
def test_two_ranks(config_file, tiny_config, tmp_path):
    result = run_benchmark(ranks=2, model=config_file, repeats=1, json=tmp_path / "figures.json",
                           plot=tmp_path / "figures.png")
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("versions:") == 1  # of one rank
    report = json.loads((tmp_path / "figures.json").read_text())
    assert report["settings"]["ranks"] == 2
    whole = 4 * num_gradient_values(tiny_config)
    sizes = {message: [row["bytes"] for row in report["rows"] if row["message"] == message]
             for message in ("float32", "float16")}
    assert sizes["float32"][0] == 4 and sizes["float32"][-1] == whole
    assert sizes["float16"] == [size // 2 for size in sizes["float32"]]
    tensors = report["sections"]["the gradient as it comes"]
    assert [row["bytes"] for row in tensors] == [whole, whole]
    for row in report["rows"] + tensors:
        assert row["algorithm MB/s"] == pytest.approx(row["bytes"] / row["microseconds"])
        assert row["bus MB/s"] == pytest.approx(row["algorithm MB/s"])  # 2 (n - 1) / n of 2 ranks is 1
    assert (tmp_path / "figures.png").read_bytes().startswith(b"\x89PNG")


def test_a_single_rank_is_refused_in_one_line(config_file):
    result = run_benchmark(model=config_file)
    assert result.returncode == 2 and "Traceback" not in result.stderr, result.stderr
    (line,) = own_lines(result, "benchmark")
    assert "horovodrun -np 2" in line


@pytest.mark.parametrize("changes, named", [
    ({"model": "/nowhere.json"}, "model=/nowhere.json"), ({"repeats": 0}, "--repeats=0"),
    ({"plot": "/dev/null/a.png"}, "^plot: ")])
def test_bad_flags_are_refused(config_file, changes, named):
    with pytest.raises(InputError, match=named):
        run(Options(**{"model": config_file, **changes}), None)
