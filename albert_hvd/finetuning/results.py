"""What a job and its seeds found: `results.json` of the job, means and spreads over seeds."""

import statistics

from albert_hvd.run_folder.task_results import FORMAT
from albert_hvd.runtime.environment import machine, versions

SUMMARISED = ("accuracy", "macro_f1")


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
