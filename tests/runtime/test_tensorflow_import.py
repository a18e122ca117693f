"""What an import of TensorFlow leaves out can still be had, by Keras as well as by us."""

import subprocess
import sys

from conftest import ROOT

PROGRAM = """
import sys
from albert_hvd.runtime import tensorflow_import
tensorflow_import.install()
tensorflow_import.install()
import horovod.tensorflow, tensorflow as tf
print("hidden", sorted(set(tensorflow_import.HIDDEN) & set(sys.modules)), "scipy.stats" in sys.modules)
print("finders", sum(isinstance(finder, tensorflow_import._KerasFinder) for finder in sys.meta_path))
tensorflow_import.install()
print("again", sum(isinstance(finder, tensorflow_import._KerasFinder) for finder in sys.meta_path))
import matplotlib.pyplot, sklearn.linear_model
print("keras", float(tf.keras.losses.MeanSquaredError()([1.0], [3.0])))
"""


def test_tensorflow_without_what_keras_imports_besides():
    outcome = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert outcome.stdout.splitlines() == ["hidden [] False", "finders 0", "again 0", "keras 4.0"], outcome.stderr


def test_without_keras_nothing_changes(tmp_path):
    program = ("import sys; from albert_hvd.runtime import tensorflow_import; tensorflow_import.install(); "
               "sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
               "try:\n    import keras\nexcept ModuleNotFoundError as error:\n    print(error)")
    outcome = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert outcome.stdout == "No module named 'keras'\n", outcome.stderr
