"""The results of bin/finetune without the training: figures that are easy to check."""

import copy
import json

LABELS = ["sad", "happy"]


def metrics(accuracy, macro_f1, f1=(0.5, 0.75)):
    """The figures of one part of the data."""
    return {"accuracy": accuracy, "macro_f1": macro_f1, "loss": None, "count": 8,
            "labels": {label: {"precision": 0.5, "recall": 0.5, "f1": one, "support": 4}
                       for label, one in zip(LABELS, f1, strict=True)},
            "confusion": [[3, 1], [1, 3]]}


def baseline(name, accuracy, parameters=10):
    return {"name": name, "parameters": parameters, "seconds": 1.0, "tokens_per_sec": 5000.0,
            "valid": metrics(accuracy, accuracy - 0.125), "test": None}


def result(**changes):
    """The content of a results.json of two seeds, whose accuracies are 0.75 and 0.875."""
    seeds = [{"seed": seed, "best_epoch": 2, "steps": 10, "seconds": 3.0, "real_tokens_per_sec": speed,
              "valid": metrics(accuracy, 0.5, f1), "test": None}
             for seed, speed, accuracy, f1 in ((1, 1000.0, 0.75, (0.5, 0.75)), (2, 1200.0, 0.875, (1.0, 0.25)))]
    values = {
        "format": "albert_hvd fine-tuning result 1", "task": "emotion", "kind": "classification", "name": "tiny",
        "init_checkpoint": "runs/tiny", "parameters": 2660000, "labels": LABELS,
        "data": {"train": {"file": "train.tsv", "examples": 80, "sha256": "a" * 64},
                 "valid": {"file": "valid.tsv", "examples": 8, "sha256": "b" * 64}, "test": None},
        "settings": {"learning_rate": 0.001, "head": "linear"}, "ranks": 1, "versions": {"tensorflow": "2.21.0"},
        "machine": "2 cores", "seeds": seeds,
        "summary": {"valid": {"accuracy": {"mean": 0.8125, "spread": 0.0884}, "macro_f1": {"mean": 0.5, "spread": 0.0}},
                    "test": None},
        "baselines": [baseline("majority", 0.25, parameters=1), baseline("tf-idf + naive Bayes", 0.7)]}
    return {**copy.deepcopy(values), **changes}


def write_result(folder, **changes):
    """Write results.json into a new folder; returns the folder as a string."""
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps(result(**changes)))
    return str(folder)
