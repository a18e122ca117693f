"""Where a run's figures go beside its own files: services such as Weights & Biases and MLflow. Rank 0 only.

A reporter has `write(step, values)` with a dict of numbers, and `close(failed)`. Services are reached from a thread of
their own: neither their silence nor their failure holds up or ends a run. Their packages are imported there, and only
where they are asked for; accounts, servers and the like are configured as those packages say.
"""

import importlib.util
import json
import os
import queue
import secrets
import sys
import threading

from albert_hvd.errors import InputError
from albert_hvd.run_folder.layout import REPORTERS
from albert_hvd.run_folder.logs import write_atomically
from albert_hvd.runtime.files import read_json_object

_MOST_WAITING = 1000  # records; what is more than the service takes is dropped
_CLOSE_SEC = 15.0


class Wandb:
    """A run of Weights & Biases.

    Args:
      project: its name there.
      output_dir: the run's folder, which gives the run its name.
      identifier: of the run to go on with; None: a new one.
      flags: dict, the run's settings.
    """

    package = "wandb"

    def __init__(self, project, output_dir, identifier, flags):
        self.identifier = identifier or secrets.token_hex(8)
        self._project, self._output_dir, self._flags = project, output_dir, flags

    def open(self):
        """Begin the run, or go on with it."""
        import wandb

        self._run = wandb.init(project=self._project, id=self.identifier, resume="allow", config=self._flags,
                               name=os.path.basename(os.path.abspath(self._output_dir)), dir=self._output_dir,
                               # Its own copy of the console would stand between a run and its output.
                               settings=wandb.Settings(console="off"))
        # A run that was killed goes on at an earlier step; a step of wandb's own may only grow.
        self._run.define_metric("*", step_metric="step")

    def log(self, step, values):
        """Send a dict of numbers."""
        self._run.log({"step": step, **values})

    def close(self, failed):
        """End the run for now."""
        self._run.finish(exit_code=int(failed))


class MLflow:
    """A run of MLflow; arguments as of `Wandb`, with an experiment in the place of a project."""

    package = "mlflow"

    def __init__(self, experiment, output_dir, identifier, flags):
        self.identifier = identifier
        self._experiment, self._output_dir, self._flags = experiment, output_dir, flags

    def open(self):
        """Begin the run, or go on with it."""
        import mlflow

        self._mlflow, is_new = mlflow, self.identifier is None
        mlflow.set_experiment(self._experiment)
        name = os.path.basename(os.path.abspath(self._output_dir))
        self.identifier = mlflow.start_run(run_id=self.identifier, run_name=name).info.run_id
        if is_new:  # they cannot be changed later; flags_history.jsonl has what was
            mlflow.log_params(self._flags)

    def log(self, step, values):
        """Send a dict of numbers."""
        self._mlflow.log_metrics(values, step=step)

    def close(self, failed):
        """End the run for now."""
        self._mlflow.end_run("FAILED" if failed else "FINISHED")


# Option -> the class of what it asks for.
SERVICES = {"wandb_project": Wandb, "mlflow_experiment": MLflow}


def check_packages(options):
    """InputError when an option asks for a service whose package is not installed."""
    for option, service in SERVICES.items():
        value = getattr(options, option)
        # A folder that happens to be called so, as wandb makes one, is found as a package without a file.
        if value and getattr(importlib.util.find_spec(service.package), "origin", None) is None:
            raise InputError(f"the package {service.package} is not installed",
                             f"pip install {service.package}, or leave this out", name=option, value=value)


def open_reporters(options, flags):
    """The reporters that the options ask for; a resumed run goes on with its runs there.

    Args:
      options: with `output_dir` and the names in `SERVICES`.
      flags: dict, the run's settings.
    """
    path = os.path.join(options.output_dir, REPORTERS)
    return [_Sender(service, option, getattr(options, option), options.output_dir, path, flags)
            for option, service in SERVICES.items() if getattr(options, option)]


class _Sender:
    """Hands records to a service in a thread of its own, until the first failure, of which one line warns."""

    def __init__(self, service, option, target, output_dir, path, flags):
        known = read_json_object(path).get(option)
        identifier = known.get("id") if isinstance(known, dict) and known.get("target") == target else None
        self._service = service(target, output_dir, identifier, flags)
        self._option, self._target, self._path = option, target, path
        self._records = queue.Queue(_MOST_WAITING)
        self._failed = self._given_up = False
        self._thread = threading.Thread(target=self._send, name=service.package, daemon=True)
        self._thread.start()

    def _send(self):
        try:
            self._service.open()
            self._keep_identifier()
            while (record := self._records.get()) is not None:
                self._service.log(*record)
            self._service.close(self._failed)
        except Exception as error:  # whatever a network and somebody else's code may come up with
            self._give_up(f"{type(error).__name__}: {error}")

    def _keep_identifier(self):
        noted = {"target": self._target, "id": self._service.identifier}
        known = read_json_object(self._path)
        if known.get(self._option) != noted:
            write_atomically(self._path, json.dumps({**known, self._option: noted}) + "\n")

    def _give_up(self, reason):
        if not self._given_up:
            self._given_up = True
            reason = " ".join(reason.split())
            sys.stderr.write(f"warning: {self._service.package} gets no more figures ({reason:.300}); "
                             "the run and its own logs go on\n")

    def write(self, step, values):
        """Send a dict of numbers, some time."""
        if self._given_up:
            return
        try:
            self._records.put_nowait((step, values))
        except queue.Full:
            self._give_up(f"{_MOST_WAITING} records wait for an answer")

    def close(self, failed):
        """Send what waits, for so long; the service is told whether the run failed."""
        self._failed = failed
        if self._given_up:
            return
        try:
            self._records.put_nowait(None)
        except queue.Full:
            pass  # nothing has been sent for long
        self._thread.join(_CLOSE_SEC)
        if self._thread.is_alive():
            self._give_up(f"no answer within {_CLOSE_SEC:g} seconds")
