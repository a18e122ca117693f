"""Recipe files: every flag in them is one that their command has."""

import pytest

from conftest import ROOT, own_lines, run_command

FILES = sorted((ROOT / "albert_config").glob("*.flags"))
# What reads the data, and what is said when --output_dir is missing, which is noticed after all flags are parsed.
PRETRAIN = ("pretrain", "input_file", "--output_dir is missing; it goes with --input_file")
FINETUNE = ("finetune", "train_file", "--output_dir is missing; see --help")


@pytest.mark.parametrize("recipe", FILES, ids=lambda path: path.name)
def test_its_flags_are_known(recipe, tmp_path):
    command, data, answer = FINETUNE if recipe.name.startswith("finetune_") else PRETRAIN
    result = run_command(command, flagfile=recipe, **{data: "nowhere.tfrecord"}, cwd=tmp_path)
    assert result.returncode == 2
    assert own_lines(result, command) == [answer]
