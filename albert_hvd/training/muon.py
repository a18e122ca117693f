"""Muon: the shared layer's matrices move along orthogonal directions, everything else as by AdamW.

A gradient's matrix has few large singular values; with all of them at 1, rare directions are learned as fast as common
ones. Sources: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024), for momentum and the
Newton-Schulz iteration; Liu et al., "Muon is Scalable for LLM Training" (2025), section 2.2, for weight decay and for
steps as large as AdamW's, 0.2 sqrt(max(rows, columns)), which let both share one learning rate.
"""

import numpy as np
import tensorflow as tf

from albert_hvd.runtime import distributed
from albert_hvd.training.optimizer import AdamW

_MOMENTUM = 0.95
_ADAM_RMS = 0.2  # root mean square of AdamW's steps, in learning rates

# x (a + b x^2 + c x^4) takes singular values from 0.001 to 1 into 0.7 to 1.2 in five rounds.
_A, _B, _C = 3.4445, -4.7750, 2.0315
_ROUNDS = 5
# From this ratio of columns to rows on, it is cheaper to iterate on x x' and to multiply by x once.
_WIDE = 2


class Muon(AdamW):
    """Muon for the kernels of the shared layer, AdamW for all other variables.

    Each rank makes the directions of some of the matrices, and a sum over ranks gives them to all.
    """

    def build(self, named_variables, compiled=False):
        self._matrices = [variable for path, variable in named_variables.items() if _is_shared_matrix(path, variable)]
        super().build(named_variables, compiled)

    def _moments_of(self, path, variable):
        return ("first_moment",) if _is_shared_matrix(path, variable) else super()._moments_of(path, variable)

    def _is_matrix(self, variable):
        return len(self.slots_of(variable)) == 1

    def _mixtures(self, gradients, factor):
        """Each matrix's clipped gradient, with its momentum (Nesterov's)."""
        return [gradient * factor + _MOMENTUM * self._momentum(variable, gradient * factor)
                for variable, gradient in zip(self._variables, gradients) if self._is_matrix(variable)]

    def _momentum(self, variable, gradient):
        return _MOMENTUM * self.slots_of(variable)[0] + gradient

    def _directions(self, mixtures):
        """The mixtures with all singular values near 1, by the ranks in turn.

        The others' terms are zeros that are computed from the mixtures. As constants they would be there from the start, and
        a rank without a matrix (more ranks than matrices) would begin the sum of directions before that of the gradients,
        for which the other ranks wait: none of them would ever end.
        """
        rank, size = distributed.rank(), distributed.size()
        own = [orthogonalized(mixture) if number % size == rank else _zeros(mixture)
               for number, mixture in enumerate(mixtures)]
        if size == 1 or not own:
            return own
        # As one tensor, like the gradients. The other ranks' terms are zeros: the sum is exact.
        flat = distributed.sum_over_ranks(tf.concat([tf.reshape(part, [-1]) for part in own], axis=0), "directions")
        parts = tf.split(flat, [part.shape.num_elements() for part in own])
        return [tf.reshape(part, mixture.shape) for part, mixture in zip(parts, mixtures)]

    def _move(self, variable, gradient, now, directions):
        if not self._is_matrix(variable):
            super()._move(variable, gradient, now, directions)
            return
        direction = directions[[matrix.ref() for matrix in self._matrices].index(variable.ref())]
        change = _ADAM_RMS * max(variable.shape) ** 0.5 * direction + self._config["weight_decay"] * variable
        self._assign(variable, now.applied, variable - now.learning_rate * change, self._momentum(variable, gradient))


def _zeros(x):
    """Zeros that are known when `x` is; not by 0 x, which may be not a number."""
    return tf.where(x > np.inf, x, 0.0)


def _is_shared_matrix(path, variable):
    return "/layer/" in path and path.endswith("/kernel") and len(variable.shape) == 2


def orthogonalized(matrix):
    """A matrix with the singular vectors of this one and singular values of 0.7 to 1.2, by Newton-Schulz rounds.

    Args:
      matrix: float32 (R, C).

    Returns:
      float32 (R, C).
    """
    rows, columns = matrix.shape
    x = tf.transpose(matrix) if rows > columns else matrix
    x /= tf.norm(x) + 1e-30
    if max(rows, columns) < _WIDE * min(rows, columns):
        for _ in range(_ROUNDS):
            x = tf.matmul(_polynomial(tf.matmul(x, x, transpose_b=True)), x)
    else:
        x = tf.matmul(_product_of_rounds(tf.matmul(x, x, transpose_b=True)), x)
    return tf.transpose(x) if rows > columns else x


def _polynomial(gram):
    """a I + b A + c A A of a symmetric matrix A."""
    product = _B * gram + _C * tf.matmul(gram, gram)
    return tf.linalg.set_diag(product, tf.linalg.diag_part(product) + _A)


def _product_of_rounds(gram):
    """What all rounds together multiply x by, from A = x x': the rounds' polynomials commute, and the next A is P A P."""
    total = None
    for number in range(_ROUNDS):
        polynomial = _polynomial(gram)
        total = polynomial if total is None else tf.matmul(polynomial, total)
        if number < _ROUNDS - 1:
            gram = tf.matmul(polynomial, tf.matmul(gram, polynomial))
    return total
