"""Attention in one kernel: cuDNN's, which XLA calls on a GPU and which never writes the scores to memory.

The method is Dao et al., "FlashAttention" (2022): softmax statistics of a block at a time, and in the backward pass the
probabilities again from them. XLA knows the kernels as custom calls, and TensorFlow emits custom calls inside a function
with `jit_compile=True`; nowhere else can these functions run.

Shapes in comments: B rows, S positions, N heads, D head size.
"""

import json

import tensorflow as tf

# (whether it is the backward pass, whether there is a bias) -> XLA's name of the kernel.
_TARGETS = {(False, False): "__cudnn$fmhaSoftmax", (False, True): "__cudnn$fmhaScaleBiasSoftmax",
            (True, False): "__cudnn$fmhaSoftmaxBackward", (True, True): "__cudnn$fmhaScaleBiasSoftmaxBackward"}

# Contracted and batch dimensions of the products that a kernel stands for, with queries, keys and values (B, S, N, D) and
# probabilities (B, N, S, S): ((left, right), (batch of the left, batch of the right)).
_FORWARD_PRODUCTS = {
    "bmm1": ((3, 3), ((0, 2), (0, 2))),  # scores = query key'
    "bmm2": ((3, 1), ((0, 1), (0, 2)))}  # context = probs value
_BACKWARD_PRODUCTS = {
    "bmm1_grad_gemm1": ((2, 1), ((0, 1), (0, 2))),  # d key = d scores' query
    "bmm1_grad_gemm2": ((3, 1), ((0, 1), (0, 2))),  # d query = d scores key
    "bmm2_grad_gemm1": ((2, 1), ((0, 1), (0, 2))),  # d value = probs' d context
    "bmm2_grad_gemm2": ((3, 3), ((0, 2), (0, 2)))}  # d probs = d context value'

_ELEMENT_TYPES = {tf.bfloat16: "BF16", tf.float16: "F16"}


def why_not_fused(head_size, num_positions, compute_dtype, probs_dropout):
    """What keeps attention from being fused, in words; None when nothing does.

    Args:
      head_size, num_positions: D and S.
      compute_dtype: type of the matrix products.
      probs_dropout: rate of the dropout of attention probabilities.
    """
    if compute_dtype not in _ELEMENT_TYPES:
        return "its kernels compute in bfloat16 or float16"
    if head_size % 8 or head_size > 128:
        return f"its kernels take head sizes up to 128 that 8 divides, not {head_size}"
    if num_positions % 2:
        return f"its kernels take an even number of positions, not {num_positions}"
    if probs_dropout:
        return "it has no dropout of attention probabilities; set attention_probs_dropout_prob to 0"
    return None


def fused_attention(query, key, value, hidden_scores=None, lengths=None):
    """softmax(query key' / sqrt(D) + hidden_scores) value, for each head.

    Args:
      query, key, value: (B, S, N, D), bfloat16 or float16, with static shapes.
      hidden_scores: (B, 1, S, S) in the same type, added to the scores; it gets no gradient.
      lengths: int32 (B,), how many positions of a row are real; keys beyond them are not seen, and queries beyond them
        give 0. One of the two may be given, or neither.

    Returns:
      (B, S, N, D).
    """
    mask = [] if lengths is None else [lengths, lengths]
    bias = [] if hidden_scores is None else [hidden_scores]
    batch, length, heads, head_size = query.shape
    by_head = tf.TensorSpec([batch, heads, length, head_size], query.dtype)
    scratch = tf.TensorSpec([0], tf.uint8)

    def call(backward, operands, results):
        from tensorflow.compiler.tf2xla.python import xla

        config = _backend_config(query, backward, padded=lengths is not None)
        *results, _ = xla.custom_call_v2(_TARGETS[backward, bool(bias)], operands, [*results, scratch], config)
        return results

    def by_position(x):
        return tf.transpose(x, [0, 2, 1, 3])  # (B, N, S, D) -> (B, S, N, D)

    @tf.custom_gradient
    def attend(query, key, value):
        statistics = tf.TensorSpec([batch, heads, length], tf.float32)
        context, statistics = call(False, [query, key, value, *bias, *mask], [by_head, statistics])
        context = by_position(context)

        def gradient(upstream):
            operands = [query, key, value, statistics, upstream, *bias, context, *mask]
            return tuple(by_position(part) for part in call(True, operands, [by_head] * 3))

        return context, gradient

    return attend(query, key, value)


def _backend_config(query, backward, padded):
    """The kernel's settings as XLA reads them: its `GpuBackendConfig`, a protocol buffer, as JSON."""
    batch, length, heads, head_size = query.shape
    products = {
        f"{name}_dot_dimension_numbers": {
            "lhs_contracting_dimensions": [str(left)], "rhs_contracting_dimensions": [str(right)],
            "lhs_batch_dimensions": list(map(str, left_batch)), "rhs_batch_dimensions": list(map(str, right_batch))}
        for name, ((left, right), (left_batch, right_batch))
        in (_BACKWARD_PRODUCTS if backward else _FORWARD_PRODUCTS).items()}
    probabilities = {
        "element_type": _ELEMENT_TYPES[query.dtype], "dimensions": [str(n) for n in (batch, heads, length, length)],
        "tuple_shapes": [], "layout": {"dim_level_types": [], "minor_to_major": ["3", "2", "1", "0"], "tiles": []},
        "is_dynamic_dimension": [False] * 4}
    return json.dumps({"operation_queue_id": "0", "wait_on_operation_queues": [], "cudnn_fmha_backend_config": {
        # XLA replaces algorithm and workspace when it compiles the kernel; the fields must be there.
        "algorithm": {"algo_id": "0", "math_type": "TENSOR_OP_MATH", "tuning_knobs": {"17": "1", "24": "0"},
                      "is_cudnn_frontend": True, "workspace_size": "0"},
        "fmha_scale": head_size ** -0.5, "dropout_rate": 0.0, "seed": 42, "is_flash_attention": True,
        "mask_type": "PADDING" if padded else "NO_MASK", "sliding_window_length": 0,
        "intermediate_tensor_shape": probabilities, **products}})
