"""Models with random weights and small vocabularies, for the tests of the way to Hugging Face."""

import types

import numpy as np

from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.pretraining_model import variable_shapes
from albert_hvd.serving.formats.huggingface.export import export_huggingface
from albert_hvd.serving.formats.huggingface.options import FolderOptions


def make_config(vocab_size, positions=64):
    return AlbertConfig(vocab_size=vocab_size, embedding_size=8, hidden_size=16, num_hidden_layers=2,
                        num_attention_heads=2, intermediate_size=32, max_position_embeddings=positions)


def random_arrays(config, seed=3):
    random = np.random.default_rng(seed)
    return {path: random.normal(0, 0.3, shape).astype(np.float32) for path, shape in variable_shapes(config).items()}


def make_source(tokenizer_path, config, folder="", missing=()):
    """What `sources.py` gives for a model with random weights."""
    return types.SimpleNamespace(kind="run", config=config, arrays=random_arrays(config), missing=list(missing),
                                 tokenizer_path=str(tokenizer_path), folder=str(folder))


def export(tokenizer_path, output_dir, vocab_size, options=FolderOptions(), **changes):
    """Export random weights; returns the source."""
    source = make_source(tokenizer_path, make_config(vocab_size), **changes)
    export_huggingface(source, str(output_dir), options)
    return source
