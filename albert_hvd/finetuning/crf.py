"""A linear-chain conditional random field over the tags of a sentence.

Lafferty, McCallum and Pereira, "Conditional Random Fields", ICML 2001. The score of a row of tags y of
n words with emission scores e, transition scores T, start scores s and end scores f is

    score(y) = s[y_1] + e[1, y_1] + sum over t = 2..n of (T[y_(t-1), y_t] + e[t, y_t]) + f[y_n]

and its probability is exp(score(y)) divided by the sum of exp(score) over all L^n rows of tags.

B is the number of sentences, W of the words of the longest, L of tags. Everything is computed in float32,
whatever the emissions come in. What emissions and tags hold behind the end of a sentence does not matter,
as long as it is finite and a tag. A sentence of 0 words has one row of tags, of score 0.
"""

import collections

import tensorflow as tf

# transitions: float32 (L, L), from the tag of the row to that of the column; start, end: float32 (L,).
CrfScores = collections.namedtuple("CrfScores", ["transitions", "start", "end"])


def log_likelihood(emissions, tags, lengths, scores):
    """The log-probability of the tags of each sentence.

    Args:
      emissions: float (B, W, L), W >= 1.
      tags: int (B, W).
      lengths: int (B,), the number of words of each sentence, 0 to W.
      scores: `CrfScores` of tensors or variables.

    Returns:
      float32 (B,), in nats, differentiable in the emissions and in the scores.
    """
    return sequence_score(emissions, tags, lengths, scores) - log_partition(emissions, lengths, scores)


def sequence_score(emissions, tags, lengths, scores):
    """score(y) of the given tags: float32 (B,); arguments as for `log_likelihood`."""
    emissions = tf.cast(emissions, tf.float32)
    position = tf.range(tf.shape(tags)[1])
    # Products with one-hot rows, not gathers: the gradients are dense, and summed in a fixed order.
    chosen = tf.one_hot(tags, tf.shape(emissions)[2]) * _float(position < lengths[:, None])[:, :, None]  # (B, W, L)
    last = chosen * _float(position == lengths[:, None] - 1)[:, :, None]
    steps = tf.einsum("bwi,ij,bwj->b", chosen[:, :-1], scores.transitions, chosen[:, 1:])
    return (tf.einsum("bwl,bwl->b", chosen, emissions) + steps
            + tf.linalg.matvec(chosen[:, 0], scores.start)
            + tf.einsum("bwl,l->b", last, scores.end))


def log_partition(emissions, lengths, scores):
    """The logarithm of the sum of exp(score) over all rows of tags, by the forward recursion.

    Arguments as for `log_likelihood`.

    Returns:
      float32 (B,).
    """
    def advance(alpha, step):
        emission, goes_on = step
        following = tf.reduce_logsumexp(alpha[:, :, None] + scores.transitions, axis=1) + emission
        return tf.where(goes_on[:, None], following, alpha)

    first, others = _steps(emissions, lengths)
    alpha = tf.foldl(advance, others, initializer=scores.start + first)  # (B, L)
    return tf.where(lengths > 0, tf.reduce_logsumexp(alpha + scores.end, axis=1), 0.0)


def viterbi(emissions, lengths, scores):
    """The tags of the highest score of each sentence; of several the one whose last tags are lowest.

    Arguments as for `log_likelihood`.

    Returns:
      tags: int32 (B, W), 0 behind the end of a sentence.
      best: float32 (B,), their scores.
    """
    num_tags = tf.shape(emissions)[2]

    def advance(state, step):
        delta, _ = state
        emission, goes_on = step
        arrivals = delta[:, :, None] + scores.transitions  # (B, from, to)
        following = tf.reduce_max(arrivals, axis=1) + emission
        origins = tf.argmax(arrivals, axis=1, output_type=tf.int32)
        # Behind the end every tag comes from itself, so that the last tag is carried back to the last word.
        return (tf.where(goes_on[:, None], following, delta), tf.where(goes_on[:, None], origins, tf.range(num_tags)))

    first, others = _steps(emissions, lengths)
    first = scores.start + first
    deltas, origins = tf.scan(advance, others, initializer=(first, tf.zeros_like(first, tf.int32)))  # (W, B, L) each
    final = deltas[-1] + scores.end
    tags = tf.scan(lambda tag, origin: tf.gather(origin, tag, batch_dims=1), origins,
                   initializer=tf.argmax(final, axis=1, output_type=tf.int32), reverse=True)
    # TensorFlow would say on standard error that oneDNN cannot transpose integers here.
    tags = tf.cast(tf.transpose(tf.cast(tags, tf.float32)), tf.int32)
    is_word = tf.range(tf.shape(tags)[1]) < lengths[:, None]
    return tf.where(is_word, tags, 0), tf.where(lengths > 0, tf.reduce_max(final, axis=1), 0.0)


def _steps(emissions, lengths):
    """The emissions of the first word, (B, L), and the steps to each next one: (emissions, whether it is a word).

    The last step leads behind the longest sentence and changes nothing: tf.scan needs a step even for one word.
    """
    by_word = tf.transpose(tf.cast(emissions, tf.float32), [1, 0, 2])  # (W, B, L)
    goes_on = tf.range(1, tf.shape(by_word)[0] + 1)[:, None] < lengths  # (W, B)
    return by_word[0], (tf.pad(by_word[1:], [[0, 1], [0, 0], [0, 0]]), goes_on)


def _float(condition):
    return tf.cast(condition, tf.float32)
