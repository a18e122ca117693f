"""On a GPU micro-batches become smaller until all ranks have the memory for them; here memory is made up."""

import types

import pytest

from albert_hvd.errors import RunFailed
from albert_hvd.training import setup
from albert_hvd.training.batch_plan import BatchPlan


class Step:
    """Stands for a `TrainingStep` on a GPU that holds `limit` rows."""

    limit = 0

    def __init__(self, model, optimizer, accumulation_steps, xla, num_sources):
        assert num_sources == 2
        self.accumulation_steps = accumulation_steps

    def try_memory(self, batch):
        return batch // self.accumulation_steps <= self.limit


def fitting_step(monkeypatch, limit, rows=12):
    monkeypatch.setattr(setup, "TrainingStep", Step)
    monkeypatch.setattr(Step, "limit", limit)
    training = types.SimpleNamespace(_model=None, _optimizer=None, plan=BatchPlan(rows, 1, 1),
                                     options=types.SimpleNamespace(xla=True),
                                     _dataset=types.SimpleNamespace(sources=("a", "b")))
    return setup.Training._fitting_step(training, rows), training.plan


def test_what_fits_stays(monkeypatch, capsys):
    step, plan = fitting_step(monkeypatch, limit=12)
    assert (step.accumulation_steps, plan.micro_batch_size) == (1, 12)
    assert capsys.readouterr().out == ""


def test_the_largest_that_fits_is_taken_and_each_try_is_told(monkeypatch, capsys):
    step, plan = fitting_step(monkeypatch, limit=5)
    assert (step.accumulation_steps, plan.micro_batch_size) == (3, 4)
    assert capsys.readouterr().out.splitlines() == [
        "out of memory with micro-batches of 12 rows: trying 6", "out of memory with micro-batches of 6 rows: trying 4"]


def test_memory_for_less_than_a_row_ends_the_run(monkeypatch):
    with pytest.raises(RunFailed, match="does not hold one row .*recompute"):
        fitting_step(monkeypatch, limit=0)
