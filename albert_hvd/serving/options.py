"""The flags of the commands that read a trained model and write it elsewhere."""

import dataclasses

from albert_hvd.options import option
from albert_hvd.serving.formats.huggingface.options import FolderOptions

FORMATS = ("huggingface", "saved_model", "tar", "tf1")

# Tasks of bin/finetune whose classifiers transformers knows.
TASKS_OF_HEADS = ("classification", "pair_classification", "regression", "pair_regression", "tagging")

_CONFIG = "JSON file of a TF1 checkpoint's sizes; default: the one beside it"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """A trained model."""

    model: str = option(help="a run's folder, one of its checkpoints, a TF1 checkpoint, a Hugging Face folder, or the "
                             "name of one in models/")
    tokenizer: str = option(None, "SentencePiece .model; default: the spiece.model in the model's folder")
    bert_config_file: str = option(None, _CONFIG)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions(ModelFiles, FolderOptions):
    """The flags of `bin/export`."""

    format: str = option(help="what to write", choices=FORMATS)
    output_dir: str = option(help="a new or empty folder; for tar the folder of the archive")
    date: str = option(None, "date in the name of the tar, such as 2020-04-10; default: today")


@dataclasses.dataclass(frozen=True)
class ImportOptions:
    """The flags of `bin/import_checkpoint`."""

    kind: str = option(help="kind of model", choices=["tf1", "huggingface"], flag="from")
    input: str = option(help="the model: a checkpoint's prefix, a folder, or a .tar.gz")
    output_dir: str = option(help="a new or empty folder")
    bert_config_file: str = option(None, _CONFIG)
    tokenizer: str = option(None, "SentencePiece .model; default: the one beside the model")
    allow_pickle: bool = option(False, "read a pytorch_model.bin (its tensors alone; needs PyTorch)")
    seed: int = option(12345, "of the first weights of a head or pooler that the model lacks", least=0)
    task: str = option(None, "what a model with a classifier answers, for bin/predict; default: what its config says, "
                             "else classification or tagging", choices=TASKS_OF_HEADS)
