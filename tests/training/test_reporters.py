"""Figures for services: sent on, resumed under the same identifier, and never what a run depends on."""

import json
import sys
import threading
import types

import pytest

from albert_hvd.errors import InputError, parameters_as_flags
from albert_hvd.training import reporters
from albert_hvd.training.reporters import check_packages, open_reporters
from fake_services import calls_of, write_fake_services

FLAGS = {"seed": 1}
FIGURES = [(1, {"loss": 4.5}), (2, {"loss": 4.25, "eval/loss": 5.0})]


@pytest.fixture
def services(tmp_path, monkeypatch):
    """The folder of `wandb` and `mlflow` that note how they are called."""
    folder = write_fake_services(tmp_path / "packages")
    monkeypatch.syspath_prepend(str(folder))
    yield folder
    for name in ("wandb", "mlflow"):
        sys.modules.pop(name, None)


def options(tmp_path, **asked):
    return types.SimpleNamespace(**{"wandb_project": None, "mlflow_experiment": None, "output_dir": str(tmp_path),
                                    **asked})


def send(asked, figures=FIGURES, failed=False):
    opened = open_reporters(asked, FLAGS)
    for one in opened:
        for record in figures:
            one.write(*record)
    for one in opened:
        one.close(failed)


def identifier(tmp_path, option):
    return json.loads((tmp_path / "reporters.json").read_text())[option]["id"]


def test_wandb_gets_the_figures_and_goes_on_with_its_run(services, tmp_path):
    asked = options(tmp_path, wandb_project="malay")
    send(asked)
    first = identifier(tmp_path, "wandb_project")
    init = ["wandb.init", {"project": "malay", "id": first, "resume": "allow", "config": FLAGS, "name": tmp_path.name,
                           "dir": str(tmp_path), "console": "off"}]
    define = ["define_metric", {"name": "*", "step_metric": "step"}]
    logs = [["log", {"step": step, **values}] for step, values in FIGURES]
    assert calls_of(services) == [["import wandb", {}], init, define, *logs, ["finish", {"exit_code": 0}]]
    send(asked, figures=FIGURES[:1], failed=True)
    assert calls_of(services)[6:] == [init, define, logs[0], ["finish", {"exit_code": 1}]]
    send(options(tmp_path, wandb_project="another"), figures=[])
    assert identifier(tmp_path, "wandb_project") != first


def test_mlflow_gets_the_figures_and_goes_on_with_its_run(services, tmp_path):
    asked = options(tmp_path, mlflow_experiment="malay")
    send(asked)
    logs = [["mlflow.log_metrics", {"metrics": values, "step": step}] for step, values in FIGURES]
    experiment = ["mlflow.set_experiment", {"name": "malay"}]
    assert calls_of(services) == [
        ["import mlflow", {}], experiment, ["mlflow.start_run", {"run_id": None, "run_name": tmp_path.name}],
        ["mlflow.log_params", {"params": FLAGS}], *logs, ["mlflow.end_run", {"status": "FINISHED"}]]
    send(asked, figures=[], failed=True)
    assert calls_of(services)[7:] == [
        experiment, ["mlflow.start_run", {"run_id": "mlflow-1", "run_name": tmp_path.name}],
        ["mlflow.end_run", {"status": "FAILED"}]]
    assert identifier(tmp_path, "mlflow_experiment") == "mlflow-1"


def test_nothing_is_imported_where_nothing_is_asked_for(services, tmp_path):
    asked = options(tmp_path)
    check_packages(asked)
    assert open_reporters(asked, FLAGS) == []
    assert not {"wandb", "mlflow"} & set(sys.modules) and calls_of(services) == []


@pytest.mark.parametrize("option, package", [("wandb_project", "wandb"), ("mlflow_experiment", "mlflow")])
def test_a_package_that_is_missing_is_refused(tmp_path, monkeypatch, option, package):
    (tmp_path / package).mkdir()  # as wandb leaves one in the folder where it was called
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(reporters.importlib.util, "find_spec",
                        lambda name: types.SimpleNamespace(origin=None) if name == package else None)
    with pytest.raises(InputError) as error, parameters_as_flags():
        check_packages(options(tmp_path, **{option: "malay"}))
    with parameters_as_flags():
        assert str(error.value) == (f"--{option}=malay: the package {package} is not installed; pip install {package}, "
                                    "or leave this out")


@pytest.mark.parametrize("step", ["wandb.init", "log", "finish"])
def test_a_service_that_fails_is_one_warning(services, tmp_path, monkeypatch, capsys, step):
    monkeypatch.setenv("FAKE_SERVICE_FAILS_AT", step)
    send(options(tmp_path, wandb_project="malay"), figures=FIGURES * 3)
    assert capsys.readouterr().err == ("warning: wandb gets no more figures (ConnectionError: no route); the run and "
                                       "its own logs go on\n")
    assert [name for name, _ in calls_of(services)].count(step) == 1


def test_a_service_that_does_not_answer_holds_nobody_up(tmp_path, monkeypatch, capsys):
    gate = threading.Event()

    class Silent:
        package, identifier = "silent", "1"

        def __init__(self, *_):
            pass

        def open(self):
            gate.wait()

    monkeypatch.setattr(reporters, "SERVICES", {"wandb_project": Silent})
    monkeypatch.setattr(reporters, "_CLOSE_SEC", 0.05)
    monkeypatch.setattr(reporters, "_MOST_WAITING", 2)
    asked = options(tmp_path, wandb_project="malay")
    send(asked, figures=FIGURES[:1])
    send(asked, figures=FIGURES * 3)
    gate.set()
    assert capsys.readouterr().err == (
        "warning: silent gets no more figures (no answer within 0.05 seconds); the run and its own logs go on\n"
        "warning: silent gets no more figures (2 records wait for an answer); the run and its own logs go on\n")


def test_a_damaged_note_of_identifiers_begins_anew(services, tmp_path):
    (tmp_path / "reporters.json").write_text('{"wandb_project": 3, "kept": {"id": 1}}')
    send(options(tmp_path, wandb_project="malay"), figures=[])
    assert len(identifier(tmp_path, "wandb_project")) == 16 and identifier(tmp_path, "kept") == 1
