"""The tasks by name, and what each chooses by default."""

from albert_hvd.finetuning.tasks import TASK_NAMES, task_class

LABELS = ["a", "b", "c"]


def test_a_task_is_found_by_its_name():
    assert TASK_NAMES == ["classification", "emotion", "pair_classification", "pair_regression", "pos", "regression",
                          "tagging"]
    assert all(task_class(name).name == name for name in TASK_NAMES)


def test_a_task_has_a_pooling_of_its_own():
    assert [task_class(name)(LABELS).pooling for name in ("classification", "emotion", "tagging", "pos")] == [
        "first", "first", "mean", "mean"]
    assert task_class("pos")(LABELS, pooling="first").pooling == "first"
