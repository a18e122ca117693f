"""`results.json` of a job and of each of its seeds; FORMAT names the form that `bin/plot --kind=comparison` reads."""

import json
import os
import statistics

from albert_hvd.errors import InputError
from albert_hvd.run_folder.logs import write_atomically
from benchmarks.report import machine, versions

FORMAT = "albert_hvd fine-tuning result 1"
RESULTS = "results.json"
SUMMARISED = ("accuracy", "macro_f1")


def read_seed_result(folder):
    """The result of a seed that is finished, or None."""
    path = os.path.join(folder, RESULTS)
    try:
        with open(path, encoding="utf-8") as file:
            values = json.load(file)
        if not isinstance(values, dict):
            raise ValueError(f"it holds no JSON object, but a {type(values).__name__}")
        return values
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"--output_dir: {path} cannot be read ({error}); remove the folder {folder} to train that "
                         f"seed again") from None


def write_result(folder, values):
    """Write `results.json`, whole or not at all."""
    write_atomically(os.path.join(folder, RESULTS), json.dumps(values, indent=1, ensure_ascii=False) + "\n")


def job_result(job, seed_results, baseline_results, num_parameters, size):
    """The result of a job.

    Args:
      job: `job.Job`.
      seed_results: list of the seeds' results.
      baseline_results: as `baselines.run` gives them.
      num_parameters: of the model.
      size: number of ranks.
    """
    options = job.options
    return {
        "format": FORMAT, "task": options.task, "kind": job.task.kind,
        "name": options.name or job.first_weights.name, "init_checkpoint": options.init_checkpoint,
        "parameters": num_parameters, "labels": list(job.task.labels),
        "data": {"test": None, **{name: part.description() for name, part in job.parts()}},
        "settings": options.settings(), "ranks": size, "versions": versions(), "machine": machine(),
        "seeds": seed_results,
        "summary": {"valid": summary([seed["valid"] for seed in seed_results]),
                    "test": summary([seed["test"] for seed in seed_results]) if job.data.test else None},
        "baselines": baseline_results,
    }


def summary(metrics):
    """Mean and spread over seeds: {metric: {"mean", "spread"}}; the spread is the standard deviation of a sample.

    It is None for a single seed.
    """
    values = {name: [one[name] for one in metrics] for name in SUMMARISED}
    return {name: {"mean": statistics.fmean(numbers),
                   "spread": statistics.stdev(numbers) if len(numbers) > 1 else None}
            for name, numbers in values.items()}


def best_seed(seed_results, select_by):
    """The seed whose model is best on the validation part; of several the first."""
    return max(seed_results, key=lambda result: result["valid"][select_by])["seed"]
