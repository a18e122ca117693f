"""Recipe files: every flag in them is one that their command has."""

import pytest

from conftest import ROOT, own_lines, run_command

FILES = sorted((ROOT / "albert_config").glob("*.flags"))


@pytest.mark.parametrize("recipe", FILES, ids=lambda path: path.name)
def test_its_flags_are_known(recipe, tmp_path):
    # All flags are parsed before the missing --output_dir is noticed.
    command, data = (("finetune", "train_file") if recipe.name.startswith("finetune_") else ("pretrain", "input_file"))
    result = run_command(command, flagfile=recipe, **{data: "nowhere"}, cwd=tmp_path)
    assert result.returncode == 2
    assert own_lines(result, command)[0].startswith("--output_dir is missing")
