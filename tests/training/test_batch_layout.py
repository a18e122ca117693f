"""A batch as one array of numbers and back."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings, strategies as st

from albert_hvd.training.batch_layout import BatchLayout


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 3), accumulation_steps=st.integers(1, 4), widths=st.lists(st.integers(1, 5), min_size=1, max_size=4),
       seed=st.integers(0, 9))
def test_every_micro_batch_comes_back_bit_for_bit(rows, accumulation_steps, widths, seed):
    random = np.random.default_rng(seed)
    # All bit patterns: small integers are denormal floats, and some are not numbers.
    batch = {f"field_{i}": random.integers(-2**31, 2**31, (rows * accumulation_steps, width)).astype(np.int32)
             .view(np.float32 if i % 2 else np.int32) for i, width in enumerate(widths)}
    batch["small"] = np.arange(rows * accumulation_steps, dtype=np.int32)
    layout = BatchLayout(batch, accumulation_steps)
    numbers = layout.pack(batch)
    assert numbers.shape[0] == accumulation_steps
    for step in range(accumulation_steps):
        for name, tensor in layout.unpack(tf.constant(numbers)[step]).items():
            expected = batch[name][step * rows:(step + 1) * rows]
            assert tensor.dtype.as_numpy_dtype == expected.dtype
            np.testing.assert_array_equal(tensor.numpy().view(np.int32), expected.view(np.int32), err_msg=name)


def test_compiled_it_gives_the_same():
    batch = {"ids": np.array([[1, 2], [-3, 70000]], np.int32), "weights": np.array([[0.5], [0.0]], np.float32)}
    layout = BatchLayout(batch, 1)
    fields = tf.function(layout.unpack, jit_compile=True)(tf.constant(layout.pack(batch))[0])
    for name, array in batch.items():
        np.testing.assert_array_equal(fields[name], array)


def test_batches_of_one_shape_share_a_key():
    ids = np.zeros((4, 3), np.int32)
    assert BatchLayout({"ids": ids}, 2).key == BatchLayout({"ids": ids + 1}, 2).key
    assert len({BatchLayout({"ids": ids}, 1).key, BatchLayout({"ids": ids}, 2).key,
                BatchLayout({"ids": ids[:, :2]}, 2).key, BatchLayout({"ids": ids.view(np.float32)}, 2).key}) == 4


def test_other_types_are_refused():
    with pytest.raises(ValueError, match="ids is int64"):
        BatchLayout({"ids": np.zeros((2, 2), np.int64)}, 1)
