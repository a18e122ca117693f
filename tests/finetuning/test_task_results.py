"""The results of seeds: mean and spread, the best one, and reading them again."""

import json

import pytest

from albert_hvd.errors import InputError
from albert_hvd.finetuning.results import best_seed, read_seed_result, summary

def test_mean_and_spread():
    metrics = [{"accuracy": a, "macro_f1": f} for a, f in ((0.5, 0.4), (0.7, 0.6), (0.9, 0.2))]
    found = summary(metrics)
    assert found["accuracy"] == {"mean": pytest.approx(0.7), "spread": pytest.approx(0.2)}
    assert found["macro_f1"] == {"mean": pytest.approx(0.4), "spread": pytest.approx(0.2)}
    assert summary(metrics[:1])["accuracy"] == {"mean": 0.5, "spread": None}


def test_the_best_seed_is_chosen_on_the_validation_part():
    results = [{"seed": seed, "valid": {"accuracy": a, "macro_f1": f}, "test": {"accuracy": 1 - a, "macro_f1": 1 - f}}
               for seed, a, f in ((3, 0.5, 0.6), (1, 0.7, 0.5), (2, 0.7, 0.4))]
    assert best_seed(results, "accuracy") == 1 and best_seed(results, "macro_f1") == 3


def test_the_result_of_a_seed(tmp_path):
    assert read_seed_result(str(tmp_path)) is None
    (tmp_path / "results.json").write_text(json.dumps({"seed": 1}))
    assert read_seed_result(str(tmp_path)) == {"seed": 1}
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InputError, match="remove the folder"):
        read_seed_result(str(tmp_path))
