r"""Training speed: sequences, real tokens and useful floating-point operations a second, alone or against a peer.

    bin/benchmark train --bert_config_file=albert_config/albert_config_base.json --peer=huggingface
    bin/benchmark train --input_file='records/tweets-*' --max_seq_length=512 --max_predictions_per_seq=51 \
        --bert_config_file=albert_config/albert_config_tiny.json --train_batch_size=32 --peer=huggingface

Without --input_file the rows are random and full. With it the peer pads each batch to its longest example, and this
program also packs. Programs take turns, each in a process of its own, after two updates that are not counted; figures
are medians over the rounds, and include reading, optimizer and the loss as a number. Model GFLOP/s count the model's work
on real tokens, whatever a program does (`benchmarks/model_flops.py`), "without unread" what of it the losses need; the
ceiling is the faster library's product of two matrices of the model's largest shape, measured in turns with the rest.
--peer=huggingface needs requirements/parity.txt.

    bin/benchmark train --device=gpu --precision=bfloat16 --peer=huggingface \
        --configs=base:128,base:512,large:128,large:512

On a GPU the step is the one that bin/pretrain takes there, the peer runs with torch.compile, SDPA and autocast, each
configuration's figures are printed as they come, and the share of the card's peak is given (`gpu_train.py`).
"""

import dataclasses
import os
import statistics
import tempfile

from albert_hvd.data.records.dataset import open_records
from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.runtime.files import check_place
from albert_hvd.training.batch_plan import plan_batch
from benchmarks.contest import run_by_turns
from benchmarks.contestants import Setting, play_huggingface, play_own
from benchmarks.flag_checks import check_least, check_positions
from benchmarks.matrix_products import play_products
from benchmarks.model_flops import training_flops, unread_flops
from benchmarks.random_rows import num_predictions, random_rows
from benchmarks.report import Report

PEERS = ("none", "huggingface")
_PRECISIONS = ("float32", "bfloat16")
_DEVICES = ("cpu", "gpu", "rehearsal")
_ATTENTIONS = ("plain", "cudnn")
_PEER_KERNELS = ("default", "cudnn", "flash", "efficient")


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    bert_config_file: str = option("albert_config/albert_config_tiny.json", "JSON file of the model's sizes")
    input_file: str = option(None, "TFRecords: a comma list of files and globs; default: random full rows")
    max_seq_length: int = option(128, "positions of a row")
    max_predictions_per_seq: int = option(0, "prediction slots of a row; 0: a tenth of the positions, for random rows")
    train_batch_size: int = option(16, "records of an update")
    accumulation_steps: int = option(1, "micro-batches of this program's update")
    precision: str = option("float32", " or ".join(_PRECISIONS))
    peer: str = option("none", " or ".join(PEERS))
    peer_compile: bool = option(False, "also run the peer under torch.compile")
    rounds: int = option(5, "turns of each program")
    steps: int = option(4, "updates of a turn")
    device: str = option("cpu",
        f"{', '.join(_DEVICES)}; rehearsal: the GPU's way of measuring on the CPU, to try it out")
    configs: str = option(None,
        "on a GPU: a comma list of MODEL:POSITIONS[:ROWS] and packed:MODEL[:ROWS], the latter of the records of "
        "--input_file; MODEL: of albert_config_MODEL.json beside --bert_config_file")
    attention: str = option("cudnn", f"on a GPU: a comma list of {', '.join(_ATTENTIONS)}; each is measured")
    recompute: bool = option(False, "on a GPU: as for bin/pretrain")
    peer_kernels: str = option("default,cudnn",
        f"on a GPU: the peer's attention, a comma list of {', '.join(_PEER_KERNELS)}; default: PyTorch chooses")
    peer_python: str = option(None,
        "on a GPU: the Python that has PyTorch and transformers; default: the one that runs this")
    xla_flags: str = option("",
        "on a GPU: settings of XLA, such as --xla_gpu_enable_triton_gemm=false; sets of them after | are each "
        "measured, an empty one is XLA's defaults")
    limit_sec: int = option(0, "on a GPU: how long a configuration may take, 0: for ever")
    plot: str = option(None, "draw the real tokens/s into this PNG file")


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags or a missing peer."""
    del command_folder  # no command is run
    _check(options)
    if options.device != "cpu":
        from benchmarks.gpu_train import measure

        return measure(options, Report("train", dataclasses.asdict(options)))
    config = AlbertConfig.from_json_file(options.bert_config_file)
    report = Report("train", dataclasses.asdict(options))
    with tempfile.TemporaryDirectory(prefix="benchmark-train-") as folder:
        setting = _setting(options, config, folder)
        outcome = run_by_turns(_contestants(options, setting), options.rounds)
    ceiling = _add_rows(report, outcome, config)
    report.notes.append(f"ceiling: {ceiling:.0f} GFLOP/s in products of matrices (rows x positions, H) and (H, F), "
                        f"H = {config.hidden_size}, F = {config.intermediate_size}, {options.precision}")
    report.notes += _ratios(report.rows)
    if options.plot:
        _draw(report.rows, options)
    return report


def _check(options):
    for name, choices in (("precision", _PRECISIONS), ("peer", PEERS), ("device", _DEVICES)):
        if getattr(options, name) not in choices:
            raise InputError(f"--{name}={getattr(options, name)}: must be one of {', '.join(choices)}")
    for name, choices in (("attention", _ATTENTIONS), ("peer_kernels", _PEER_KERNELS)):
        if not set(getattr(options, name).split(",")) <= set(choices):
            raise InputError(f"--{name}={getattr(options, name)}: must be a comma list of {', '.join(choices)}")
    check_least(options, 1, "train_batch_size", "rounds", "steps")
    if options.input_file and not options.max_predictions_per_seq:
        raise InputError("--max_predictions_per_seq is missing; it goes with --input_file")
    plan_batch(options.train_batch_size, 1, options.accumulation_steps, 0, None)
    if options.plot:
        check_place(options.plot, "plot")


def _setting(options, config, folder):
    check_positions(options.max_seq_length, config)
    setting = Setting(config, options.input_file, options.max_seq_length, options.max_predictions_per_seq,
                      options.train_batch_size, options.steps, len(os.sched_getaffinity(0)))
    if setting.input_file:
        return setting
    path = os.path.join(folder, "random.tfrecord")
    with RecordWriter(path) as writer:
        writer.write_batch(random_rows(config, options.train_batch_size, options.max_seq_length))
    return setting._replace(input_file=path, max_predictions_per_seq=num_predictions(options.max_seq_length))


def _contestants(options, setting):
    """dict of name to (function, arguments), in the order of the table."""
    named = {"albert_hvd": (play_own, (setting, options.precision, False, options.accumulation_steps))}
    if options.input_file:
        rows = _packed_rows(setting)
        packed = setting._replace(rows=max(1, rows // options.accumulation_steps) * options.accumulation_steps)
        named["albert_hvd, packed"] = (play_own, (packed, options.precision, True, options.accumulation_steps))
    if options.peer == "huggingface":
        named["huggingface"] = (play_huggingface, (setting, options.precision, False))
        if options.peer_compile:
            named["huggingface, compiled"] = (play_huggingface, (setting, options.precision, True))
    named["product, TensorFlow"] = (play_products, ("tensorflow", setting, options.precision))
    if options.peer == "huggingface":
        named["product, PyTorch"] = (play_products, ("torch", setting, options.precision))
    return named


def _packed_rows(setting):
    """Packed rows that hold about as many real tokens as `setting.rows` records do."""
    dataset = open_records(setting.input_file, "input_file", setting, setting.config.vocab_size)
    lengths, _ = dataset.lengths()
    return max(1, round(setting.rows * float(lengths.mean()) / setting.max_seq_length))


def _add_rows(report, outcome, config):
    """Fill the table; returns the ceiling in GFLOP/s."""
    products = [statistics.median(rounds) for name, (rounds, _) in outcome.items() if name.startswith("product, ")]
    ceiling = max(products) / 1e9
    for name, (rounds, peak) in outcome.items():
        if name.startswith("product, "):
            continue
        median = statistics.median
        gflops = median(training_flops(config, r.work) / r.seconds for r in rounds) / 1e9
        read = median((training_flops(config, r.work) - unread_flops(config, r.work)) / r.seconds for r in rounds) / 1e9
        report.rows.append({
            "program": name, "sequences/s": median(r.work.examples / r.seconds for r in rounds),
            "real tokens/s": median(r.work.tokens / r.seconds for r in rounds), "model GFLOP/s": gflops,
            "% of the ceiling": 100 * gflops / ceiling, "% without unread": 100 * read / ceiling, "peak MiB": peak / 2**20,
            "tokens an update": median(r.work.tokens for r in rounds) / report.settings["steps"]})
    return ceiling


def _ratios(rows):
    """Lines that compare this program's rows with the fastest other."""
    own = [row for row in rows if row["program"].startswith("albert_hvd")]
    others = [row for row in rows if row not in own]
    if not others:
        return []
    fastest = max(others, key=lambda row: row["real tokens/s"])
    return [f"{row['program']}: {row['real tokens/s'] / fastest['real tokens/s']:.2f} times the real tokens/s of "
            f"{fastest['program']}, {row['peak MiB'] / fastest['peak MiB']:.2f} times its memory" for row in own]


def _draw(rows, options):
    """The plot: a bar of each program's real tokens a second."""
    from albert_hvd.reporting.bars import Bar, BarChart, draw_bars
    from albert_hvd.reporting.drawing import write_png

    bars = [Bar(row["program"], "pre-trained" if row["program"].startswith("albert_hvd") else "baseline",
                row["real tokens/s"], None, f"{row['real tokens/s']:.0f}") for row in rows]
    model = os.path.splitext(os.path.basename(options.bert_config_file))[0]
    chart = BarChart("train", f"Training of {model}, {options.max_seq_length} positions, {options.precision}",
                     "real tokens/s", True, bars)
    write_png(chart, draw_bars, options.plot, "plot")
