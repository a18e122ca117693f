"""Number formats: what the matrix products compute in; weights, moments, layer norms and softmax are float32 in all."""

import tensorflow as tf

from albert_hvd.errors import InputError

# Choice -> type of the matrix products' operands. "tf32" rounds float32 operands to 10 bits inside the product, which
# GPUs from Ampere on do many times faster; "float32" never does.
COMPUTE_DTYPES = {"float32": tf.float32, "tf32": tf.float32, "bfloat16": tf.bfloat16, "float16": tf.float16}

# From this compute capability on, GPUs have units for bfloat16 and TF32 (Ampere).
AMPERE = (8, 0)


def resolve_precision(precision, capability):
    """The choice that stands for "auto" on a device; any other as it is.

    Args:
      precision: a key of `COMPUTE_DTYPES`, or "auto".
      capability: compute capability of the GPU, such as (8, 0); None for a CPU.

    Raises:
      InputError: bfloat16 on a GPU without units for it.
    """
    if precision == "bfloat16" and capability is not None and capability < AMPERE:
        raise InputError(f"GPUs of compute capability {capability[0]}.{capability[1]} have no units for it",
                         "use float16 or auto", name="precision", value="bfloat16")
    if precision != "auto":
        return precision
    if capability is None:
        return "float32"
    return "bfloat16" if capability >= AMPERE else "float16"


def use_precision(precision):
    """Have TensorFlow and XLA compute float32 products as `precision` wants them; their own default is TF32."""
    tf.config.experimental.enable_tensor_float_32_execution(precision == "tf32")
