"""First weights with which attention sees the neighbours of a position from the first update on.

A masked piece is explained by its neighbours before anything else. Query and key kernels drawn at random give every
position the same attention, and learn from gradients 40 times smaller than the other kernels', so that a model spends
its first thousands of updates on finding the neighbours (docs/pretraining.md, "Where a run begins"). Here some heads
look at one offset each from the beginning. Only initial values differ: the variables are Google's, all are trained, and
an export is what it was.

Sources: positions as rotations, Vaswani et al., "Attention Is All You Need" (2017), section 3.5: cos and sin of a
position at t + o are a rotation, by o, of those at t. Query and key kernels that start as a map of positions:
Trockman & Kolter, "Mimetic Initialization of Self-Attention Layers" (2023); Zheng et al., "Structured Initialization for
Attention in Vision Transformers" (2024). Attention as the cause of the plateau: Gopalani & Hu, "What Happens During the
Loss Plateau?" (2025). Standard deviation of values and outputs: Samuel et al., "Trained on 100 million words and still
in shape" (2023), sqrt(2 / (5 H)).
"""

import math

import numpy as np

# Angles of a position per frequency, in radians: of 20,000 random sets, one whose sum of cosines at a distance of 1 to
# 127 comes nearest to its maximum least. The first four are of long periods, for heads that look about.
_FREQUENCIES = (.049, .098, .196, .393, .666, 1.025, 1.25, 1.374, 1.727, 2.01, 2.228, 2.552, 2.872, 2.91)
_LOW_FREQUENCIES = 4

# What the heads look at, in this order: a position at this distance, or about it ("broad"). Other heads are as drawn.
_HEADS = ((-1, False), (1, False), (-2, False), (2, False), (-3, False), (3, False), (-1, False), (1, False),
          (-6, True), (6, True))

# The attention score of the position looked at; with 512 positions, 95 % of the attention lies on it.
_PEAK_SCORE = 11.9
_BROAD_PEAK_SCORE = 8.7

_POSITION_AMPLITUDE = 0.1  # Adam's steps of 0.001 and more would soon wash away a smaller one
_MOST_NOISE = 0.35  # in queries and keys of these heads, from the words at RMS 1; what widths below 350 have by nature
_WORD_RMS = 1.3  # of word columns in the first layer's input; those of positions have 1
_POSITION_SHARE = 4  # at most a quarter of the embedding's width for positions


def position_frequencies(config):
    """The frequencies that a model of these sizes has room for, a float64 array (F,); empty below two columns."""
    room = min(config.head_size, config.embedding_size // _POSITION_SHARE) // 2
    chosen = np.linspace(0, len(_FREQUENCIES) - 1, min(room, len(_FREQUENCIES))).round().astype(int)
    return np.array(_FREQUENCIES)[chosen]


def num_word_columns(config):
    """How many columns of the word embeddings tell of the word alone; the last ones make room for the position."""
    return config.embedding_size - 2 * len(position_frequencies(config)) * (config.architecture == "albert")


def set_neighbour_heads(variables, config):
    """Replace drawn weights by those with neighbour heads.

    Columns E - 2F to E of the embeddings and H - 2F to H of the hidden states hold cos and sin of F frequencies of the
    position. Head h, with offset o, has on these rows the key kernel s I and the query kernel s R(o), where R(o) rotates
    each frequency w by the angle w o; its score of two positions at distance d is then largest at d = o, by s^2 D^-1/2
    sum_w cos(w (d - o)). Values do not read these columns, and neither attention nor feed-forward layer writes to them.

    Args:
      variables: {path: variable} of an `AlbertPretrainer` whose weights have just been drawn.
      config: its `AlbertConfig`.
    """
    frequencies = position_frequencies(config)
    new = {path: variables[path].numpy() for path in variables}
    _spread(new, config)
    if len(frequencies):
        _place_positions(new, config, frequencies)
        _aim_heads(new, config, frequencies)
    for path, array in new.items():
        variables[path].assign(array)


def _spread(new, config):
    """Values and outputs that are heard beside the residual stream, which 0.02 is too small for at small widths."""
    scale = math.sqrt(2 / (5 * config.hidden_size)) / config.initializer_range
    for name in ("value", "output"):
        new[f"encoder/layer/attention/{name}/kernel"] *= max(1.0, scale)


def _place_positions(new, config, frequencies):
    """cos and sin of each position in the last columns, and nothing else there."""
    count, size = 2 * len(frequencies), config.hidden_size
    table = new["encoder/embeddings/position_embeddings"]
    angles = np.arange(len(table))[:, None] * frequencies
    table[:] = 0.0
    table[:, -count:] = _POSITION_AMPLITUDE * np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    new["encoder/embeddings/token_type_embeddings"][:, -count:] = 0.0
    projection = new["encoder/embeddings/projection/kernel"]
    position_rms = _POSITION_AMPLITUDE / math.sqrt(2)
    if config.architecture == "albert":
        new["encoder/embeddings/word_embeddings"][:, -count:] = 0.0
        words = config.embedding_size - count
        word_rms = math.sqrt(words) * config.initializer_range
        total = math.sqrt((words * config.initializer_range ** 2 + count * position_rms ** 2) / config.embedding_size)
        # Behind the normalisation, which divides by `total`: words at _WORD_RMS, positions at 1.
        projection *= _WORD_RMS * total / (word_rms * config.initializer_range)
        projection[words:] = projection[:, size - count:] = 0.0
        projection[words:, size - count:] = np.eye(count) * total / position_rms
    else:  # positions are added at width H, behind the projection
        word_rms = math.sqrt(config.embedding_size) * config.initializer_range
        scale = position_rms / (word_rms * config.initializer_range)
        projection *= scale
        new["masked_lm_head/layer_norm/gamma"] /= scale  # scores go back through the projection
        projection[:, size - count:] = 0.0
    new["encoder/layer/attention/value/kernel"][size - count:] = 0.0
    for path in ("attention/output", "output"):
        new[f"encoder/layer/{path}/kernel"][:, size - count:] = 0.0


def _aim_heads(new, config, frequencies):
    """Query and key kernels of the heads that look at an offset."""
    count, rows = len(frequencies), slice(config.hidden_size - 2 * len(frequencies), config.hidden_size)
    query, key = (new[f"encoder/layer/attention/{name}/kernel"] for name in ("query", "key"))
    # A position's cos and sin have a mean square of 1 each, so that one frequency adds s^2 * 2 cos(...) to a score.
    unit = 2 / math.sqrt(config.head_size)
    for head, (offset, broad) in enumerate(_HEADS[:config.num_attention_heads]):
        used = min(_LOW_FREQUENCIES, count) if broad else count
        scale = math.sqrt((_BROAD_PEAK_SCORE if broad else _PEAK_SCORE) / (unit * used))
        whole = slice(head * config.head_size, (head + 1) * config.head_size)
        columns = slice(whole.start, whole.start + 2 * count)
        noise = config.initializer_range * math.sqrt(rows.start)
        for kernel in (query, key):
            kernel[:, whole] *= min(1.0, _MOST_NOISE / noise)
        kept = np.tile(np.arange(count) < used, 2)
        cos, sin = np.diag(np.cos(frequencies * offset)), np.diag(np.sin(frequencies * offset))
        key[rows, columns] = scale * np.diag(kept)
        query[rows, columns] = scale * np.block([[cos, sin], [-sin, cos]]) * kept
