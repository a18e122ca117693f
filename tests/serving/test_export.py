"""bin/export: every format, what it refuses, and that nothing half-done is left."""

import json
import os
import pathlib
import subprocess
import sys
import tarfile

import numpy as np
import pytest
from conftest import ROOT, command_environment, own_lines, run_command
from trained_models import make_config, write_run

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.serving.export import export, package_name
from albert_hvd.serving.formats.huggingface.options import FolderOptions
from albert_hvd.serving.formats.sources import read_model
from albert_hvd.serving.saved_model import ServingModel

CHECKPOINT = ["checkpoint", "config.json", "model.ckpt.data-00000-of-00001", "model.ckpt.index", "spiece.model"]

PLAIN_TENSORFLOW = """
import sys
import numpy as np, tensorflow as tf
sys.modules["albert_hvd"] = None  # an import of it fails
signatures = tf.saved_model.load(sys.argv[1]).signatures
batches = np.load(sys.argv[2])
for length in (5, 9):
    inputs = {name.split("-")[0]: tf.constant(batches[name]) for name in batches.files if name.endswith(f"-{length}")}
    filled = signatures["fill_mask"](**inputs)
    del inputs["masked_positions"]
    outputs = {**signatures["encode"](**inputs), **filled}
    np.savez(f"{sys.argv[3]}-{length}.npz", **{name: output.numpy() for name, output in outputs.items()})
"""


@pytest.fixture(scope="module", params=["albert", "brightmart"])
def run(request, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp(request.param), make_config(request.param))


@pytest.fixture(scope="module")
def albert_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("run"), make_config())


def assert_same_model(folder, run):
    found, wanted = read_model(str(folder), "model"), read_model(run, "model")
    assert found.config == wanted.config and found.missing == [] and found.arrays.keys() == wanted.arrays.keys()
    for path, array in wanted.arrays.items():
        np.testing.assert_array_equal(found.arrays[path], array)
    assert pathlib.Path(found.tokenizer_path).read_bytes() == pathlib.Path(wanted.tokenizer_path).read_bytes()


def test_tf1_holds_every_bit(run, tmp_path):
    assert export("tf1", run, str(tmp_path / "out")) == str(tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == CHECKPOINT
    assert_same_model(tmp_path / "out", run)


def test_a_tar_holds_one_folder_and_repeats_its_bytes(run, tmp_path):
    first, second = (pathlib.Path(export("tar", run, str(tmp_path / name), date="2020-04-10")) for name in "ab")
    assert first.name == "albert-h16-l2-2020-04-10.tar.gz" and first.read_bytes() == second.read_bytes()
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    with tarfile.open(first) as archive:
        assert archive.getnames() == [f"albert-h16-l2-2020-04-10/{name}" for name in CHECKPOINT]
        archive.extractall(tmp_path / "unpacked", filter="data")
    assert_same_model(tmp_path / "unpacked" / "albert-h16-l2-2020-04-10", run)


@pytest.mark.parametrize("path", sorted((ROOT / "albert_config").glob("albert_config_*.json")),
                         ids=lambda path: path.stem)
def test_a_tar_is_named_after_the_size(path):
    import datetime

    config = AlbertConfig.from_json_file(str(path))
    size = path.stem.removeprefix("albert_config_").split("_")[0]
    assert package_name(config, datetime.date(2020, 4, 10)) == f"albert-{size}-2020-04-10"


def test_a_saved_model_needs_tensorflow_alone(run, tmp_path):
    export("saved_model", run, str(tmp_path / "out"))
    assert sorted(os.listdir(tmp_path / "out" / "assets.extra")) == ["config.json", "spiece.model"]
    random, batches = np.random.default_rng(2), {}
    for rows, length, masks in ((3, 5, 2), (1, 9, 4)):
        batch = {"input_ids": random.integers(8, 110, (rows, length)), "input_mask": np.ones((rows, length)),
                 "segment_ids": random.integers(0, 2, (rows, length)),
                 "masked_positions": random.integers(0, length, (rows, masks))}
        batch["input_mask"][0, 3:] = 0
        batches.update({f"{name}-{length}": array.astype(np.int32) for name, array in batch.items()})
    np.savez(tmp_path / "batches.npz", **batches)
    subprocess.run([sys.executable, "-c", PLAIN_TENSORFLOW, "out", "batches.npz", "outputs"], cwd=tmp_path,
                   env=command_environment(), check=True, timeout=200)
    ours = ServingModel(read_model(run, "model"))
    for length in (5, 9):
        outputs = np.load(tmp_path / f"outputs-{length}.npz")
        rows = [batches[f"{name}-{length}"] for name in ("input_ids", "input_mask", "segment_ids")]
        wanted = {**ours.encode(*rows), **ours.fill_mask(*rows, batches[f"masked_positions-{length}"])}
        assert set(outputs.files) == set(wanted) == {"sequence_output", "pooled_output", "log_probs"}
        for name, output in wanted.items():
            np.testing.assert_allclose(outputs[name], output.numpy(), atol=1e-6)


def test_the_way_there_and_back_keeps_every_bit(albert_run, tmp_path):
    there = export("huggingface", albert_run, str(tmp_path / "there"), folder_options=FolderOptions(license="apache-2.0"))
    back = export("tf1", there, str(tmp_path / "back"))
    again = export("huggingface", back, str(tmp_path / "again"))
    assert_same_model(back, albert_run)
    for name in ("model.safetensors", "config.json", "tokenizer.json", "spiece.model"):
        assert (tmp_path / "there" / name).read_bytes() == pathlib.Path(again, name).read_bytes()
    assert 'license: "apache-2.0"' in (tmp_path / "there" / "README.md").read_text()


@pytest.mark.parametrize("format_name", ["huggingface", "saved_model", "tar", "tf1"])
def test_what_exists_is_left_alone(albert_run, tmp_path, format_name):
    (tmp_path / "out").mkdir()
    name = "albert-h16-l2-2020-04-10.tar.gz" if format_name == "tar" else "mine.txt"
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match="^output_dir=.*exists"):
        export(format_name, albert_run, str(tmp_path / "out"), date="2020-04-10")
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == [name]
    assert (tmp_path / "out" / name).read_text() == "mine"


@pytest.mark.parametrize("format_name", ["saved_model", "tar", "tf1"])
def test_an_error_leaves_nothing_behind(albert_run, tmp_path, monkeypatch, format_name):
    def full_disk(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("albert_hvd.serving.formats.tf1.write_checkpoint", full_disk)
    monkeypatch.setattr("albert_hvd.serving.saved_model.tf.saved_model.save", full_disk)
    (tmp_path / "out").mkdir()
    with pytest.raises(InputError, match="^output_dir=.*No space left"):
        export(format_name, albert_run, str(tmp_path / "out"))
    assert os.listdir(tmp_path) == ["out"] and os.listdir(tmp_path / "out") == []


def test_refusals_name_the_mend(albert_run, tmp_path):
    bare = write_run(tmp_path / "bare", make_config(), tokenizer=False)
    brightmart = write_run(tmp_path / "brightmart", make_config("brightmart"))
    out = str(tmp_path / "out")
    for arguments, message in (
            (dict(format_name="tar", model=albert_run, date="2020-13-01"), "date=2020-13-01: not a date"),
            (dict(format_name="onnx", model=albert_run), "format=onnx: unknown; give one of huggingface"),
            (dict(format_name="tf1", model=str(tmp_path / "nowhere")), "model=.*nowhere"),
            (dict(format_name="tf1", model=albert_run, tokenizer="nowhere.model"), "tokenizer=nowhere.model"),
            (dict(format_name="tar", model=bare), "vocabulary is not known; name .* with tokenizer"),
            (dict(format_name="huggingface", model=bare), "vocabulary is not known; name .* with tokenizer"),
            (dict(format_name="huggingface", model=brightmart), "'brightmart' cannot be exported to Hugging Face")):
        with pytest.raises(InputError, match=message):
            export(output_dir=out, **arguments)
        assert not [name for name in os.listdir(tmp_path) if name not in ("bare", "brightmart", "out")]
        assert not os.path.exists(out) or not os.listdir(out)


def test_the_command(albert_run, tmp_path):
    result = run_command("export", format="tar", model=albert_run, output=tmp_path / "new", date="2020-04-10")
    path = tmp_path / "new" / "albert-h16-l2-2020-04-10.tar.gz"
    assert result.returncode == 0 and result.stdout == f"{path} ({path.stat().st_size} bytes)\n"
    result = run_command("export", format="tar", model=albert_run, output_dir=tmp_path / "new", date="2020-04-10")
    (line,) = own_lines(result, "export")
    assert result.returncode == 2 and str(path) in line and "Traceback" not in result.stderr


def test_the_command_shows_nothing_of_tensorflow(albert_run, tmp_path):
    result = run_command("export", format="saved_model", model=albert_run, output_dir=tmp_path / "out")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"{tmp_path / 'out'}\n", "")


def test_a_config_may_be_named(albert_run, tmp_path):
    folder = pathlib.Path(export("tf1", albert_run, str(tmp_path / "tf1")))
    config = folder.joinpath("config.json").rename(tmp_path / "sizes.json")
    with pytest.raises(InputError, match="with bert_config_file"):
        export("tf1", str(folder), str(tmp_path / "out"))
    export("tf1", str(folder), str(tmp_path / "out"), config=str(config))
    assert json.loads((tmp_path / "out" / "config.json").read_text()) == json.loads(config.read_text())
