"""The flags of `bin/pretrain` and `bin/validate`; names and meanings are the old project's where it had them."""

import dataclasses
import os

from absl import flags

from albert_hvd.errors import InputError


def define_shared():
    """Flags that both commands have."""
    flags.DEFINE_string("input_file", None, "TFRecords to read: a comma list of files and globs.")
    flags.DEFINE_string("output_dir", None,
        "Folder of the run: checkpoints, logs, status.json. A run in it is resumed.")
    flags.DEFINE_string("bert_config_file", None, "JSON file of the model's sizes; see albert_config/.")
    flags.DEFINE_string("init_checkpoint", None,
        "Weights to start from: a run's folder or one of its checkpoints; for bin/pretrain also a TensorFlow 1 "
        "checkpoint or a Hugging Face folder.")
    flags.DEFINE_integer("max_seq_length", 512, "Positions of a row; as the records were made.", lower_bound=8)
    flags.DEFINE_integer("max_predictions_per_seq", 51,
        "Prediction slots of a row; as the records were made.", lower_bound=1)
    flags.DEFINE_integer("seed", 12345,
        "Fixes the first weights, the order of the records and dropout.", lower_bound=0, upper_bound=2**31 - 1)
    flags.DEFINE_bool("skip_corrupt", False,
        "Leave out damaged records with a warning; unset: they are an error.")
    flags.DEFINE_integer("eval_batch_size", 60, "Rows of an evaluation batch, over all ranks.", lower_bound=1)
    flags.DEFINE_integer("max_eval_steps", 0, "Evaluation batches at most; 0: the whole file.", lower_bound=0)
    flags.DEFINE_bool("use_gpu", None,
        "True: GPUs (a warning when there is none); False: the CPU; unset: GPUs when there are.")
    flags.DEFINE_integer("num_gpu_cores", 0,
        "Accepted for old command lines: the number of ranks that horovodrun starts.", lower_bound=0)
    flags.DEFINE_bool("untrained", False, "bin/validate: evaluate first weights, without a checkpoint.")
    flags.DEFINE_string("baseline_input_file", None,
        "bin/validate: training records; adds the loss of predicting their piece frequencies.")


def define_training():
    """Flags of training. `bin/validate` takes them too, for old command lines, and uses none."""
    flags.DEFINE_bool("do_train", True, "Train.")
    flags.DEFINE_bool("do_eval", False,
        "After training, validate on --eval_input_file, or on --input_file without one.")
    flags.DEFINE_string("tokenizer", None,
        "SentencePiece model of the records, copied to --output_dir; unset: the one that their manifest.json names.")
    flags.DEFINE_bool("dynamic_masking", False,
        "Draw each record's masks again in each epoch; unset: as bin/create_pretraining_data drew them.")
    flags.DEFINE_enum("masking", "whole_word", ["whole_word", "ngram", "token"],
        "What --dynamic_masking masks together.")
    flags.DEFINE_float("masked_lm_prob", 0.15,
        "Share of the tokens that --dynamic_masking masks.", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_bool("pack_sequences", False,
        "Several records in one row, each for itself; --train_batch_size counts rows.")
    flags.DEFINE_integer("train_batch_size", 48, "Rows of an update, over all ranks.", lower_bound=1)
    flags.DEFINE_integer("accumulation_steps", 0,
        "Micro-batches of an update on each rank; 0: as few as memory allows.", lower_bound=0)
    flags.DEFINE_enum("optimizer", "adamw", ["lamb", "adamw"], "adamw; lamb for thousands of rows an update.")
    flags.DEFINE_float("learning_rate", 1e-3,
        "Peak learning rate; 1e-3 suits the tiny model with adamw, ALBERT's is 1.76e-3 with lamb and 4096 rows.",
        lower_bound=0.0)
    flags.DEFINE_integer("num_train_steps", 100000, "Updates of the whole run.", lower_bound=1)
    flags.DEFINE_integer("num_warmup_steps", None,
        "Updates of linear warmup; unset: 6 % of --num_train_steps.", lower_bound=0)
    flags.DEFINE_float("weight_decay", 0.01,
        "Decoupled weight decay; biases and layer norms have none.", lower_bound=0.0)
    flags.DEFINE_float("clip_norm", 1.0, "Largest global norm of the gradients; 0 does not clip.", lower_bound=0.0)
    flags.DEFINE_enum("precision", "auto", ["auto", "float32", "tf32", "bfloat16", "float16"],
        "Type of the matrix products; weights, moments, layer norms and softmax are float32 in all. auto: bfloat16 on "
        "GPUs that have it, float16 on older ones, float32 on CPUs. tf32: float32 with rounded products, on GPUs.")
    flags.DEFINE_float("initial_loss_scale", 32768.0,
        "--precision=float16: first factor of the loss, a power of two; it halves on overflow.", lower_bound=1.0)
    flags.DEFINE_integer("loss_scale_growth_steps", 2000,
        "--precision=float16: updates without overflow after which the loss scale doubles.", lower_bound=1)
    flags.DEFINE_bool("recompute", False,
        "Keep only the layers' inputs and compute the layers again in the backward pass: less memory, more time.")
    flags.DEFINE_bool("xla", None, "Compile forward, backward and update with XLA; unset: on GPUs.")
    flags.DEFINE_enum("attention", "auto", ["auto", "plain", "cudnn"],
        "cudnn: attention in one fused kernel, on GPUs with bfloat16 or float16; auto: where it can be and gains.")
    flags.DEFINE_bool("overlap_steps", None,
        "Read a step's results while the next one runs; unset: on GPUs. A stop then comes one step later.")
    flags.DEFINE_bool("share_gpus", False, "Let several ranks share a GPU, for trying out; unset: refused.")
    flags.DEFINE_bool("fp16_allreduce", False, "Send gradients in float16.")
    flags.DEFINE_bool("deterministic", False, "Bit-identical results on the same number of ranks.")
    flags.DEFINE_integer("save_checkpoints_steps", 1000, "Updates between checkpoints.", lower_bound=1)
    flags.DEFINE_integer("keep_checkpoints", 5, "Newest checkpoints to keep; 0 keeps all.", lower_bound=0)
    flags.DEFINE_integer("log_every_steps", 100, "Updates between log lines.", lower_bound=1)
    flags.DEFINE_integer("max_bad_steps", 10,
        "Updates in a row with gradients that are not finite after which the run ends.", lower_bound=1)
    flags.DEFINE_integer("stall_warn_sec", 60,
        "Seconds without the end of a step after which ranks that do not answer are named.", lower_bound=1)
    flags.DEFINE_integer("stall_abort_sec", 900,
        "Seconds without the end of a step after which the run is aborted (an hour before the first step); "
        "0: never.", lower_bound=0)
    flags.DEFINE_string("profile_steps", None,
        "Steps to profile, such as 10:20: TensorFlow's profile and Horovod's timeline, in OUTPUT_DIR/profile.")
    flags.DEFINE_string("eval_input_file", None, "Held-out TFRecords for --eval_every_steps and --do_eval.")
    flags.DEFINE_integer("eval_every_steps", 0, "Updates between evaluations; 0: none.", lower_bound=0)
    flags.DEFINE_integer("early_stop_evaluations", 0,
        "Stop after so many evaluations in a row without a lower held-out loss; 0: never.", lower_bound=0)


def options_of(dataclass, values):
    """An options object from the flags of the same names.

    Args:
      dataclass: `PretrainingOptions` or `ValidationOptions`.
      values: dict of flag name to value; flags that the object does not have are left out.
    """
    return dataclass(**{field.name: values[field.name] for field in dataclasses.fields(dataclass)})


def values_or_sample(parsed, entry_point, held_out=False):
    """The flags' values; without --input_file those of the shipped sample, announced in one line.

    Args:
      parsed: the parsed `flags.FLAGS`.
      held_out: whether the command reads the sample's held-out records.

    Raises:
      InputError: --input_file without --output_dir or --bert_config_file.
    """
    values = parsed.flag_values_dict()
    if values["input_file"] is None:
        from albert_hvd.runtime import distributed
        from albert_hvd.sample import sample_run

        folder = os.path.join("runs", "sample")
        if entry_point.launched_rank() == 0:
            print(f"no --input_file: using the shipped sample and a tiny model in {folder}/", flush=True)
        distributed.initialize(values["use_gpu"], timeline=bool(values["profile_steps"]))
        settings = distributed.on_rank_0(
            lambda: sample_run.settings(folder, os.path.join(entry_point.ROOT, "albert_config"), held_out), "sample")
        # What the user did give goes before the sample's settings.
        values.update({name: value for name, value in settings.items() if not parsed[name].present})
    for name in ("output_dir", "bert_config_file"):
        if not values[name]:
            raise InputError(f"--{name} is missing; it goes with --input_file")
    return values
