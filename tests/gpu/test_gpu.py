"""One command for a GPU machine: `bin/test --gpu`, four minutes on one card. Skipped without a GPU.

What can run side by side does; speed is measured when all else has ended. Each job has a time limit of its own, and
what it finds is written at once (`gpu_jobs.py`).
"""

import sys

import numpy as np
import pytest

import gpu_commands
from conftest import ROOT, command_words
from gpu_jobs import REHEARSAL, GpuReport, Jobs, why_no_gpu
from gpu_numbers import cases, choices

pytestmark = [pytest.mark.gpu, pytest.mark.tier("all"),
              pytest.mark.skipif(why_no_gpu() is not None, reason=str(why_no_gpu()))]

# (config, positions, rows, attention). Each takes half a minute to compile; bin/benchmark train measures more of them.
SPEEDS = [("base", 512, 64, "cudnn"), ("base", 128, 256, "cudnn")]
SPEED_LIMIT_SEC = 75
if REHEARSAL:
    SPEEDS = [("tiny", 32, 4, "plain")]


class Suite:
    """The jobs of the tests that were chosen, started together."""

    def __init__(self, chosen, folder, report):
        self.folder, self.report, self.jobs = folder, report, Jobs(report)
        self.started = {}
        if chosen & {"test_the_card_is_seen_and_sums_go_through_nccl"}:
            self.started["nccl"] = self.jobs.script("nccl", "gpu_ranks.py", "gpu", limit_sec=90)
        if chosen & {"test_ranks_that_share_a_card_sum_in_main_memory"}:
            self.started["mpi"] = self.jobs.script("mpi", "gpu_ranks.py", "cpu", limit_sec=90, ranks=2)
        if chosen & {"test_a_step_is_that_of_the_cpu_in_float32"}:
            self._start_numbers()
        if any("run" in name or "commands" in name for name in chosen):
            self._start_runs()

    def _start_numbers(self):
        path = self.folder / "reference.npz"
        reference = self.jobs.script("reference", "gpu_numbers.py", "reference", path, limit_sec=90)

        def compare(precision, attention):
            reference.result().check()
            words = [sys.executable, str(ROOT / "tests" / "gpu" / "gpu_numbers.py"), precision, str(path), attention]
            return self.jobs.run(f"numbers {precision} {attention}", words, 150)

        for precision, attention in choices():
            self.started[precision, attention] = self.jobs.call(compare, precision, attention)

    def _start_runs(self):
        folder, jobs = self.folder, self.jobs
        gpu_commands.write_data(folder)
        whole = self.started["whole"] = jobs.call(gpu_commands.pretrain, jobs, "whole", folder)
        self.started["killed"] = jobs.call(gpu_commands.killed_and_resumed, jobs, folder)
        self.started["shared"] = jobs.call(lambda: gpu_commands.pretrain(jobs, "shared", folder, ranks=2,
                                                                         share_gpus=True))
        attention = "auto" if REHEARSAL else "cudnn"  # auto: not for so few positions
        self.started["auto"] = jobs.call(lambda: gpu_commands.pretrain(
            jobs, "auto", folder, precision="auto", attention=attention, pack_sequences=True, deterministic=False))

        def after_whole(name, words):
            whole.result().check()
            return jobs.run(name, words, 120)

        for place in ("gpu", "cpu"):
            use_gpu = place == "gpu" and not REHEARSAL
            words = command_words("validate", use_gpu=use_gpu, init_checkpoint=folder / "whole", eval_batch_size=8,
                                  output_dir=folder / f"validate-{place}", input_file=folder / "eval.tfrecord",
                                  bert_config_file=folder / "config.json", max_seq_length=gpu_commands.LENGTH,
                                  max_predictions_per_seq=gpu_commands.PREDICTIONS)
            self.started[f"validate-{place}"] = jobs.call(after_whole, f"validate {place}", words)
            words = [sys.executable, str(ROOT / "tests" / "gpu" / "gpu_encode.py"), str(folder / "whole"),
                     str(folder / f"vectors-{place}.npy"), place]
            self.started[f"encode-{place}"] = jobs.call(after_whole, f"encode {place}", words)
            words = command_words("finetune", use_gpu=use_gpu, task="emotion", init_checkpoint=folder / "whole",
                                  train_file=folder / "train.tsv", valid_file=folder / "valid.tsv", max_seq_length=32,
                                  output_dir=folder / f"finetune-{place}", num_train_epochs=8, train_batch_size=16,
                                  dropout=0.0, deterministic=True)
            self.started[f"finetune-{place}"] = jobs.call(after_whole, f"finetune {place}", words)

    def check(self, name):
        """Wait for a job, fail unless it ended well, and return its findings."""
        return self.started[name].result().check()

    def wait_for_all(self):
        """Until nothing else uses the card."""
        for future in self.started.values():
            future.exception()


@pytest.fixture(scope="session")
def suite(request, tmp_path_factory):
    terminal = request.config.pluginmanager.getplugin("terminalreporter")
    capture = request.config.pluginmanager.getplugin("capturemanager")

    def show(line):
        with capture.global_and_fixture_disabled():
            terminal.write_line(line[:400])

    report = GpuReport(show)
    suite = Suite({item.originalname for item in request.session.items}, tmp_path_factory.mktemp("gpu"), report)
    yield suite
    suite.jobs.close()
    for line in report.table():
        show(line)


def test_the_card_is_seen_and_sums_go_through_nccl(suite):
    finding, = suite.check("nccl")
    assert finding["ok"] and finding["size"] == 1
    assert REHEARSAL or finding["nccl"] and finding["device"].endswith("GPU:0")


def test_ranks_that_share_a_card_sum_in_main_memory(suite):
    finding, = suite.check("mpi")
    assert finding["ok"] and finding["size"] == 2 and finding["mpi"]


@pytest.mark.parametrize("precision, attention", choices())
def test_a_step_is_that_of_the_cpu_in_float32(suite, precision, attention):
    findings = suite.check((precision, attention))
    assert len(findings) == len(list(cases()))
    assert [finding for finding in findings if not finding["ok"]] == []


def test_a_killed_run_that_goes_on_ends_bit_identical(suite):
    for name in ("whole", "killed"):
        suite.check(name)
    whole, killed = (gpu_commands.weights(suite.folder, name) for name in ("whole", "killed"))
    difference = gpu_commands.largest_difference(whole, killed)
    suite.report.add("killed", {"check": "kill and resume", "largest_difference": difference, "ok": difference == 0})
    assert difference == 0


def test_a_run_of_two_ranks_on_one_card_makes_the_steps_of_one(suite):
    for name in ("whole", "shared"):
        suite.check(name)
    whole, shared = (np.array([line["loss"] for line in gpu_commands.log_of(suite.folder, name)])
                     for name in ("whole", "shared"))
    error = float(np.abs(shared[:20] / whole[:20] - 1).max())  # later, rounding errors have grown
    weights = gpu_commands.largest_difference(*(gpu_commands.weights(suite.folder, name) for name in ("whole", "shared")))
    suite.report.add("shared", {"check": "two ranks", "loss_error_of_20_steps": error, "last_weights_differ_by": weights,
                                "ok": error < 1e-4})
    assert len(whole) == len(shared) and error < 1e-4


def test_a_run_as_gpus_make_it_by_default_learns(suite):
    suite.check("auto")
    losses = [line["masked_lm_loss"] for line in gpu_commands.log_of(suite.folder, "auto")]
    first, last = float(np.mean(losses[:20])), float(np.mean(losses[-20:]))
    suite.report.add("auto", {"check": "defaults", "first_loss": first, "last_loss": last, "ok": last < first})
    assert np.isfinite(losses).all() and last < first


@pytest.mark.parametrize("figure", ["loss", "masked_lm_loss", "next_sentence_loss"])
def test_commands_validate_as_on_the_cpu(suite, figure):
    values = []
    for place in ("gpu", "cpu"):
        suite.check(f"validate-{place}")
        values.append(gpu_commands.results(suite.folder, f"validate-{place}", "eval_results.json")[figure])
    suite.report.add("validate", {"check": figure, "gpu": values[0], "cpu": values[1],
                                  "ok": bool(np.isclose(*values, rtol=1e-4))})
    assert np.isclose(*values, rtol=1e-4)


def test_commands_encode_as_on_the_cpu(suite):
    for place in ("gpu", "cpu"):
        suite.check(f"encode-{place}")
    gpu, cpu = (np.load(suite.folder / f"vectors-{place}.npy") for place in ("gpu", "cpu"))
    error = float(np.abs(gpu - cpu).max() / np.abs(cpu).max())
    suite.report.add("encode", {"check": "vectors", "largest_difference": error, "ok": error < 1e-4})
    assert error < 1e-4


def test_commands_finetune_as_well_as_on_the_cpu(suite):
    scores = {}
    for place in ("gpu", "cpu"):
        suite.check(f"finetune-{place}")
        scores[place] = gpu_commands.results(suite.folder, f"finetune-{place}", "results.json")
    scores = {place: gpu_commands.valid_score(result) for place, result in scores.items()}
    suite.report.add("finetune", {"check": "valid score", **scores, "ok": min(scores.values()) >= 0.9})
    assert min(scores.values()) >= 0.9


@pytest.mark.parametrize("config, positions, rows, attention", SPEEDS)
def test_speed(suite, config, positions, rows, attention):
    """Twenty steps; its figures are reported, not asserted."""
    suite.wait_for_all()
    path = ROOT / "albert_config" / f"albert_config_{config}.json"
    words = [sys.executable, str(ROOT / "tests" / "gpu" / "gpu_speed.py"), path, positions, rows, attention]
    findings = suite.jobs.run(f"speed {config} {positions} {rows} {attention}", list(map(str, words)),
                              SPEED_LIMIT_SEC).check()
    assert findings[0]["ms_a_step"] > 0 and np.isfinite(findings[0]["loss"])
