r"""Held-out loss of pre-training recipes at equal processor time: the default one, each of its parts left out, others.

    bin/benchmark recipes --input_file='records/train.tfrecord-*' --bert_config_file=tiny_8000.json \
        --eval_input_file=records/valid.tfrecord --eval_token_input_file=records/valid_tokens.tfrecord \
        --max_predictions_per_seq=40 --train_minutes=7 --runs_dir=runs/recipes

Each run is one bin/pretrain of --train_minutes of processor time, start and compilation included, and bin/validate on
both held-out files: one with whole words masked, one with single pieces, for the two are not on one scale. Runs stay in
--runs_dir, and the same command again goes on with what is missing.

    bin/benchmark recipes ... --recipes=default --seeds=1 --lr_schedule=time --ranks=2 --train_minutes=40 --peer=huggingface

With --lr_schedule=time the minutes are those on the clock, of all ranks together, and --peer=huggingface adds Hugging
Face's model on as many cores: random weights, AdamW, batches padded to their longest record. It needs
requirements/parity.txt.
"""

import dataclasses
import json
import os
import statistics

from albert_hvd.data.records.dataset import open_records
from albert_hvd.errors import InputError, as_flags
from albert_hvd.finetuning.options import parse_seeds
from albert_hvd.model.config import AlbertConfig
from albert_hvd.options import option
from albert_hvd.run_folder.layout import CONFIG, EVAL_RESULTS, TRAIN_LOG
from albert_hvd.run_folder.logs import read_log
from albert_hvd.runtime.files import make_folder, read_json_object, whole_file
from benchmarks.command_usage import run_command
from benchmarks.launcher import launch_words
from benchmarks.report import Report
from benchmarks.text_contest import PEERS, check_peer

# Flags of bin/pretrain that differ from the default recipe. "passes" may name the config's layers L.
_OLD = {"initialization": "plain", "optimizer": "adamw", "passes": "0:L", "sentence_loss_weight": "0:1"}
RECIPES = {
    "default": {},
    "no_neighbour_heads": {"initialization": "plain", "word_vectors": True, "passes": "0:1,0.15:M,0.45:L"},
    "no_word_vectors": {"word_vectors": False},
    "no_muon": {"optimizer": "adamw", "learning_rate": 2e-3},
    "no_pass_schedule": {"passes": "0:L"},
    "no_sentence_weight": {"sentence_loss_weight": "0:1"},
    "plain": _OLD,
    "plain_lamb": {**_OLD, "optimizer": "lamb", "learning_rate": 5e-3},
    "lamb": {"optimizer": "lamb", "learning_rate": 5e-3},
    "lr_1e-3": {"learning_rate": 1e-3},
    "lr_4e-3": {"learning_rate": 4e-3},
    "two_passes_first": {"passes": "0:M,0.5:L"},
    "three_passes_last": {"passes": "0:1,0.15:M,0.7:L"},
    "one_pass_longer": {"passes": "0:1,0.4:M,0.8:L"},
    "float16": {"precision": "float16"},
    "bfloat16": {"precision": "bfloat16"},
    "pre_ln": {"architecture": "brightmart"},
    "pre_ln_plain": {**_OLD, "architecture": "brightmart"},
}
_ABLATIONS = "default,no_neighbour_heads,no_word_vectors,no_muon,no_pass_schedule,no_sentence_weight,plain"
_YARDSTICKS = {"eval_input_file": "words", "eval_token_input_file": "tokens"}


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags of the benchmark."""

    input_file: str = option(None, "training TFRecords, as bin/pretrain")
    eval_input_file: str = option(None, "held-out TFRecords with whole words masked")
    eval_token_input_file: str = option(None, "held-out TFRecords with single pieces masked")
    bert_config_file: str = option(None, "JSON file of the model's sizes")
    recipes: str = option(_ABLATIONS, f"comma list of {', '.join(RECIPES)}")
    seeds: str = option("1,2,3", "comma list of seeds")
    train_minutes: float = option(7.0, "processor time of each run, of all ranks", least=0.01)
    ranks: int = option(1, "ranks of each run")
    max_seq_length: int = option(128, "positions of a row")
    max_predictions_per_seq: int = option(40, "prediction slots of a record")
    train_batch_size: int = option(24, "packed rows of an update")
    precision: str = option("float32", "as bin/pretrain", choices=["float32", "bfloat16", "float16"])
    max_eval_steps: int = option(0, "held-out batches of 100 records at most; 0: all")
    runs_dir: str = option(None, "folder of the runs; made when it is not there")
    lr_schedule: str = option("cpu_time", "which minutes count: of the processors, or on the clock",
                              choices=["cpu_time", "time"])
    peer: str = option("none", "huggingface: its model too, with --lr_schedule=time", choices=PEERS)
    peer_python: str = option(None, "Python that has PyTorch and transformers; unset: this one")
    peer_batch_size: int = option(32, "the peer's records of an update", least=1)
    peer_learning_rate: float = option(1e-3, "the peer's peak learning rate")


def run(options, command_folder):
    """Train and evaluate; `command_folder` holds the commands. Returns a `Report`; raises InputError for bad flags."""
    config, seeds = _check(options)
    report = Report("recipes", dataclasses.asdict(options))
    make_folder(options.runs_dir, "runs_dir")
    for name in options.recipes.split(","):
        results = [_train(options, command_folder, config, name, seed) for seed in seeds]
        report.rows.append({"recipe": name, "seeds": len(seeds), **_summary(results)})
    if options.peer == "huggingface":
        results = [_train_peer(options, command_folder, config, seed) for seed in seeds]
        report.rows.append({"recipe": options.peer, "seeds": len(seeds), **_summary(results)})
    report.notes.append("Means over the seeds, and the largest distance between two of them in brackets. words: whole "
                        "words masked; tokens: single pieces.")
    return report


def _check(options):
    """The config and the seeds of valid options."""
    for name in ("input_file", *_YARDSTICKS, "bert_config_file", "runs_dir"):
        if not getattr(options, name):
            raise InputError(f"--{name} is missing; see bin/benchmark recipes --help")
    for name in options.recipes.split(","):
        if name not in RECIPES:
            raise InputError(f"--recipes={options.recipes}: {name!r} is not one of {', '.join(RECIPES)}")
    check_peer(options)
    if options.peer != "none" and options.lr_schedule != "time":
        raise InputError("the peer's minutes are those on the clock", "set --lr_schedule=time", name="lr_schedule",
                         value=options.lr_schedule)
    seeds = parse_seeds(options.seeds)
    config = AlbertConfig.from_json_file(options.bert_config_file)
    import tensorflow as tf

    tf.config.set_visible_devices([], "GPU")  # reading records starts TensorFlow; the GPUs are for the runs
    for name in ("input_file", *_YARDSTICKS):
        open_records(getattr(options, name), name, options, config.vocab_size).close()
    return config, seeds


def _train(options, command_folder, config, name, seed):
    """One run, or what is missing of it; returns its figures."""
    flags = dict(RECIPES[name])
    layers = config.num_hidden_layers
    if "passes" in flags:
        flags["passes"] = flags["passes"].replace("L", str(layers)).replace("M", str(-(-layers // 2)))
    values = {**config.to_dict(), "architecture": flags.pop("architecture", config.architecture)}
    output_dir = os.path.join(options.runs_dir, f"{name}-{seed}")
    make_folder(output_dir, "runs_dir")
    with whole_file(os.path.join(output_dir, CONFIG), "runs_dir") as file:
        file.write(json.dumps(values, indent=2).encode() + b"\n")
    rows = _rows(options, output_dir)
    launcher = launch_words(options.ranks) if options.ranks > 1 else []
    run_command([*launcher, *_command(command_folder, "pretrain", {
        **rows, "input_file": options.input_file, "train_batch_size": options.train_batch_size, "pack_sequences": True,
        "precision": options.precision, "lr_schedule": options.lr_schedule, "train_minutes": options.train_minutes,
        "seed": seed, "num_train_steps": 100000, "save_checkpoints_steps": 100000, **flags})])
    last = read_log(os.path.join(output_dir, TRAIN_LOG))[-1]
    figures = {"updates": last["step"], "CPU min": last["cpu_sec"] / 60, "min": last["elapsed_sec"] / 60}
    return {**figures, **_held_out(options, command_folder, rows)}


def _train_peer(options, command_folder, config, seed):
    """One run of the peer, or what is missing of it; returns its figures."""
    from benchmarks.recipe_peer import train_peer

    output_dir = os.path.join(options.runs_dir, f"{options.peer}-{seed}")

    def import_model(folder):
        run_command(_command(command_folder, "import_checkpoint", {
            "from": "huggingface", "input": folder, "output_dir": output_dir}))

    figures = train_peer(options, config, seed, output_dir, import_model)
    return {"updates": figures["updates"], "min": figures["seconds"] / 60,
            **_held_out(options, command_folder, _rows(options, output_dir))}


def _rows(options, output_dir):
    """What training and validation of a run are both given."""
    return {"max_seq_length": options.max_seq_length, "max_predictions_per_seq": options.max_predictions_per_seq,
            "bert_config_file": os.path.join(output_dir, CONFIG), "output_dir": output_dir}


def _held_out(options, command_folder, rows):
    """The figures of a run's last checkpoint under both yardsticks."""
    figures = {}
    for option_name, yardstick in _YARDSTICKS.items():
        results = _validated(options, command_folder, option_name, rows)
        figures.update({f"{yardstick}: loss": results["masked_lm_loss"],
                        f"{yardstick}: accuracy": results["masked_lm_accuracy"]})
    return {**figures, "sentence accuracy": results["next_sentence_accuracy"]}


def _validated(options, command_folder, option_name, rows):
    run_command(_command(command_folder, "validate", {
        **rows, "input_file": getattr(options, option_name), "eval_batch_size": 100,
        "max_eval_steps": options.max_eval_steps}))
    return read_json_object(os.path.join(rows["output_dir"], EVAL_RESULTS))


def _command(folder, name, flags):
    return [os.path.join(folder, name), *as_flags(**flags)]


def _summary(results):
    """Mean of each figure over the seeds, with the range of those that are compared."""
    row = {}
    for key in results[0]:
        values = [result[key] for result in results]
        mean = statistics.fmean(values)
        if key in ("updates", "CPU min", "min"):
            row[key] = mean
        else:
            row[key] = f"{mean:.3f} ({max(values) - min(values):.3f})"
    return row
