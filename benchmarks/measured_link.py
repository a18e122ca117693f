"""The link that the cost model's ring needs to explain allreduce times measured on this machine or another."""

import json
import os
import tempfile

from albert_hvd.errors import InputError
from benchmarks.launcher import launch_words
from benchmarks.allreduce import FLOAT32
from benchmarks.command_usage import run_command
from benchmarks.cost_model import Measurement, fit_link, relative_residuals


def read_measurements(paths):
    """The float32 rows of JSON files of `bin/benchmark allreduce`: list of `Measurement`.

    Args:
      paths: a comma list.

    Raises:
      InputError: naming the file.
    """
    measurements = []
    for path in paths.split(","):
        try:
            with open(path, encoding="utf-8") as file:
                report = json.load(file)
            ranks = int(report["settings"]["ranks"])
            found = [Measurement(ranks, int(row["bytes"]), float(row["microseconds"]) / 1e6)
                     for row in report["rows"] if row["message"] == FLOAT32]
        except OSError as error:
            raise InputError(f"--allreduce={path}: cannot be read ({error.strerror}); write it with horovodrun -np 2 "
                             f"bin/benchmark allreduce --json=FILE") from None
        except (ValueError, KeyError, TypeError, RecursionError):
            found = []
        if len(found) < 2 or ranks < 2 or min(min(m) for m in found) <= 0:
            raise InputError(f"--allreduce={path}: holds no times of an allreduce; write it with horovodrun -np 2 "
                             f"bin/benchmark allreduce --json=FILE")
        measurements += found
    return measurements


def measure(config_file, ranks, command_folder):
    """Run `bin/benchmark allreduce` on ranks of this machine: list of `Measurement`.

    Raises:
      RunFailed: it ended with an error.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-allreduce-") as folder:
        path = os.path.join(folder, "allreduce.json")
        run_command([*launch_words(ranks), os.path.join(command_folder, "benchmark"), "allreduce",
                     f"--model={config_file}", f"--json={path}"])
        return read_measurements(path)


def fit_rows(measurements):
    """(the fitted `Link`, rows that show each measurement beside the fit)."""
    link = fit_link(measurements)
    return link, [{"ranks": m.ranks, "bytes": m.message_bytes, "measured microseconds": 1e6 * m.seconds,
                   "fitted microseconds": 1e6 * m.seconds * (1 + residual), "residual %": 100 * residual}
                  for m, residual in zip(measurements, relative_residuals(measurements, link))]
