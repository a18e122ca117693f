"""Mean and spread over seeds, and the tables that are printed."""

import json

import pytest

from albert_hvd.errors import InputError
from albert_hvd.finetuning.metrics import metrics_of_confusion
from albert_hvd.finetuning.results import best_seed, summary
from albert_hvd.finetuning.tables import confusion_table, label_table, summary_table
from albert_hvd.run_folder.task_results import read_seed_result

METRICS = metrics_of_confusion([[8, 2], [1, 9]], ["NOUN", "X"])


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


def test_tables():
    assert label_table(METRICS) == ["      precision  recall      f1  support",
                                    "NOUN     0.8889  0.8000  0.8421       10",
                                    "X        0.8182  0.9000  0.8571       10"]
    assert confusion_table(METRICS) == ["true / predicted  NOUN  X",
                                        "NOUN                 8  2",
                                        "X                    1  9"]
    result = {"name": "tiny", "parameters": 70, "seeds": [1, 2],
              "summary": {"valid": {name: {"mean": 0.85, "spread": 0.012} for name in ("accuracy", "macro_f1")},
                          "test": None},
              "baselines": [{"name": "majority", "parameters": 1, "valid": {"accuracy": 0.5, "macro_f1": 1 / 3}}]}
    assert summary_table(result) == ["                 valid accuracy   valid macro-F1  parameters",
                                     "tiny (2 seeds)  0.8500 ± 0.0120  0.8500 ± 0.0120          70",
                                     "majority                 0.5000           0.3333           1"]


def test_the_result_of_a_seed(tmp_path):
    assert read_seed_result(str(tmp_path)) is None
    (tmp_path / "results.json").write_text(json.dumps({"seed": 1}))
    assert read_seed_result(str(tmp_path)) == {"seed": 1}
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(InputError, match="remove the folder"):
        read_seed_result(str(tmp_path))
