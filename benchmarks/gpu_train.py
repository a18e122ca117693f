"""`bin/benchmark train --device=gpu`: training speed on one GPU, in turns with a peer on the same card.

Each configuration is measured on its own, and its rows are printed as a line of JSON when it is done, so that a run
that is cut off leaves what it found. An update is one micro-batch. Times end when the device has finished; MFU is useful
work over the card's peak in dense bfloat16 (`model_flops.py`, `GPU_PEAKS`). `idle %` is the share of a traced stretch in
which the device ran nothing, which is mostly waiting for the host.
"""

import dataclasses
import itertools
import json
import os
import statistics
import tempfile
import time

from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.runtime.devices import first_gpu_name
from benchmarks.contest import run_by_turns
from benchmarks.contestants import Setting
from benchmarks.flag_checks import check_positions
from benchmarks.gpu_contestant import play_own_on_gpu
from benchmarks.gpu_round import NO_SUMMARY, idle_share, longest_kernels
from benchmarks.model_flops import training_flops
from benchmarks.peer_process import play_peer
from benchmarks.random_rows import num_predictions, random_rows

# Dense products of bfloat16 (V100: float16) in FLOP/s, from NVIDIA's data sheets; the first name that fits counts.
GPU_PEAKS = {"H100 PCIe": 756e12, "H100 NVL": 835e12, "H100": 989e12, "H200": 989e12, "A100": 312e12, "L40S": 362e12,
             "V100": 125e12}

# Positions of an update unless a configuration says how many rows: enough to fill a card.
_POSITIONS_OF_AN_UPDATE = 32768
_KERNELS = 20  # named in the lines of JSON


@dataclasses.dataclass(frozen=True)
class Configuration:
    """What is measured at once: `model`, positions and rows of an update; `packed`: of the records of --input_file."""

    name: str
    config_file: str
    positions: int
    rows: int
    packed: bool


def parse_configurations(options):
    """The `Configuration`s of --configs, else the one of --bert_config_file. Raises InputError."""
    folder = os.path.dirname(options.bert_config_file)
    if not options.configs:
        return [Configuration(os.path.basename(options.bert_config_file), options.bert_config_file,
                              options.max_seq_length, options.train_batch_size, bool(options.input_file))]
    found = []
    for word in options.configs.split(","):
        kind, _, rest = word.strip().partition(":")
        packed = kind == "packed"
        model, *numbers = (rest or "base").split(":") if packed else (kind, *rest.split(":"))
        if not all(number.isdigit() and int(number) for number in numbers) or len(numbers) > (1 if packed else 2) or (
                not packed and not numbers):
            raise InputError(f"--configs={options.configs}: {word!r} must be MODEL:POSITIONS, MODEL:POSITIONS:ROWS, "
                             f"packed:MODEL or packed:MODEL:ROWS, such as base:512 or packed:large:32")
        if packed and not options.input_file:
            raise InputError(f"--configs={options.configs}: {word!r} packs the records of --input_file, which is missing")
        positions = options.max_seq_length if packed else int(numbers[0])
        rows = int(numbers[-1]) if len(numbers) > (0 if packed else 1) else max(1, _POSITIONS_OF_AN_UPDATE // positions)
        found.append(Configuration(word.strip(), os.path.join(folder, f"albert_config_{model}.json"), positions, rows,
                                   packed))
    return found


def measure(options, report):
    """Fill the table of `report`; returns it. Raises InputError for bad flags or a missing peer."""
    configurations = parse_configurations(options)
    card = card_name() if options.device == "gpu" else "CPU"
    peak = next((flops for name, flops in GPU_PEAKS.items() if name in card), None)
    report.notes.append(f"card: {card}, peak {'unknown' if peak is None else f'{peak / 1e12:.0f} TFLOP/s'}")
    checked = [(each, _config_of(each)) for each in configurations]
    for configuration, config in checked:
        began, failures = time.monotonic(), {}
        with tempfile.TemporaryDirectory(prefix="benchmark-train-") as folder:
            setting = _setting(options, configuration, config, folder)
            contestants = _contestants(options, configuration, setting)
            # The peer's compiler works on the CPU for long; XLA's tries kernels on the card, which others would disturb.
            peers = [name for name in contestants if not name.startswith("albert_hvd")]
            outcome = run_by_turns(contestants, options.rounds, options.limit_sec or None, failures, peers)
        outcome = {name: (rounds, summary or NO_SUMMARY) for name, (rounds, summary) in outcome.items()}
        rows = [_row(configuration, config, name, rounds, summary, peak, options.steps)
                for name, (rounds, summary) in outcome.items()]
        _add_ratios(rows)
        report.rows += rows
        report.notes += [f"{configuration.name}, {name}: {words}" for name, words in failures.items()]
        line = {"configuration": configuration.name, "card": card, "seconds": time.monotonic() - began, "rows": rows,
                "failures": failures, "longest kernels": {
                    name: longest_kernels(summary.trace, _KERNELS) for name, (_, summary) in outcome.items()},
                "versions": {name: summary.versions for name, (_, summary) in outcome.items()}}
        print(json.dumps(line), flush=True)
    return report


def _config_of(configuration):
    config = AlbertConfig.from_json_file(configuration.config_file)
    check_positions(configuration.positions, config)
    return config


def _setting(options, configuration, config, folder):
    setting = Setting(config, options.input_file, configuration.positions, options.max_predictions_per_seq,
                      configuration.rows, options.steps, len(os.sched_getaffinity(0)), options.device)
    if configuration.packed:
        return setting
    path = os.path.join(folder, "random.tfrecord")
    with RecordWriter(path) as writer:
        writer.write_batch(random_rows(config, configuration.rows, configuration.positions))
    return setting._replace(input_file=path, max_predictions_per_seq=num_predictions(configuration.positions))


def _contestants(options, configuration, setting):
    """dict of name to (function, arguments), in the order of the table; each attention of --attention is one."""
    named = {}
    for attention, flags in itertools.product(options.attention.split(","), options.xla_flags.split("|")):
        name = f"albert_hvd, {attention}" + ", packed" * configuration.packed + f" {flags.strip()}".rstrip()
        named[name] = (play_own_on_gpu, (setting, options.precision, attention, configuration.packed,
                                         options.accumulation_steps, options.recompute, flags.strip()))
    if options.peer == "huggingface":
        for name in options.peer_kernels.split(","):
            label = "huggingface" if name == "default" else f"huggingface, {name}"
            kernel = None if name == "default" else f"{name.upper()}_ATTENTION"
            named[label] = (play_peer, (setting, options.precision, kernel, options.peer_python))
    return named


def _row(configuration, config, name, rounds, summary, peak, steps):
    """A line of the table: medians over the rounds."""
    median = statistics.median
    flops = median(training_flops(config, r.work) / r.seconds for r in rounds)
    idle = idle_share(summary.trace)
    return {"configuration": configuration.name, "program": name, "rows": configuration.rows,
            "ms an update": 1e3 * median(r.seconds for r in rounds) / steps,
            "sequences/s": median(r.work.examples / r.seconds for r in rounds),
            "real tokens/s": median(r.work.tokens / r.seconds for r in rounds), "TFLOP/s": flops / 1e12,
            "MFU %": None if peak is None else 100 * flops / peak,
            "idle %": None if idle is None else 100 * idle,
            "input wait %": 100 * median(r.wait_sec / r.seconds for r in rounds),
            "peak GiB": summary.peak_bytes and summary.peak_bytes / 2**30, "set-up s": summary.setup_sec,
            "loss": rounds[-1].loss}


def _add_ratios(rows):
    """Real tokens a second over the fastest other program's, for each row of this one."""
    others = [row["real tokens/s"] for row in rows if not row["program"].startswith("albert_hvd")]
    for row in rows:
        if others and row["program"].startswith("albert_hvd"):
            row["x peer"] = row["real tokens/s"] / max(others)


def card_name():
    """What NVIDIA calls the GPU. Raises InputError when there is none to see."""
    name = first_gpu_name()
    if name is None:
        raise InputError("--device=gpu: NVIDIA's driver shows no GPU on this machine; measure on one that has one, or "
                         "with --device=cpu")
    return name
