"""Packages `wandb` and `mlflow` that note each call as a line of JSON, and fail where the environment says."""

import json
import textwrap

_COMMON = """
import json, os

def note(what, /, **arguments):
    with open(os.path.join(os.path.dirname(__file__), "calls.jsonl"), "a") as file:
        file.write(json.dumps([what, arguments]) + "\\n")
    if os.environ.get("FAKE_SERVICE_FAILS_AT") == what:
        raise ConnectionError("no\\nroute")

note(f"import {__name__}")
"""

_WANDB = _COMMON + """
def Settings(console):
    return {"console": console}

def init(project, id, resume, config, name, dir, settings):
    shown = {key: config[key] for key in ("seed",)}
    note("wandb.init", project=project, id=id, resume=resume, config=shown, name=name, dir=dir, **settings)
    return Run()

class Run:
    def define_metric(self, name, step_metric):
        note("define_metric", name=name, step_metric=step_metric)

    def log(self, values):
        note("log", **values)

    def finish(self, exit_code):
        note("finish", exit_code=exit_code)
"""

_MLFLOW = _COMMON + """
import types

def set_experiment(name):
    note("mlflow.set_experiment", name=name)

def start_run(run_id, run_name):
    note("mlflow.start_run", run_id=run_id, run_name=run_name)
    return types.SimpleNamespace(info=types.SimpleNamespace(run_id=run_id or "mlflow-1"))

def log_params(params):
    note("mlflow.log_params", params={key: params[key] for key in ("seed",)})

def log_metrics(metrics, step):
    note("mlflow.log_metrics", metrics=metrics, step=step)

def end_run(status):
    note("mlflow.end_run", status=status)
"""


def write_fake_services(folder):
    """Write both packages' modules into `folder`; returns it."""
    folder.mkdir()
    for name, source in (("wandb", _WANDB), ("mlflow", _MLFLOW)):
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    return folder


def calls_of(folder):
    """[[what, arguments], ...] of all that was called so far, imports included."""
    path = folder / "calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
