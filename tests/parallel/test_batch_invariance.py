"""1, 2 and 4 ranks x 1, 2 and 4 micro-batches: the same weights from the same global batches."""

import json
import subprocess
import sys

import numpy as np
import pytest

from conftest import ROOT, command_environment

RANKS = (1, 2, 4)

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """{number of ranks: folder of what train_every_way.py left}."""
    folders = {}
    for ranks in RANKS:
        folders[ranks] = tmp_path_factory.mktemp(f"ranks_{ranks}")
        result = subprocess.run(
            ["horovodrun", "-np", str(ranks), sys.executable, str(ROOT / "tests" / "parallel" / "train_every_way.py"),
             str(folders[ranks])], env=command_environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=500)
        assert result.returncode == 0, result.stderr
    return folders


def facts(folder):
    return json.loads((folder / "facts.json").read_text())


def test_every_cut_of_the_batch_gives_the_same_weights(runs):
    references = {optimizer: np.load(runs[1] / f"{optimizer}1.npz") for optimizer in ("", "muon")}
    ways = [path for folder in runs.values() for path in sorted(folder.glob("*.npz"))]
    assert len(ways) == len(RANKS) * 5 + 2
    for path in ways:
        weights, reference = np.load(path), references["muon" if path.name.startswith("muon") else ""]
        for name in reference.files:
            np.testing.assert_allclose(weights[name], reference[name], atol=1e-5, err_msg=f"{path}: {name}")


@pytest.mark.parametrize("ranks", RANKS[1:])
def test_the_gradients_travel_in_one_allreduce_however_many_micro_batches(runs, ranks):
    for way, graph in facts(runs[ranks])["graphs"].items():
        # The others are that of the losses and, with Muon, that of its directions.
        assert (graph["allreduces"], graph["grouped"]) == (2 + way.startswith("muon"), 0), way


def test_xla_compiles_the_gradients_and_not_the_allreduce(runs):
    graphs = facts(runs[2])["graphs"]
    for way in ("xla", "muonx"):
        assert graphs[way]["compiled"] > 0
        assert graphs[way]["allreduces_compiled"] == 0
    assert graphs["2"]["compiled"] == 0


@pytest.mark.parametrize("ranks", RANKS[1:])
def test_gradients_are_clipped_after_the_allreduce(runs, ranks):
    # +-3 of the ranks cancel out; what is left is shorter than clip_norm.
    assert facts(runs[ranks])["clipping"] == {"norm": pytest.approx(0.5), "moment": [pytest.approx([0.0, 0.05])]}
