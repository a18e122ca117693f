"""Rows computed side by side in fewer rows give what they give one by one."""

import numpy as np
import pytest
import tensorflow as tf
from trained_models import make_config

from albert_hvd.model.encoder import AlbertEncoder, at_positions
from albert_hvd.model.packed_inputs import packed_inputs

IDS = np.array([[1, 2, 3, 0], [4, 0, 0, 0], [5, 6, 0, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], np.int32)
LAYOUT = np.array([[8, 9, -1, 4], [-1, 0, 1, 2]], np.int32)


def test_the_rows():
    (input_ids, input_mask, segment_ids, position_ids), places = packed_inputs(LAYOUT, IDS, SEGMENTS)
    is_token = LAYOUT >= 0
    assert input_mask.numpy().tolist() == [[3, 3, 0, 2], [0, 1, 1, 1]]
    assert input_ids.numpy()[is_token].tolist() == [5, 6, 4, 1, 2, 3]
    assert segment_ids.numpy()[is_token].tolist() == [0, 1, 0, 0, 0, 1]
    assert position_ids.numpy()[is_token].tolist() == [0, 1, 0, 0, 1, 2]
    assert places.numpy()[[0, 1, 2, 4, 8, 9]].tolist() == [5, 6, 7, 3, 0, 1]


@pytest.mark.parametrize("architecture", ["albert", "brightmart"])
def test_the_encoder_gives_the_same(architecture):
    encoder = AlbertEncoder(make_config(architecture=architecture, initializer_range=0.5), seed=3)
    mask = (IDS > 0).astype(np.int32)
    expected = encoder.hidden_states(IDS, mask, SEGMENTS)[-1].numpy()
    rows, places = packed_inputs(LAYOUT, IDS, SEGMENTS)
    outputs = encoder.hidden_states(*rows, packed=True)[-1]
    found = tf.reshape(at_positions(outputs, places), expected.shape).numpy()
    np.testing.assert_allclose(found[mask > 0], expected[mask > 0], rtol=2e-6, atol=2e-6)
