"""How fast a library multiplies matrices of a model's shape: the ceiling of what training can reach."""

import time

from albert_hvd.errors import InputError
from albert_hvd.runtime import distributed

_SECONDS = 0.5  # of a round


def play_products(library, setting, precision):
    """For `contest.run_by_turns`: a callable whose rounds give floating-point operations a second.

    Args:
      library: "tensorflow" or "torch".
      setting: `contestants.Setting`; the product is (rows * positions, H) by (H, F).
      precision: "float32" or "bfloat16".
    """
    rows = setting.rows * setting.max_seq_length
    hidden, intermediate = setting.config.hidden_size, setting.config.intermediate_size
    multiply = _PRODUCTS[library]((rows, hidden), (hidden, intermediate), precision, setting.threads)
    for _ in range(3):
        multiply()

    def play():
        count, began = 0, time.perf_counter()
        while (seconds := time.perf_counter() - began) < _SECONDS:
            multiply()
            count += 1
        return count * 2.0 * rows * hidden * intermediate / seconds

    return play


def _tensorflow_product(first, second, precision, _):
    """The threads are those of a rank alone: all that this process may use."""
    distributed.initialize(use_gpu=False)
    import tensorflow as tf

    a, b = (tf.cast(tf.random.normal(shape), precision) for shape in (first, second))
    product = tf.function(lambda: tf.matmul(a, b))
    return lambda: product()[0, 0].numpy()


def _torch_product(first, second, precision, threads):
    try:
        import torch
    except ImportError:
        raise InputError("--peer=huggingface: torch is missing; .venv/bin/python -m pip install -r "
                         "requirements/parity.txt") from None
    torch.set_num_threads(threads)
    a, b = (torch.randn(shape).to(getattr(torch, precision)) for shape in (first, second))
    return lambda: torch.matmul(a, b)[0, 0].item()


_PRODUCTS = {"tensorflow": _tensorflow_product, "torch": _torch_product}
