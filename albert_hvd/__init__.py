"""albert_hvd: pre-train an ALBERT of your own, from raw Bahasa Malaysia text to a validated model.

    model = albert_hvd.load("runs/base")
    model.encode(["Saya suka nasi lemak."])                        # float32 (1, H)
    model.fill_mask("Kuala Lumpur ialah ibu <mask> Malaysia")[0]   # [(piece, probability, text), ...]
    albert_hvd.load("runs/emotion").predict(["Saya gembira."])     # [{"text", "label", "probabilities"}]

Importing the package imports neither TensorFlow nor Horovod: every module that needs one of them
imports it itself, so that `--help` and a mistyped flag answer at once.
"""

__version__ = "0.1.0"


def load(path, tokenizer=None):
    """Load a trained model from any kind of folder.

    Returns:
      `finetuning.prediction.TaskPredictor` for what `bin/finetune` wrote, else `serving.text_model.TextModel`.

    Raises:
      InputError: see those and `serving.text_model.load`; or a `tokenizer` for a fine-tuned model, which has its own.
    """
    from albert_hvd.errors import InputError
    from albert_hvd.finetuning import prediction, task_folder
    from albert_hvd.serving import text_model

    if not task_folder.find_task_folder(path):
        return text_model.load(path, tokenizer)
    if tokenizer is not None:
        raise InputError(f"tokenizer={tokenizer}: {path} is a fine-tuned model, which has its vocabulary with it",
                         "leave the argument out")
    return prediction.TaskPredictor(path, option="path")
