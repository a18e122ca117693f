"""What an import of TensorFlow leaves out can still be had, by Keras as well as by us."""

import subprocess
import sys

from conftest import ROOT

PROGRAM = """
import sys
from albert_hvd import lean_keras
lean_keras.install()
lean_keras.install()
import horovod.tensorflow, tensorflow as tf
print("hidden", sorted(set(lean_keras.HIDDEN) & set(sys.modules)), "scipy.stats" in sys.modules)
print("finders", sum(isinstance(finder, lean_keras._KerasFinder) for finder in sys.meta_path))
lean_keras.install()
print("again", sum(isinstance(finder, lean_keras._KerasFinder) for finder in sys.meta_path))
import matplotlib.pyplot, sklearn.linear_model
print("keras", float(tf.keras.losses.MeanSquaredError()([1.0], [3.0])))
"""


def test_tensorflow_without_what_keras_imports_besides():
    outcome = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert outcome.stdout.splitlines() == ["hidden [] False", "finders 0", "again 0", "keras 4.0"], outcome.stderr


def test_without_keras_nothing_changes(tmp_path):
    program = ("import sys; from albert_hvd import lean_keras; lean_keras.install(); sys.path = [p for p in sys.path "
               "if 'site-packages' not in p]\ntry:\n    import keras\nexcept ModuleNotFoundError as error:\n    print(error)")
    outcome = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert outcome.stdout == "No module named 'keras'\n", outcome.stderr
