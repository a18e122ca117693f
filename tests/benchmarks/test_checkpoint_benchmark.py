"""The checkpoint benchmark runs on a tiny model, on one rank and on two, and leaves nothing behind."""

import json

import pytest
from conftest import run_command


@pytest.mark.tier("all")
@pytest.mark.parametrize("ranks", [0, pytest.param(2, marks=pytest.mark.parallel)])
def test_the_checkpoint_benchmark(tmp_path, tiny_config, ranks):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict()))
    (tmp_path / "disk").mkdir()
    result = run_command("benchmark", words=["checkpoint"], ranks=ranks, bert_config_file=tmp_path / "config.json",
                         max_seq_length=16, train_batch_size=2, num_checkpoints=2, scratch_dir=tmp_path / "disk",
                         json=tmp_path / "report.json")
    assert result.returncode == 0, result.stderr
    row, = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert list(row) == ["step s", "stall s", "write s", "step while writing s", "checkpoint MiB", "start s",
                         "resume s"]
    assert min(row.values()) > 0
    assert not list((tmp_path / "disk").iterdir())
