"""The checkpoint benchmark runs on a tiny model and leaves nothing behind."""

import json

import pytest
from conftest import run_command


@pytest.mark.tier("all")
def test_the_checkpoint_benchmark(tmp_path, tiny_config):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict()))
    (tmp_path / "disk").mkdir()
    result = run_command("benchmark", words=["checkpoint"], bert_config_file=tmp_path / "config.json",
                         max_seq_length=16, train_batch_size=2, num_checkpoints=2, scratch_dir=tmp_path / "disk",
                         json=tmp_path / "report.json")
    assert result.returncode == 0, result.stderr
    row, = json.loads((tmp_path / "report.json").read_text())["rows"]
    assert list(row) == ["checkpoint MiB", "step s", "stall s", "write s", "step while writing s"]
    assert min(row.values()) > 0
    assert not list((tmp_path / "disk").iterdir())
