"""Floating-point operations that a training update needs: what is useful, whatever a program does besides."""

from typing import NamedTuple


class Work(NamedTuple):
    """What an update, or several, trained on.

    `examples`; `tokens`, without padding; `squared_lengths`, the sum of the squares of the examples' lengths, by
    which attention grows; `predictions`, masked tokens.
    """

    examples: int
    tokens: int
    squared_lengths: int
    predictions: int

    def __add__(self, other):
        return Work(*(a + b for a, b in zip(self, other)))


NO_WORK = Work(0, 0, 0, 0)


def work_of(lengths, predictions):
    """`Work` of examples of such lengths (int array) with so many masked tokens in all."""
    return Work(len(lengths), int(lengths.sum()), int((lengths.astype("int64") ** 2).sum()), int(predictions))


def training_flops(config, work):
    """Multiplications and additions of forward and backward pass: twice the forward's in the backward.

    Counted are the matrix products on real tokens, the attention of each example to itself, the masked-LM head at
    the masked tokens and the sentence head; not layer norms, activations, softmax, the optimizer, or anything that
    padding costs. (Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters", 2021, count the
    same way.)

    Args:
      config: an `AlbertConfig`.
      work: `Work`.

    Returns:
      float.
    """
    hidden, embedding, layers = config.hidden_size, config.embedding_size, config.num_hidden_layers
    per_token = embedding * hidden + layers * (4 * hidden ** 2 + 2 * hidden * config.intermediate_size)
    per_pair = layers * 2 * hidden  # scores, and the weighted sum of the values
    width = hidden if config.architecture == "brightmart" else embedding
    per_prediction = hidden * width + embedding * config.vocab_size + (hidden * embedding if width == hidden else 0)
    per_example = hidden ** 2 + 2 * hidden
    products = (per_token * work.tokens + per_pair * work.squared_lengths + per_prediction * work.predictions +
                per_example * work.examples)
    return 3.0 * 2.0 * products


def unread_flops(config, work):
    """Those of `training_flops` that no loss depends on, and that this program leaves out.

    Heads read the last layer at masked tokens and at each example's <cls>; elsewhere nothing of it is needed but keys
    and values. Counted are its output projection and feed-forward network there.

    Args:
      config: an `AlbertConfig`.
      work: `Work`.

    Returns:
      float.
    """
    hidden = config.hidden_size
    per_token = hidden ** 2 + 2 * hidden * config.intermediate_size
    return 3.0 * 2.0 * per_token * max(work.tokens - work.predictions - work.examples, 0)
