"""A run goes on with the order of records that it began with, whatever the program does by then."""

import hashlib
import json
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, command_environment
from pretraining_runs import checkpoint_file, flags, train_log, without_clock

from albert_hvd.data.records.tfrecord import load_index

pytestmark = pytest.mark.tier("ci")

# bin/pretrain for which 41 records are many, and which begins new runs with an order.
PROGRAM = """
import runpy, sys
sys.path[:0] = [{root!r}, {root!r} + "/bin"]
from albert_hvd.data.batches import order
order.TABLE, order.LANES, order.CHUNK, order.ORDER_VERSION = 8, 4, 2, {version}
from albert_hvd.data.batches import packed_rows
packed_rows.SAMPLE, packed_rows._STRETCH = 20, 5
sys.argv[0] = {root!r} + "/bin/pretrain"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def pretrain(version, run_flags, **changes):
    words = [f"--{name}={value}" for name, value in {**run_flags, **changes}.items()]
    result = subprocess.run([sys.executable, "-c", PROGRAM.format(root=str(ROOT), version=version), *words],
                            env=command_environment(), capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def as_first_versions_wrote_it(folder, step, shards):
    """Rewrite the state of a checkpoint: without an order, with the fingerprint of all offsets."""
    path = checkpoint_file(folder, "state.json", step)
    with open(path, encoding="utf-8") as file:
        state = json.load(file)
    assert state.pop("record_order") == 1 and state.pop("state_sha256")
    digest = hashlib.sha256()
    for shard in shards:
        offsets = load_index(shard)["offset"]
        digest.update(offsets.tobytes())
        data = open(shard, "rb").read()
        for end in offsets[1:][[0, -1]].tolist():
            digest.update(data[end - 4:end])
    state["records_fingerprint"] = digest.hexdigest()[:16]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(state, file)


@pytest.mark.parametrize("packed", [False, True])
def test_a_run_of_the_first_version_goes_on_with_its_order(training_files, tmp_path, packed):
    run_flags = flags(training_files, "", pack_sequences=packed, num_train_steps=12,
                      num_warmup_steps=2, save_checkpoints_steps=6)
    logs = {}
    for version in (1, 2):
        folder = tmp_path / f"begun_with_{version}"
        pretrain(version, run_flags, output_dir=folder)
        logs[version] = without_clock(train_log(folder))
    assert logs[1][0] != logs[2][0]
    for version, wanted in logs.items():
        folder = tmp_path / f"begun_with_{version}"
        shutil.rmtree(folder / "checkpoints" / "step_00000012")
        if version == 1:
            as_first_versions_wrote_it(folder, 6, sorted(training_files.glob("train-*.tfrecord")))
        assert "resuming at step 6" in pretrain(2, run_flags, output_dir=folder)
        assert without_clock(train_log(folder)) == wanted
        with open(checkpoint_file(folder, "state.json", 12), encoding="utf-8") as file:
            state = json.load(file)
        assert state["record_order"] == version and state["records_fingerprint"].startswith("2-")
