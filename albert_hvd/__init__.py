"""albert_hvd: pre-train an ALBERT of your own, from raw Bahasa Malaysia text to a validated model.

Importing the package imports neither TensorFlow nor Horovod: every module that needs one of them
imports it itself, so that `--help` and a mistyped flag answer at once.
"""

__version__ = "0.1.0"
