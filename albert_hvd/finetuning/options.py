"""The flags of `bin/finetune` as one object, and those of them that shape a result."""

import dataclasses

from albert_hvd.errors import InputError
from albert_hvd.finetuning.columns import HEADERS, Columns
from albert_hvd.finetuning.word_features import FEATURES, TRAININGS
from albert_hvd.options import option
from albert_hvd.training.options import TrainingOptions

# A change of these does not change what a seed comes to.
_FREE = ("output_dir", "name", "seeds", "baselines", "log_every_steps", "save_checkpoints_steps", "use_gpu")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuningOptions(TrainingOptions):
    """The flags of `bin/finetune`."""

    task: str = option(help="emotion, pos, classification, pair_classification, tagging, regression or "
                            "pair_regression.")
    train_file: str = option(help="Labelled texts (.tsv, .csv, .jsonl, .parquet) or tagged sentences (.conll, .conllu, "
                                  ".txt, .jsonl, .parquet).")
    output_dir: str = option(help="Folder of the results. An interrupted run in it is resumed.")
    valid_file: str = option(None, "The same for selecting the best epoch; unset: a part of --train_file.")
    test_file: str = option(None, "The same for one final look; unset: no test figures.")
    labels_file: str = option(None,
        "All labels in their order, one a line; data with the labels 0, 1, ... get their names from it; unset: the "
        "labels of --train_file, sorted.")
    text_column: str = option(None,
        "Column of the texts, or of the words of sentences: its name, or its number from 1; unset: found by the names.")
    text_pair_column: str = option(None, "Column of the second texts of a pair task, as --text_column.")
    label_column: str = option(None, "Column of the labels or tags, as --text_column.")
    header: str = option(None, "Whether the first line of a .tsv or .csv names the columns; unset: found out.",
                         choices=HEADERS)
    valid_fraction: float = option(0.1, "Without --valid_file: share of --train_file for validation.", most=1.0)
    split_seed: int = option(12345, "Draws that share, the same for all --seeds.", least=0)
    init_checkpoint: str = option(None,
        "Model to begin with: a run's folder or one of its checkpoints, a TensorFlow 1 checkpoint, a Hugging Face "
        "folder, the name of one in models/, or a fine-tuned model, whose head is taken where the labels are the same; "
        "unset: random weights.")
    bert_config_file: str = option(None, "JSON file of the sizes of random weights or of a TensorFlow 1 checkpoint.")
    tokenizer: str = option(None, "SentencePiece .model; unset: the spiece.model in the model's folder.")
    name: str = option(None, "What tables call the model; unset: the name of the checkpoint's folder.")
    head: str = option("linear",
        "linear: labels one by one; crf (tagging): a conditional random field over a sentence's.",
        choices=["linear", "crf"])
    pooling: str = option(None,
        "What a label is read from: a text's <cls> or a word's first piece, or the mean over all its pieces; unset: "
        "first for classification, mean for tagging.", choices=["first", "mean"])
    layers: str = option("last",
        "The last layer's output, or a sum of the embeddings and of all layers' outputs with trained weights.",
        choices=["last", "sum"])
    features: str = option("none",
        "words: add the scores of a linear layer over words and pairs of them, for tagging over a word's form, endings, "
        "case and neighbours; phrases: over combinations of neighbours too.", choices=FEATURES)
    max_seq_length: int = option(128, "Pieces of a row at most, <cls> and <sep> included.", least=8)
    long_texts: str = option(None,
        "Longer texts are cut off at the end, or split into several rows; unset: truncate for classification, "
        "window for tagging.", choices=["truncate", "window"])
    num_train_epochs: int = option(4, "Epochs at most.")
    train_batch_size: int = option(32, "Rows of an update, over all ranks.")
    eval_batch_size: int = option(64, "Rows of an evaluation batch, over all ranks.")
    optimizer: str = option("adamw", "The optimizer.", choices=["lamb", "adamw"])
    learning_rate: float = option(1e-3, "Peak learning rate; 1e-3 suits the tiny model, larger ones need a lower one.")
    warmup_proportion: float = option(0.1, "Share of the updates for linear warmup.", most=1.0)
    layer_decay: float = option(1.0,
        "Layer-wise learning rates: x this for the shared layer (all layers are one), x its square for the "
        "embeddings.", most=1.0)
    dropout: float = option(0.1, "Dropout rate of the hidden states and before the head.", most=0.9)
    features_training: str = option("ensemble",
        "ensemble: network and linear layer each learn by themselves; joint: they share one loss.", choices=TRAININGS)
    features_share: float = option(0.5,
        "What the linear layer weighs in the mean of an ensemble; the network has the rest.", least=0.01, most=0.99)
    features_dropout: float = option(0.0, "Dropout rate of the features of words.", most=0.9)
    class_weights: str = option("none", "balanced: all labels weigh the same in the loss, however rare.",
                                choices=["none", "balanced"])
    early_stop_epochs: int = option(0,
        "Stop after so many epochs in a row without a better validation result; 0: never.")
    seeds: str = option("1", "Train once for each, such as 1,2,3: first weights of the head, order, dropout.")
    precision: str = option("float32",
        "Type of the matrix products in training; results are computed in float32.",
        choices=["float32", "float16", "bfloat16"])
    log_every_steps: int = option(50, "Updates between log lines.")
    save_checkpoints_steps: int = option(500, "Updates between checkpoints; each epoch ends with one.")
    baselines: str = option("none",
        "Simple methods to score on the same split: all, none or a comma list of majority, naive_bayes, "
        "logistic_regression; for tagging of majority, most_frequent_tag, crf; for a regression of mean, ridge, and "
        "for that of pairs word_overlap.")

    def __post_init__(self):
        """Turn the text of `seeds` into a tuple of int; InputError when it is none."""
        if not isinstance(self.seeds, tuple):
            object.__setattr__(self, "seeds", parse_seeds(self.seeds or ""))

    def columns(self):
        """What the flags say of the columns of the data, as `Columns`."""
        return Columns(self.text_column, self.text_pair_column, self.label_column, self.header)

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
