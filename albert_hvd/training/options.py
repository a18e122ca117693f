"""The flags of `bin/pretrain` and `bin/validate`; names and meanings are the old project's where it had them."""

import dataclasses

from albert_hvd.options import option

# Of the updates, without --num_warmup_steps: what albert_config/recipe_tiny_128.flags was measured with.
_WARMUP_SHARE = 0.06

_LEARNING_RATES = {"muon": 2e-3, "adamw": 1e-3, "lamb": 1e-3}

# How --dynamic_masking masks unless its flags say otherwise.
_MASKING = {"masking": "whole_word", "masked_lm_prob": 0.15}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DeviceOptions:
    """What every kind of training and evaluation has."""

    use_gpu: bool = option(None,
        "True: GPUs (a warning when there is none); False: the CPU; unset: GPUs when there are.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions(DeviceOptions):
    """What pre-training and fine-tuning share."""

    weight_decay: float = option(0.01, "Decoupled weight decay; biases and layer norms have none.")
    clip_norm: float = option(1.0, "Largest global norm of the gradients; 0 does not clip.")
    deterministic: bool = option(False, "Bit-identical results on the same number of ranks.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordOptions(DeviceOptions):
    """What pre-training and validation share: records, a model, and how it is evaluated."""

    input_file: str = option(help="TFRecords to read: a comma list of files and globs.")
    output_dir: str = option(help="Folder of the run: checkpoints, logs, status.json. A run in it is resumed.")
    bert_config_file: str = option(help="JSON file of the model's sizes; see albert_config/.")
    init_checkpoint: str = option(None,
        "Weights to start from: a run's folder or one of its checkpoints; for bin/pretrain also a TensorFlow 1 "
        "checkpoint, a Hugging Face folder or the name of one in models/.")
    max_seq_length: int = option(512, "Positions of a row; as the records were made.", least=8)
    max_predictions_per_seq: int = option(51, "Prediction slots of a row; as the records were made.")
    seed: int = option(12345, "Fixes the first weights, the order of the records and dropout.", least=0, most=2**31 - 1)
    skip_corrupt: bool = option(False, "Leave out damaged records with a warning; unset: they are an error.")
    eval_batch_size: int = option(60, "Rows of an evaluation batch, over all ranks.")
    max_eval_steps: int = option(0, "Evaluation batches at most; 0: the whole file.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ValidationOptions(RecordOptions):
    """The flags of `bin/validate` that have an effect."""

    untrained: bool = option(False, "bin/validate: evaluate first weights, without a checkpoint.")
    baseline_input_file: str = option(None,
        "bin/validate: training records; adds the loss of predicting their piece frequencies.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainingOptions(RecordOptions, TrainingOptions):
    """The flags of `bin/pretrain` that the library acts on."""

    input_file: str = option(
        help="TFRecords to read: a comma list of files and globs. news*:2,tweets*:0.5 mixes corpora: each record of the "
             "first comes twice an epoch, half of the second's once, the other half in the next.")
    tokenizer: str = option(None,
        "SentencePiece model of the records, copied to --output_dir; unset: the one beside them.")
    pack_sequences: bool = option(False, "Several records in one row, each for itself; --train_batch_size counts rows.")
    dynamic_masking: bool = option(False,
        "Draw each record's masks again in each epoch; unset: as bin/create_pretraining_data drew them.")
    masking: str = option(None, "What --dynamic_masking masks together; unset: whole_word.",
                          choices=["whole_word", "ngram", "token"])
    masked_lm_prob: float = option(None, "Share of the tokens that --dynamic_masking masks; unset: 0.15.", most=1.0)
    train_batch_size: int = option(48, "Rows of an update, over all ranks.")
    accumulation_steps: int = option(0, "Micro-batches of an update on each rank; 0: as few as memory allows.")
    initialization: str = option("neighbours",
        "First weights. neighbours: some attention heads look at the positions beside from the beginning; plain: all are "
        "drawn at random.", choices=["neighbours", "plain"])
    word_vectors: bool = option(None,
        "Begin word embeddings with which pieces stand side by side in the records; unset: with "
        "--initialization=neighbours.")
    optimizer: str = option("muon",
        "muon: orthogonal steps for the shared layer's matrices, AdamW for the rest; adamw; lamb for thousands of rows "
        "an update.", choices=["muon", "lamb", "adamw"])
    learning_rate: float = option(None,
        "Peak learning rate; unset: 2e-3 with muon, 1e-3 with the others. ALBERT's is 1.76e-3 with lamb and 4096 rows.")
    lr_schedule: str = option("steps",
        "What the learning rate, --passes and --sentence_loss_weight follow: the updates, or the minutes of "
        "--train_minutes, on the clock (time) or of the processors of all ranks (cpu_time).",
        choices=["steps", "time", "cpu_time"])
    train_minutes: float = option(0.0, "Minutes of the whole run, in place of --num_train_steps; 0: those count.")
    passes: str = option("auto",
        "How often the shared layer is applied, by share of the run, such as 0:1,0.5:4; the last is the config's "
        "num_hidden_layers. auto: once, then half as often, then as often as the config says; with --init_checkpoint "
        "or --initialization=plain as the config says.")
    sentence_loss_weight: str = option("0:0.2,0.7:0.5", "Weight of the sentence loss, by share of the run.")
    num_train_steps: int = option(100000, "Updates of the whole run.")
    num_warmup_steps: int = option(None, "Updates of linear warmup; unset: 6 % of --num_train_steps.", least=0)
    precision: str = option("auto",
        "Type of the matrix products; weights, moments, layer norms and softmax are float32 in all. auto: bfloat16 on "
        "GPUs that have it, float16 on older ones, float32 on CPUs. tf32: float32 with rounded products, on GPUs.",
        choices=["auto", "float32", "tf32", "bfloat16", "float16"])
    initial_loss_scale: float = option(32768.0,
        "--precision=float16: first factor of the loss, a power of two; it halves on overflow.", least=1.0)
    loss_scale_growth_steps: int = option(2000,
        "--precision=float16: updates without overflow after which the loss scale doubles.")
    recompute: bool = option(False,
        "Keep only the layers' inputs and compute the layers again in the backward pass: less memory, more time.")
    xla: bool = option(None, "Compile forward, backward and update with XLA; unset: on GPUs.")
    attention: str = option("auto",
        "cudnn: attention in one fused kernel, on GPUs with bfloat16 or float16; auto: where it can be and gains.",
        choices=["auto", "plain", "cudnn"])
    overlap_steps: bool = option(None,
        "Read a step's results while the next one runs; unset: on GPUs. A stop then comes one step later.")
    fp16_allreduce: bool = option(False, "Send gradients in float16.")
    save_checkpoints_steps: int = option(1000, "Updates between checkpoints.")
    keep_checkpoints: int = option(5, "Newest checkpoints to keep; 0 keeps all.", least=0)
    log_every_steps: int = option(100, "Updates between log lines.")
    max_bad_steps: int = option(10, "Updates in a row with gradients that are not finite after which the run ends.")
    stall_warn_sec: int = option(60,
        "Seconds without the end of a step after which ranks that do not answer are named.")
    stall_abort_sec: int = option(900,
        "Seconds without the end of a step after which the run is aborted (an hour before the first step); 0: never.",
        least=0)
    eval_input_file: str = option(None, "Held-out TFRecords for --eval_every_steps and --do_eval.")
    eval_every_steps: int = option(0, "Updates between evaluations; 0: none.")
    early_stop_evaluations: int = option(0,
        "Stop after so many evaluations in a row without a lower held-out loss; 0: never.")
    wandb_project: str = option(None,
        "Send the figures of the logs to this project of Weights & Biases too (package wandb).")
    mlflow_experiment: str = option(None, "Send them to this experiment of MLflow too (package mlflow).")
    share_gpus: bool = option(False, "Let several ranks share a GPU, for trying out; unset: refused.")
    num_gpu_cores: int = option(0, "Accepted for old command lines: the number of ranks that horovodrun starts.")
    profile_steps: str = option(None,
        "Steps to profile, such as 10:20: TensorFlow's profile and Horovod's timeline, in OUTPUT_DIR/profile.")

    def __post_init__(self):
        if self.word_vectors is None:
            object.__setattr__(self, "word_vectors", self.initialization == "neighbours")
        if self.learning_rate is None:
            object.__setattr__(self, "learning_rate", _LEARNING_RATES[self.optimizer])
        if self.num_warmup_steps is None:
            object.__setattr__(self, "num_warmup_steps", round(_WARMUP_SHARE * self.num_train_steps))
        for name, value in _MASKING.items() if self.dynamic_masking else ():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)
