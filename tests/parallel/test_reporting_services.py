"""Runs that send their figures to a service: one rank does, the same run there goes on, and nothing depends on it."""

import pytest
from conftest import command_environment
from fake_services import calls_of, write_fake_services
from pretraining_runs import eval_log, flags, start, status, train_log

pytestmark = [pytest.mark.parallel, pytest.mark.tier("ci")]


@pytest.fixture
def services(tmp_path, monkeypatch):
    folder = write_fake_services(tmp_path / "packages")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    assert command_environment()["PYTHONPATH"] == str(folder)
    return folder


def finish(process):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0 and "Traceback" not in errors, errors
    return output, errors


def test_one_rank_sends_and_a_resumed_run_goes_on(services, training_files, tmp_path):
    asked = flags(training_files, tmp_path / "run", wandb_project="malay", num_train_steps=4, log_every_steps=2,
                  eval_input_file=f"{training_files}/eval.tfrecord", eval_every_steps=4)
    finish(start(2, asked))
    finish(start(2, {**asked, "num_train_steps": 6}))
    calls = calls_of(services)
    identifiers = [values["id"] for name, values in calls if name == "wandb.init"]
    assert len(identifiers) == 2 and len(set(identifiers)) == 1
    logs = [values for name, values in calls if name == "log"]
    losses = [(record["step"], record["loss"]) for record in train_log(tmp_path / "run")]
    assert [(values["step"], pytest.approx(values["loss"])) for values in logs if "loss" in values] == losses
    assert [values["eval/loss"] for values in logs if "eval/loss" in values] == [
        record["loss"] for record in eval_log(tmp_path / "run")]


def test_a_service_that_fails_ends_nothing(services, training_files, tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_SERVICE_FAILS_AT", "mlflow.log_metrics")
    _, errors = finish(start(0, flags(training_files, tmp_path / "run", mlflow_experiment="malay", num_train_steps=4)))
    assert errors.count("warning: mlflow gets no more figures (ConnectionError: no route)") == 1
    assert status(tmp_path / "run")["state"] == "finished"


def test_no_service_is_imported_unless_asked_for(services, training_files, tmp_path):
    """Both packages note that they are imported."""
    finish(start(0, flags(training_files, tmp_path / "run", num_train_steps=4)))
    assert calls_of(services) == [] and status(tmp_path / "run")["state"] == "finished"
