r"""Whether a change made something slower: a few ratios, each against the one that was committed.

    bin/benchmark guard                       # compare; takes three to four minutes
    bin/benchmark guard --peer=huggingface    # the ratios to Hugging Face too; needs requirements/parity.txt
    bin/benchmark guard --update              # write the ratios of now into benchmarks/guard.json, to be committed

Absolute times depend on the machine and on what else runs on it; ratios of programs that take turns depend on the code.
The committed ones name the machine that they were measured on. Nothing fails here: a ratio that has changed by more
than --tolerance is marked, and a reader decides.
"""

import dataclasses
import json
import os
import statistics
import tempfile

import numpy as np

from albert_hvd.data.records.tfrecord import RecordWriter
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.runtime.files import whole_file
from benchmarks import guard_commands
from benchmarks.contest import run_by_turns
from benchmarks.contestants import Setting, play_own
from benchmarks.flag_checks import check_least, check_positions
from benchmarks.matrix_products import play_products
from benchmarks.model_flops import training_flops
from benchmarks.random_rows import num_predictions, random_rows
from benchmarks.report import Report
from benchmarks.text_contest import check_peer

COMMITTED = os.path.join(os.path.dirname(__file__), "guard.json")
_SHARE_OF_REAL_TOKENS = 4  # short records fill a quarter of their row


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    bert_config_file: str = option("albert_config/albert_config_tiny.json", "JSON file of the model's sizes")
    max_seq_length: int = option(128, "positions of a row")
    train_batch_size: int = option(48, "records of an update, a multiple of 4")
    rounds: int = option(5, "turns of each program")
    steps: int = option(2, "updates of a turn")
    peer: str = option("none", "none or huggingface: the ratios of what users do with a model, too")
    peer_python: str = option(None, "the Python that has PyTorch and transformers; default: the one that runs this")
    update: bool = option(False, "make the ratios of now the committed ones")
    tolerance: float = option(0.15, "change of a ratio that is marked")


def run(options, command_folder):
    """Measure; returns a `Report`. Raises InputError for bad flags."""
    config = AlbertConfig.from_json_file(options.bert_config_file)
    check_positions(options.max_seq_length, config)
    if options.train_batch_size < 1 or options.train_batch_size % _SHARE_OF_REAL_TOKENS:
        raise InputError(f"--train_batch_size={options.train_batch_size}: must be a multiple of "
                         f"{_SHARE_OF_REAL_TOKENS}")
    check_least(options, 1, "rounds", "steps")
    check_peer(options)
    report = Report("guard", dataclasses.asdict(options))
    with tempfile.TemporaryDirectory(prefix="benchmark-guard-") as folder:
        peer_ratios = guard_commands.peer_ratios(options, folder) if options.peer != "none" else {}
        outcome = run_by_turns(_contestants(options, config, folder), options.rounds)
    ratios = {**ratios_of(outcome, config), **guard_commands.records_ratio(command_folder), **peer_ratios}
    committed = _read_committed()
    if options.update:
        _write_committed({**committed["ratios"], **ratios}, report)
        committed = _read_committed()
    report.rows = compare(ratios, committed["ratios"], options.tolerance)
    report.notes.append(f"committed: {committed['machine']}")
    return report


def _read_committed():
    """{"machine": str, "ratios": {name: float}}."""
    with open(COMMITTED, encoding="utf-8") as file:
        return json.load(file)


def _write_committed(ratios, report):
    machine = f"{report.machine['processor']}, {report.machine['cores']} cores, {report.machine['system']}"
    ratios = {name: round(ratio, 3) for name, ratio in ratios.items()}
    with whole_file(COMMITTED, "update") as file:
        file.write(json.dumps({"machine": machine, "ratios": ratios}, indent=1).encode() + b"\n")


def _contestants(options, config, folder):
    rows, length = options.train_batch_size, options.max_seq_length
    paths = {}
    for name, tokens in (("full", length), ("short", length // _SHARE_OF_REAL_TOKENS)):
        paths[name] = os.path.join(folder, f"{name}.tfrecord")
        with RecordWriter(paths[name]) as writer:
            writer.write_batch(_cut(random_rows(config, rows, length), tokens))
    full = Setting(config, paths["full"], length, num_predictions(length), rows, options.steps,
                   len(os.sched_getaffinity(0)))
    short = full._replace(input_file=paths["short"])
    small = full._replace(rows=rows // _SHARE_OF_REAL_TOKENS, steps=options.steps * _SHARE_OF_REAL_TOKENS)
    packed = short._replace(rows=rows // _SHARE_OF_REAL_TOKENS)
    return {"full": (play_own, (full,)), "bfloat16": (play_own, (full, "bfloat16")),
            "short": (play_own, (short,)), "packed": (play_own, (packed, "float32", True)),
            "small": (play_own, (small,)),
            "product": (play_products, ("tensorflow", full, "float32"))}


def _cut(batch, tokens):
    """The rows with `tokens` real tokens each, and the predictions that lie in them."""
    real = np.arange(batch["input_ids"].shape[1]) < tokens
    slots = batch["masked_lm_positions"] < tokens
    return {**batch, **{name: batch[name] * real for name in ("input_ids", "input_mask", "segment_ids")},
            **{name: batch[name] * slots for name in ("masked_lm_positions", "masked_lm_ids")},
            "masked_lm_weights": slots.astype(np.float32)}


def ratios_of(outcome, config):
    """The ratios by name, from what `run_by_turns` returned."""
    def tokens_per_sec(name):
        return statistics.median(r.work.tokens / r.seconds for r in outcome[name][0])

    flops = statistics.median(training_flops(config, r.work) / r.seconds for r in outcome["full"][0])
    return {"training, share of the product's GFLOP/s": flops / statistics.median(outcome["product"][0]),
            "bfloat16 : float32, sequences/s": tokens_per_sec("bfloat16") / tokens_per_sec("full"),
            "packed : unpacked, real tokens/s": tokens_per_sec("packed") / tokens_per_sec("short"),
            "a quarter of the rows : all, real tokens/s": tokens_per_sec("small") / tokens_per_sec("full")}


def compare(ratios, committed, tolerance):
    """The rows of the table; a ratio that nothing was committed for stands alone."""
    rows = []
    for name, ratio in ratios.items():
        before = committed.get(name)
        change = ratio / before - 1 if before else None
        rows.append({"ratio": name, "committed": before, "now": ratio,
                     "change": "" if change is None else f"{change:+.0%}",
                     "": "changed" if change is not None and abs(change) > tolerance else ""})
    return rows
