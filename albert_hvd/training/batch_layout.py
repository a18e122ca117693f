"""A batch as one array of 4-byte numbers, so that it reaches a GPU in one copy and is cut into micro-batches there.

TensorFlow keeps integers in the host's memory and would cut them there. Here they travel as floats with the same bits,
and become integers again in the compiled step.
"""

import numpy as np
import tensorflow as tf


class BatchLayout:
    """Where the fields of a micro-batch lie in its row of numbers.

    Args:
      batch: dict of int32 or float32 arrays with equally many rows, such as all batches of a run have.
      accumulation_steps: micro-batches of a batch.

    Raises:
      ValueError: a field has another type.
    """

    def __init__(self, batch, accumulation_steps):
        self._accumulation_steps = accumulation_steps
        self._fields = {}  # name: (numpy dtype, shape in a micro-batch)
        for name, array in batch.items():
            if array.dtype not in (np.int32, np.float32):
                raise ValueError(f"{name} is {array.dtype}; a batch has int32 and float32 alone")
            self._fields[name] = (array.dtype, (len(array) // accumulation_steps, *array.shape[1:]))
        self.key = (accumulation_steps, tuple((name, str(kind), shape) for name, (kind, shape) in self._fields.items()))

    def pack(self, batch):
        """The batch as float32 (accumulation_steps, W); the bits of its numbers are as they were."""
        parts = [np.ascontiguousarray(batch[name]).view(np.float32).reshape(self._accumulation_steps, -1)
                 for name in self._fields]
        return np.concatenate(parts, axis=1)

    def unpack(self, row):
        """The fields of one micro-batch, a dict of tensors; `row` is a float32 tensor (W,) out of `pack`."""
        sizes = [int(np.prod(shape)) for _, shape in self._fields.values()]
        return {name: tf.reshape(part if kind == np.float32 else tf.bitcast(part, tf.int32), shape)
                for part, (name, (kind, shape)) in zip(tf.split(row, sizes), self._fields.items())}
