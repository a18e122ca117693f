"""The result of a seed, read again."""

import json

import pytest

from albert_hvd.errors import InputError
from albert_hvd.run_folder.task_results import read_seed_result


def test_the_result_of_a_seed(tmp_path):
    assert read_seed_result(str(tmp_path)) is None
    (tmp_path / "results.json").write_text(json.dumps({"seed": 1}))
    assert read_seed_result(str(tmp_path)) == {"seed": 1}
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InputError, match="remove the folder"):
        read_seed_result(str(tmp_path))
