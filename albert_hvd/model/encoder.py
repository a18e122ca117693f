"""The ALBERT encoder, in two architectures: Google's, post-LN, and brightmart's, pre-LN or post-LN.

Sources: Lan et al., "ALBERT: A Lite BERT for Self-supervised Learning of Language Representations"
(2020), for factorised embeddings and shared layers; Vaswani et al., "Attention Is All You Need"
(2017), for the layer. Shapes in comments: B rows, S positions, H hidden, E embedding, N heads,
D = H / N, F intermediate, V vocabulary.

Variables are float32. `compute_dtype` is the type of the matrix products; layer norms and softmax
are computed in float32 whatever it is.
"""

import collections
import functools

import tensorflow as tf

from albert_hvd.model.fused_attention import fused_attention
from albert_hvd.model.layers import Dense, Dropout, LayerNorm, truncated_normal
from albert_hvd.model.ops import ACTIVATIONS, softmax

# Added to the attention scores of hidden positions: exp() of it is 0 and float16 can hold it.
_HIDDEN_SCORE = -10000.0


class Embeddings(tf.Module):
    """Word, position and segment embeddings, normalised, at width H.

    "albert" adds them up and normalises at width E, then maps to H with a bias; "brightmart" maps
    the word embedding to H first, without bias, and adds and normalises there.
    """

    def __init__(self, config, initializer, name=None):
        super().__init__(name=name)
        self._projects_words_first = config.architecture == "brightmart"
        width = config.hidden_size if self._projects_words_first else config.embedding_size
        self.word_embeddings = tf.Variable(
            initializer([config.vocab_size, config.embedding_size]), name="word_embeddings")
        self.position_embeddings = tf.Variable(
            initializer([config.max_position_embeddings, width]), name="position_embeddings")
        self.token_type_embeddings = tf.Variable(
            initializer([config.type_vocab_size, width]), name="token_type_embeddings")
        self.projection = Dense(config.embedding_size, config.hidden_size, initializer,
                                use_bias=not self._projects_words_first, name="projection")
        self.layer_norm = LayerNorm(width, config.layer_norm_epsilon, name="layer_norm")

    def __call__(self, input_ids, segment_ids, position_ids, compute_dtype, dropout):
        """int32 (B, S) each, position_ids may be None -> compute_dtype (B, S, H)."""
        x = tf.gather(self.word_embeddings, input_ids)
        if self._projects_words_first:
            x = tf.cast(self.projection(tf.cast(x, compute_dtype)), tf.float32)
        # A gradient of a gather from two rows is slow; a product with one-hot rows is not.
        segments = tf.one_hot(segment_ids, self.token_type_embeddings.shape[0])
        x += tf.einsum("bst,te->bse", segments, self.token_type_embeddings)
        if position_ids is None:
            x += self.position_embeddings[:tf.shape(input_ids)[1]]
        else:
            x += tf.gather(self.position_embeddings, position_ids)
        x = tf.cast(dropout(self.layer_norm(x)), compute_dtype)
        return x if self._projects_words_first else self.projection(x)


class SelfAttention(tf.Module):
    """Multi-head self-attention with its output projection, without residual and norm.

    Args:
      fused: attend in one kernel of cuDNN, on GPUs under XLA alone; see `fused_attention`.
    """

    def __init__(self, config, initializer, fused=False, name=None):
        super().__init__(name=name)
        self._fused = fused
        size = config.hidden_size
        self._heads, self._head_size = config.num_attention_heads, config.head_size
        self.query = Dense(size, size, initializer, name="query")
        self.key = Dense(size, size, initializer, name="key")
        self.value = Dense(size, size, initializer, name="value")
        self.output = Dense(size, size, initializer, name="output")

    def fused_projection(self):
        """The three input projections as one float32 kernel (H, 3H) and bias (3H,).

        They stay three variables, for LAMB's trust ratio is taken per variable. All layers share
        them, so the concatenation is made once a step, not once a layer; the gradients of the layers
        are added up in float32.
        """
        parts = (self.query, self.key, self.value)
        return (tf.concat([part.kernel for part in parts], axis=1), tf.concat([part.bias for part in parts], axis=0))

    def __call__(self, x, fused_projection, hidden, probs_dropout, read=None):
        """x (B, S, H); hidden: `HiddenPositions`; read: see `AlbertEncoder.hidden_states` -> (B, S, H) or (M, H)."""
        kernel, bias = (tf.cast(part, x.dtype) for part in fused_projection)
        batch, length, size = tf.shape(x)[0], tf.shape(x)[1], self._heads * self._head_size
        qkv = tf.nn.bias_add(tf.matmul(tf.reshape(x, [-1, size]), kernel), bias)  # (B*S, 3H)
        if self._fused:
            rows, positions = x.shape[:2]  # the kernel is made for one shape
            qkv = tf.reshape(qkv, [rows, positions, 3, self._heads, self._head_size])
            context = fused_attention(*tf.unstack(qkv, axis=2), hidden.scores, hidden.lengths)  # (B, S, N, D)
            return self.output(at_positions(tf.reshape(context, [rows, positions, size]), read))
        qkv = tf.reshape(qkv, [batch, length, 3, self._heads, self._head_size])
        query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]), num=3)  # (B, N, S, D)
        scores = tf.matmul(query * self._head_size ** -0.5, key, transpose_b=True)  # (B, N, S, S)
        context = tf.matmul(probs_dropout(softmax(scores, hidden.scores)), value)  # (B, N, S, D)
        context = tf.reshape(tf.transpose(context, [0, 2, 1, 3]), [batch, length, size])
        return self.output(at_positions(context, read))


class SharedLayer(tf.Module):
    """The one transformer layer that all layers share.

    Post-LN ("albert", and "brightmart" with that `ln_type`): each sublayer's sum with its input is normalised.
    Pre-LN ("brightmart"): each sublayer's input is normalised and the sum is not (Xiong et al., 2020).
    """

    def __init__(self, config, initializer, compiled=False, fused_attention=False, name=None):
        super().__init__(name=name)
        self._compiled = compiled
        self._pre_norm, self._activation = config.is_pre_norm, ACTIVATIONS[config.hidden_act]
        self.attention = SelfAttention(config, initializer, fused_attention, name="attention")
        self.attention_norm = LayerNorm(config.hidden_size, config.layer_norm_epsilon, compiled, name="attention_norm")
        self.intermediate = Dense(config.hidden_size, config.intermediate_size, initializer, name="intermediate")
        self.output = Dense(config.intermediate_size, config.hidden_size, initializer, name="output")
        self.output_norm = LayerNorm(config.hidden_size, config.layer_norm_epsilon, compiled, name="output_norm")

    def __call__(self, x, attend, dropout, read=None):
        """x (B, S, H) -> (B, S, H) or (M, H); `attend` is `SelfAttention` with its other arguments bound.

        With `read`, what follows attention is computed at those positions alone.
        """
        if self._pre_norm:
            x = at_positions(x, read) + dropout(attend(self.attention_norm(x)))
            return x + dropout(self._feed_forward(self.output_norm(x)))
        x = self.attention_norm(at_positions(x, read) + dropout(attend(x)))
        return self.output_norm(x + dropout(self._feed_forward(x)))

    def _feed_forward(self, x):
        # Nothing but bias and activation stands between the products, so that TensorFlow may compute them together.
        flat = tf.reshape(x, [-1, x.shape[-1]])
        return tf.reshape(self.output(self._activation(self.intermediate(flat), self._compiled)), tf.shape(x))


class AlbertEncoder(tf.Module):
    """Embeddings, `num_hidden_layers` passes through the shared layer, and the pooler.

    Args:
      config: an `AlbertConfig`.
      seed: int; fixes the initial weights; None: zeros, for weights that will be read.
      compute_dtype: tf.float32, tf.bfloat16 or tf.float16.
      recompute: keep only each layer's input for the backward pass, and compute the layer again there
        (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016).
      compiled: have XLA compile what lies between the layers' matrix products (`ops`); faster where
        all batches have one shape.
      fused_attention: see `SelfAttention`.
    """

    def __init__(self, config, seed=0, compute_dtype=tf.float32, recompute=False, compiled=False,
                 fused_attention=False, name=None):
        super().__init__(name=name)
        self.config = config
        self.compute_dtype = compute_dtype
        self._recompute, self._fused_attention = recompute, fused_attention
        self.initializer = truncated_normal(config.initializer_range, seed)
        self.embeddings = Embeddings(config, self.initializer, name="embeddings")
        self.layer = SharedLayer(config, self.initializer, compiled, fused_attention, name="layer")
        self.pooler = Dense(config.hidden_size, config.hidden_size, self.initializer, name="pooler")

    def __call__(self, input_ids, input_mask, segment_ids):
        """Encode rows of one example each, as for `hidden_states`, without dropout.

        Returns:
          sequence_output (B, S, H) and pooled_output (B, 1, H), in compute_dtype.
        """
        x = self.hidden_states(input_ids, input_mask, segment_ids)[-1]
        return x, self.pooled(x[:, :1])

    def pooled(self, outputs):
        """The pooler's answer to outputs at <cls>, (B, C, H)."""
        return tf.tanh(self.pooler(outputs))

    def hidden_states(self, input_ids, input_mask, segment_ids, position_ids=None, packed=False, dropout_seed=None,
                      passes=None, read=None):
        """What goes into the first layer, and what comes out of each.

        Args:
          input_ids: int32 (B, S).
          input_mask: int32 (B, S). 0 marks padding. In packed rows the examples of a row are
            numbered 1, 2, ... and tokens see their own example only.
          segment_ids: int32 (B, S).
          position_ids: int32 (B, S); None counts from 0 in every row.
          packed: whether rows hold several examples.
          dropout_seed: int32 (2,) while training with dropout; None switches it off.
          passes: how often to apply the shared layer; None: num_hidden_layers times.
          read: int (M,) into the B * S positions, which alone are read of the last pass: elsewhere its output
            projection and feed-forward network are left out. None: all.

        Returns:
          list of passes + 1 tensors (B, S, H) in compute_dtype; with `read` the last is (M, H).
        """
        hidden_dropout = Dropout(self.config.hidden_dropout_prob, dropout_seed)
        states = [self.embeddings(input_ids, segment_ids, position_ids, self.compute_dtype, hidden_dropout)]
        hidden = hidden_positions(input_mask, packed, self.compute_dtype if self._fused_attention else None)
        # A layer computes from its arguments alone: what follows from anything else, as dropout masks
        # would from a seed that is not among them, would be kept and not computed again.
        shared_arguments = self.layer.attention.fused_projection()
        if dropout_seed is not None:
            # recompute_grad wants floats; those of 64 bits hold every int32.
            shared_arguments += (tf.cast(dropout_seed, tf.float64),)
        passes = passes or self.config.num_hidden_layers
        for number in range(passes):
            layer = functools.partial(self._run_layer, number, hidden, read if number == passes - 1 else None)
            states.append((tf.recompute_grad(layer) if self._recompute else layer)(states[-1], *shared_arguments))
        return states

    def _run_layer(self, number, hidden, read, x, kernel, bias, dropout_seed=None):
        """The `number`-th pass through the shared layer; run again, with the same dropout masks."""
        dropout_seed = None if dropout_seed is None else tf.cast(dropout_seed, tf.int32)
        # One call was made for the embeddings, then two in each layer; one in each for the attention.
        hidden_dropout = Dropout(self.config.hidden_dropout_prob, dropout_seed, calls=1 + 2 * number)
        probs_dropout = Dropout(self.config.attention_probs_dropout_prob,
                                None if dropout_seed is None else dropout_seed + 1, calls=number)

        def attend(x):
            return self.layer.attention(x, (kernel, bias), hidden, probs_dropout, read)

        return self.layer(x, attend, hidden_dropout, read)


def at_positions(x, positions):
    """x (B, S, H) at `positions`, int (M,) into its B * S positions -> (M, H); x itself for None."""
    return x if positions is None else tf.gather(tf.reshape(x, [-1, x.shape[-1]]), positions)


def flat_positions(positions, length):
    """int32 (B, N), positions in rows of `length` -> int32 (B * N,), the same in all rows one after the other."""
    return tf.reshape(positions + tf.range(tf.shape(positions)[0])[:, None] * length, [-1])


# What attention may not see: `scores`, to be added to the attention scores, broadcast to (B, N, S, S), and for fused
# attention of unpacked rows `lengths` in its place, int32 (B,).
HiddenPositions = collections.namedtuple("HiddenPositions", ["scores", "lengths"])


def hidden_positions(input_mask, packed, fused_dtype=None):
    """What attention may not see in rows with this mask.

    Args:
      input_mask: int32 (B, S), see `AlbertEncoder.hidden_states`.
      packed: whether rows hold several examples.
      fused_dtype: the type of fused attention, which takes the padding of unpacked rows by their lengths (padding must
        follow all real tokens) and the scores of packed rows in that type; None for attention in parts.

    Returns:
      `HiddenPositions`; its scores are 0 where a key may be seen and -10000 where not, float32 (B, 1, 1, S), or
      (B, 1, S, S) for packed rows.
    """
    if fused_dtype is not None and not packed:
        real = tf.reduce_sum(tf.cast(input_mask > 0, tf.int32), axis=1)
        return HiddenPositions(None, tf.maximum(real, 1))  # with no key at all the softmax would be undefined
    # As floats, since TensorFlow compares integers on the host, even where there is a GPU.
    mask = tf.cast(input_mask, tf.float32)
    visible = (mask > 0)[:, None, None, :]
    if packed:
        # Padding queries see everything: with no key at all their softmax would be undefined.
        same_example = tf.equal(mask[:, None, :, None], mask[:, None, None, :])
        padding_query = tf.equal(mask, 0)[:, None, :, None]
        visible = tf.logical_and(visible, tf.logical_or(same_example, padding_query))
    scores = (1.0 - tf.cast(visible, tf.float32)) * _HIDDEN_SCORE
    return HiddenPositions(scores if fused_dtype is None else tf.cast(scores, fused_dtype), None)


def named_variables(module):
    """The trainable variables of a `tf.Module` by path, as {"encoder/pooler/kernel": variable, ...}.

    The order is the same in every process, for it follows from the attribute names.
    """
    flat = module._flatten(predicate=lambda leaf: isinstance(leaf, tf.Variable) and leaf.trainable,
                           with_path=True)
    return {"/".join(str(part) for part in path): variable for path, variable in flat}
