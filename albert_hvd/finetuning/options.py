"""The flags of `bin/finetune` as one object, and those of them that shape a result."""

import dataclasses

from albert_hvd.errors import InputError

# A change of these does not change what a seed comes to.
_FREE = ("output_dir", "name", "seeds", "baselines", "log_every_steps", "save_checkpoints_steps", "use_gpu")


@dataclasses.dataclass(frozen=True)
class FineTuningOptions:
    """The flags of `bin/finetune`; they are documented there."""

    task: str
    train_file: str
    output_dir: str
    valid_file: str = None
    test_file: str = None
    labels_file: str = None
    valid_fraction: float = 0.1
    split_seed: int = 12345
    init_checkpoint: str = None
    bert_config_file: str = None
    tokenizer: str = None
    name: str = None
    head: str = "linear"
    pooling: str = None
    layers: str = "last"
    max_seq_length: int = 128
    long_texts: str = None
    num_train_epochs: int = 4
    train_batch_size: int = 32
    eval_batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    warmup_proportion: float = 0.1
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    layer_decay: float = 1.0
    dropout: float = 0.1
    class_weights: str = "none"
    early_stop_epochs: int = 0
    seeds: tuple = (1,)
    precision: str = "float32"
    deterministic: bool = False
    log_every_steps: int = 50
    save_checkpoints_steps: int = 500
    baselines: str = "none"
    use_gpu: bool = None

    def settings(self):
        """{name: value} of what shapes the result of a seed."""
        return {key: value for key, value in dataclasses.asdict(self).items() if key not in _FREE}


def parse_seeds(text):
    """"1,2,3" -> (1, 2, 3); InputError when it is no list of different whole numbers from 0 to 2**31 - 1."""
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed < 2 ** 31 for seed in seeds):
        raise InputError("give different whole numbers from 0 on, such as 1,2,3", name="seeds", value=text)
    return seeds
