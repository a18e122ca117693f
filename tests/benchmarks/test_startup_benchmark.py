"""bin/benchmark startup: the first update comes after the start and before the end."""

import json

import pytest

from albert_hvd.errors import InputError
from benchmarks.startup import Options, run
from conftest import ROOT


@pytest.fixture
def config_file(tmp_path, tiny_config):
    (tmp_path / "config.json").write_text(json.dumps(tiny_config.to_dict()))
    return str(tmp_path / "config.json")


@pytest.mark.tier("all")
def test_the_first_update_is_within_the_run(config_file):
    row, = run(Options(bert_config_file=config_file, max_seq_length=16, train_batch_size=2, repeats=1),
               str(ROOT / "bin")).rows
    assert 0 < row["to the first update s"] < row["to the end s"]


@pytest.mark.parametrize("changes, named", [({"repeats": 0}, "--repeats=0"), ({"max_seq_length": 10_000}, "10000")])
def test_bad_flags_are_refused(config_file, changes, named):
    with pytest.raises(InputError, match=named):
        run(Options(bert_config_file=config_file, **changes), "/nowhere")
