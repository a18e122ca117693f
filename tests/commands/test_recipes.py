"""Recipe files: every flag in them is one that bin/pretrain has."""

import pytest

from conftest import ROOT, own_lines, run_command

RECIPES = sorted((ROOT / "albert_config").glob("*.flags"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_its_flags_are_known(recipe, tmp_path):
    # All flags are parsed before the missing --output_dir is noticed.
    result = run_command("pretrain", flagfile=recipe, input_file="nowhere.tfrecord", cwd=tmp_path)
    assert result.returncode == 2
    assert own_lines(result, "pretrain") == ["--output_dir is missing; it goes with --input_file"]
