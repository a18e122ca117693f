"""Flags that depend on the device: number format, compilation, attention, overlap."""

import pytest
import tensorflow as tf

from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.precision import resolve_precision, use_precision
from albert_hvd.training.device_options import resolve_device_options
from albert_hvd.training.options import PretrainingOptions

BASE = AlbertConfig(vocab_size=32000)
TINY = AlbertConfig(vocab_size=32000, hidden_size=336, num_attention_heads=12, intermediate_size=1344)
CPU, VOLTA, HOPPER = None, (7, 0), (9, 0)


def resolved(capability, config=BASE, **changes):
    options = PretrainingOptions(input_file="a", output_dir="b", bert_config_file="c", **changes)
    options = resolve_device_options(options, config, capability)
    return options.precision, options.xla, options.attention, options.overlap_steps


@pytest.mark.parametrize("capability, config, expected", [
    (CPU, BASE, ("float32", False, "plain", False)),
    (VOLTA, BASE, ("float16", True, "plain", True)),
    (HOPPER, BASE, ("bfloat16", True, "cudnn", True)),
    (HOPPER, TINY, ("bfloat16", True, "plain", True))])
def test_what_is_left_open_follows_from_the_device(capability, config, expected):
    assert resolved(capability, config) == expected


def test_what_is_given_stays():
    given = {"precision": "tf32", "xla": False, "attention": "plain", "overlap_steps": False}
    assert resolved(HOPPER, **given) == tuple(given.values())
    assert resolved(CPU, xla=True, overlap_steps=True) == ("float32", True, "plain", True)


@pytest.mark.parametrize("capability, changes, reason", [
    (CPU, {}, "on GPUs alone"), (VOLTA, {}, "compute capability 8.0, and this GPU has 7.0"),
    (HOPPER, {"xla": False}, "leave out xla=False"), (HOPPER, {"precision": "float32"}, "bfloat16 or float16"),
    (HOPPER, {"max_seq_length": 511}, "even number of positions, not 511")])
def test_fused_attention_that_cannot_be_is_refused_with_the_reason(capability, changes, reason):
    with pytest.raises(InputError, match=f"^attention=cudnn: .*{reason}.*; use attention=auto"):
        resolved(capability, attention="cudnn", **changes)
    assert resolved(capability, **changes)[2] == "plain"


def test_head_sizes_and_dropout_that_fused_attention_has_not_are_refused():
    for config, reason in ((TINY, "not 28"), (AlbertConfig(vocab_size=9, attention_probs_dropout_prob=0.1), "dropout")):
        with pytest.raises(InputError, match=reason):
            resolved(HOPPER, config, attention="cudnn")


def test_bfloat16_without_units_for_it_is_refused():
    assert resolve_precision("bfloat16", CPU) == resolve_precision("bfloat16", HOPPER) == "bfloat16"
    with pytest.raises(InputError, match="^precision=bfloat16: GPUs of compute capability 7.0 .*use float16"):
        resolve_precision("bfloat16", VOLTA)


def test_tf32_is_on_when_asked_for_and_else_off():
    try:
        for precision, expected in (("tf32", True), ("float32", False), ("bfloat16", False)):
            use_precision(precision)
            assert tf.config.experimental.tensor_float_32_execution_enabled() == expected
    finally:
        use_precision("float32")
