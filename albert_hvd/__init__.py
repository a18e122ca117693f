"""albert_hvd: pre-train an ALBERT of your own, from raw Bahasa Malaysia text to a validated model.

    model = albert_hvd.load("runs/base")
    model.encode(["Saya suka nasi lemak."])                        # float32 (1, H)
    model.fill_mask("Kuala Lumpur ialah ibu <mask> Malaysia")[0]   # [(piece, probability, text), ...]

Importing the package imports neither TensorFlow nor Horovod: every module that needs one of them
imports it itself, so that `--help` and a mistyped flag answer at once.
"""

__version__ = "0.1.0"


def load(path, tokenizer=None):
    """Load a trained model from any kind of folder; see `inference.load` and `inference.TextModel`."""
    from albert_hvd import inference

    return inference.load(path, tokenizer)
