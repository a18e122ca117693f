"""A job of the GPU suite: vectors of texts from a run's model, written to a file.

    python gpu_encode.py RUN_FOLDER FILE.npy gpu|cpu
"""

import sys

import numpy as np

from albert_hvd.runtime import distributed, tensorflow_import
from gpu_jobs import REHEARSAL, found
from small_corpus import WORDS

tensorflow_import.install()

TEXTS = [" ".join(WORDS[:n]) for n in (1, 3, 7, 12)]


def main(run, path, place):
    distributed.initialize(use_gpu=place == "gpu" and not REHEARSAL)
    import tensorflow as tf

    from albert_hvd.serving.text_model import load

    tf.config.experimental.enable_tensor_float_32_execution(False)
    model = load(run)
    vectors = model.encode(TEXTS)
    np.save(path, vectors)
    found(check="encode", place=place, texts=len(vectors), gpus=len(tf.config.get_visible_devices("GPU")))


if __name__ == "__main__":
    main(*sys.argv[1:])
