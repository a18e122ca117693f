"""The program that fused attention gives XLA; what the kernels compute is tested on a GPU (tests/gpu)."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.model.encoder import hidden_positions
from albert_hvd.model.fused_attention import fused_attention, why_not_fused

B, S, N, D = 2, 6, 3, 8


def custom_calls(dtype=tf.bfloat16, scores=None, lengths=None):
    """The custom calls of attention with its gradients: [(target, operand types, result types, settings), ...]."""
    @tf.function(jit_compile=True)
    def gradients(query, key, value):
        with tf.GradientTape() as tape:
            tape.watch([query, key, value])
            context = fused_attention(query, key, value, scores, lengths)
            assert context.shape == (B, S, N, D)
            loss = tf.reduce_sum(tf.cast(context, tf.float32) ** 2)
        return tape.gradient(loss, [query, key, value])

    part = tf.zeros([B, S, N, D], dtype)
    text = gradients.experimental_get_compiler_ir(part, part, part)(stage="hlo")
    found = []
    for line in text.splitlines():
        match = re.search(r'= \((.*?)\) custom-call\((.*?)\), custom_call_target="(.*?)".*backend_config=(.*)$', line)
        if match:
            results, operands, target, config = match.groups()
            types = [re.findall(r"(\w+\[[\d,]*\])\{", part) for part in (operands, results)]
            found.append((target, *types, json.loads(config)["cudnn_fmha_backend_config"]))
    return found


Q, C, STATISTICS = f"bf16[{B},{S},{N},{D}]", f"bf16[{B},{N},{S},{D}]", f"f32[{B},{N},{S}]"


@pytest.mark.parametrize("given, bias, mask, target, mask_type", [
    ({}, [], [], "__cudnn$fmhaSoftmax", "NO_MASK"),
    ({"lengths": tf.constant([6, 4])}, [], [f"s32[{B}]"] * 2, "__cudnn$fmhaSoftmax", "PADDING"),
    ({"scores": tf.zeros([B, 1, S, S], tf.bfloat16)}, [f"bf16[{B},1,{S},{S}]"], [], "__cudnn$fmhaScaleBiasSoftmax",
     "NO_MASK")])
def test_one_kernel_forward_and_one_back(given, bias, mask, target, mask_type):
    forward, backward = custom_calls(**given)
    assert forward[:3] == (target, [Q, Q, Q, *bias, *mask], [C, STATISTICS, "u8[0]"])
    assert backward[:3] == (f"{target}Backward", [Q, Q, Q, STATISTICS, Q, *bias, Q, *mask], [C, C, C, "u8[0]"])
    for *_, config in (forward, backward):
        assert config["fmha_scale"] == D ** -0.5
        assert config["mask_type"] == mask_type
        assert config["intermediate_tensor_shape"]["dimensions"] == [str(n) for n in (B, N, S, S)]


def einsum_of(numbers, left, right, out):
    """The product that XLA's dimension numbers describe, as an einsum over named dimensions."""
    lhs, rhs = list(left), list(right)
    for l, r in zip(numbers["lhs_batch_dimensions"] + numbers["lhs_contracting_dimensions"],
                    numbers["rhs_batch_dimensions"] + numbers["rhs_contracting_dimensions"]):
        assert lhs[int(l)] == rhs[int(r)]
    batch = [lhs[int(d)] for d in numbers["lhs_batch_dimensions"]]
    gone = {lhs[int(d)] for d in numbers["lhs_contracting_dimensions"]}
    result = batch + [d for d in lhs if d not in batch and d not in gone] + [d for d in rhs if d not in lhs]
    assert sorted(result) == sorted(out)


def test_the_products_are_those_of_attention():
    """b rows, t queries, s keys, n heads, d head size."""
    forward, backward = (config for *_, config in custom_calls())
    for config, products in ((forward, {"bmm1": ("btnd", "bsnd", "bnts"), "bmm2": ("bnts", "bsnd", "bntd")}),
                             (backward, {"bmm1_grad_gemm1": ("bnts", "btnd", "bnsd"),
                                         "bmm1_grad_gemm2": ("bnts", "bsnd", "bntd"),
                                         "bmm2_grad_gemm1": ("bnts", "btnd", "bnsd"),
                                         "bmm2_grad_gemm2": ("btnd", "bsnd", "bnts")})):
        for name, dimensions in products.items():
            einsum_of(config[f"{name}_dot_dimension_numbers"], *dimensions)


def test_float16_says_so():
    assert custom_calls(tf.float16)[0][3]["intermediate_tensor_shape"]["element_type"] == "F16"


@pytest.mark.parametrize("head_size, positions, dtype, dropout, reason", [
    (64, 512, tf.bfloat16, 0.0, None), (128, 2, tf.float16, 0.0, None), (28, 512, tf.bfloat16, 0.0, "not 28"),
    (136, 512, tf.bfloat16, 0.0, "not 136"), (64, 511, tf.float16, 0.0, "not 511"),
    (64, 512, tf.float32, 0.0, "bfloat16 or float16"), (64, 512, tf.bfloat16, 0.1, "dropout")])
def test_what_the_kernels_can_do(head_size, positions, dtype, dropout, reason):
    answer = why_not_fused(head_size, positions, dtype, dropout)
    assert answer is None if reason is None else reason in answer


def test_rows_are_hidden_by_length_and_packed_rows_by_scores():
    mask = tf.constant([[1, 1, 1, 0], [0, 0, 0, 0]])
    scores, lengths = hidden_positions(mask, packed=False, fused_dtype=tf.bfloat16)
    assert scores is None
    np.testing.assert_array_equal(lengths, [3, 1])
    packed = tf.constant([[1, 2, 2, 0]])
    scores, lengths = hidden_positions(packed, packed=True, fused_dtype=tf.bfloat16)
    assert (lengths, scores.dtype) == (None, tf.bfloat16)
    plain = hidden_positions(packed, packed=True).scores
    np.testing.assert_array_equal(tf.cast(scores, tf.float32) < -9000, plain < -9000)
    np.testing.assert_array_equal(plain[0, 0] == 0, [[1, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0]])
