"""Folders with models of random weights and a small vocabulary, of each kind that the program reads."""

import numpy as np
from small_corpus import make_tokenizer

from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.pretraining_model import variable_shapes
from albert_hvd.run_folder.checkpoints import CheckpointFolder
from albert_hvd.serving.export import export

TEXTS = ["saya makan di rumah", "kanak-kanak bermain bola sepak di padang yang luas kerana cuaca baik sekali.", "",
         "mereka <mask> ke sekolah", "saya"]


def make_config(architecture="albert", **changes):
    sizes = dict(vocab_size=110, embedding_size=8, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                 intermediate_size=32, max_position_embeddings=48, architecture=architecture)
    return AlbertConfig(**{**sizes, **changes})


def write_run(folder, config, tokenizer=True, **state):
    """What `bin/pretrain --tokenizer` leaves, as far as reading the model goes; returns the path.

    Args:
      tokenizer: whether the vocabulary's file is there.
      state: what the checkpoint's state says beside the config.
    """
    random = np.random.default_rng(5)
    weights = {path: random.normal(0, 0.3, shape).astype(np.float32)
               for path, shape in variable_shapes(config).items()}
    CheckpointFolder(str(folder / "checkpoints")).save(7, weights, None,
                                                    {"config": config.to_dict(), **state})
    if tokenizer:
        make_tokenizer(folder)
        (folder / "small.model").rename(folder / "spiece.model")
    return str(folder)


def write_kinds(folder, config):
    """The same model as a run, as a TF1 checkpoint and (if there is such a thing) as a Hugging Face folder."""
    run = write_run(folder / "run", config)
    formats = ["tf1", "huggingface"] if config.architecture == "albert" else ["tf1"]
    return [run, *(export(name, run, str(folder / name)) for name in formats)]
