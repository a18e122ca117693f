"""What an import of TensorFlow leaves out can still be had, by Keras as well as by us; and it says nothing."""

import os
import subprocess
import sys

import pytest
from conftest import ROOT, command_environment, command_words

PROGRAM = """
import sys
from albert_hvd.runtime import tensorflow_import
tensorflow_import.install()
tensorflow_import.install()
def say(what):
    hidden = {name for names in tensorflow_import.HIDDEN.values() for name in names}
    waiting = [finder.name for finder in sys.meta_path if isinstance(finder, tensorflow_import._FirstImport)]
    print(what, sorted(hidden & set(sys.modules)), "scipy.stats" in sys.modules, waiting)
import tensorflow as tf
say("tensorflow")
tensorflow_import.install()
print("keras", float(tf.keras.losses.MeanSquaredError()([1.0], [3.0])))
say("keras")
tensorflow_import.install()
say("again")
import h5py, matplotlib.pyplot, scipy.stats, sklearn.linear_model
say("all")
"""


def test_tensorflow_without_what_it_and_keras_import_besides():
    outcome = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert outcome.stdout.splitlines() == [
        "tensorflow [] False ['keras']", "keras 4.0", "keras ['h5py', 'keras.src'] False []",
        "again ['h5py', 'keras.src'] False []",
        "all ['h5py', 'keras.src', 'matplotlib', 'scipy', 'sklearn'] True []"], outcome.stderr
    assert outcome.stderr == ""


LATE = """
import sys
from albert_hvd.runtime import tensorflow_import
tensorflow_import.install()
import tensorflow as tf
tf.function(lambda x: x + 1)(1)
behind = ("tensorflow._api.v2.compat.v1", "tensorflow.lite.python.lite", "tensorflow.python.profiler.profiler_client")
late = [name for name in ("compat", "lite", "profiler", "feature_column", "strings", "math", "distribute")
        if type(sys.modules[f"{tensorflow_import.INTERFACE}.{name}"]).__name__ == "_LazyModule"]
print(late, [name in sys.modules for name in behind])
print(tf.compat.v1.placeholder.__name__, tf.lite.TFLiteConverter.__name__, tf.profiler.experimental.start.__name__,
      tf.feature_column.numeric_column.__name__, tf.strings.join.__name__)
print([name in sys.modules for name in behind])
import tensorflow.compat.v2
print(tensorflow.compat.v2.constant is tf.constant, tf.experimental.numpy.array.__code__.co_name)
"""


def test_what_is_imported_late_is_there_when_it_is_asked_for():
    outcome = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert outcome.stdout.splitlines() == [
        f"{['compat', 'lite', 'profiler', 'feature_column', 'strings']} {[False] * 3}",
        "placeholder TFLiteConverterV2 start numeric_column string_join", str([True] * 3), "True wrapper"], outcome.stderr


RANK = """
import sys
from albert_hvd.runtime import distributed, tensorflow_import
tensorflow_import.install()
distributed.initialize(use_gpu=False)
import albert_hvd.training.setup, albert_hvd.finetuning.seeds, albert_hvd.serving.text_model
print("horovod.tensorflow" in sys.modules, [name for name in ("keras", "h5py", "scipy", "sklearn") if name in sys.modules])
import horovod.tensorflow.sync_batch_norm
print(horovod.tensorflow.sync_batch_norm.SyncBatchNormalization.__name__)
"""


def test_a_rank_does_without_them_too():
    outcome = subprocess.run([sys.executable, "-c", RANK], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert outcome.stdout == "True []\nSyncBatchNormalization\n", outcome.stderr


def test_without_keras_nothing_changes(tmp_path):
    program = ("import sys; from albert_hvd.runtime import tensorflow_import; tensorflow_import.install(); "
               "sys.path = [p for p in sys.path if 'site-packages' not in p]\n"
               "try:\n    import keras\nexcept ModuleNotFoundError as error:\n    print(error)")
    outcome = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert outcome.stdout == "No module named 'keras'\n", outcome.stderr


NOISY = r"""
import os, sys
os.write(2, b"W0000 00:00:1.2 3 a.cc:4] a warning\n")
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
os.write(2, b"I0000 00:00:1795700516.149964   31516 port.cc:153] oneDNN custom operations are on.\n")
print("Python's own", file=sys.stderr)
os.write(2, b"I think this is no log line\n")
if "die" in sys.argv:
    os.abort()
"""

IMPORTS_NOISY = """
import sys
from albert_hvd.runtime import tensorflow_import
sys.path.insert(0, sys.argv[1])
sys.meta_path.insert(0, tensorflow_import._FirstImport("noisy", tensorflow_import.without_start_up_lines))
import noisy
print("afterwards", file=sys.stderr)
"""


@pytest.mark.parametrize("level, die", [(None, False), (None, True), ("2", False), ("0", False)])
def test_information_is_left_out_of_standard_error_and_nothing_else(tmp_path, level, die):
    (tmp_path / "noisy.py").write_text(NOISY)
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    outcome = subprocess.run([sys.executable, "-c", IMPORTS_NOISY, tmp_path, *["die"] * die], cwd=ROOT, text=True,
                             capture_output=True, timeout=60,
                             env={**environment, **({"TF_CPP_MIN_LOG_LEVEL": level} if level else {})})
    lines = outcome.stderr.splitlines()
    assert ("oneDNN" in outcome.stderr) == ("InitializeLog" in outcome.stderr) == (level == "0")
    assert lines[0] == "W0000 00:00:1.2 3 a.cc:4] a warning"
    assert {"Python's own", "I think this is no log line"} <= set(lines)
    assert (outcome.returncode, "afterwards" in lines) == ((-6, False) if die else (0, True))


def test_without_standard_error_it_can_be_imported_too(tmp_path):
    (tmp_path / "noisy.py").write_text("print('imported')")
    outcome = subprocess.run(["bash", "-c", 'exec "$@" 2>&-', "bash", sys.executable, "-c", IMPORTS_NOISY, tmp_path],
                             cwd=ROOT, stdout=subprocess.PIPE, text=True, timeout=60)
    assert outcome.stdout == "imported\nafterwards\n"  # without it, print takes standard output


def test_an_error_line_is_all_that_a_command_says(tmp_path):
    environment = command_environment()
    del environment["TF_CPP_MIN_LOG_LEVEL"]  # as users have it
    # TensorFlow is imported before this file is looked for.
    outcome = subprocess.run(command_words("fill_mask", model=tmp_path / "nowhere") + ["ibu <mask>"], env=environment,
                             capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("fill_mask: --model=") and outcome.stderr.count("\n") == 1, outcome.stderr
