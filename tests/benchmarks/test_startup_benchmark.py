"""bin/benchmark startup: every command runs, the first update comes before the end, and the parts make up the whole."""

import json
import os

import pytest

from albert_hvd.errors import InputError
from benchmarks.startup import Options, run
from conftest import ROOT


@pytest.fixture
def config_file(tmp_path, tiny_config):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict()))
    return str(tmp_path / "config.json")


@pytest.mark.tier("all")
def test_every_command_is_measured(config_file, monkeypatch):
    monkeypatch.setenv("PATH", os.defpath)  # as where the environment was not activated
    report = run(Options(bert_config_file=config_file, max_seq_length=16, train_batch_size=2, repeats=1),
                 str(ROOT / "bin"))
    names = ["bin/pretrain", "horovodrun -np 1 bin/pretrain", "bin/validate", "bin/fill_mask", "bin/predict"]
    assert [row["what"] for row in report.rows] == names
    for row in report.rows[:2]:
        assert 0 < row["to the first update s"] < row["s"]
    rows, = report.sections.values()
    assert [row.pop("what") for row in rows] == [name for name in names if "horovodrun" not in name]
    for row in rows:
        *parts, together = row.values()
        # Nothing is counted twice, and nothing that every command does is overlooked under another name.
        assert min(parts) >= 0 and sum(parts) == pytest.approx(together)
        assert min(row["TensorFlow's import s"], row["tracing s"], row["graphs' first calls s"]) > 0


@pytest.mark.parametrize("changes, named", [({"repeats": 0}, "--repeats=0"), ({"max_seq_length": 10_000}, "10000")])
def test_bad_flags_are_refused(config_file, changes, named):
    with pytest.raises(InputError, match=named):
        run(Options(bert_config_file=config_file, **changes), "/nowhere")
