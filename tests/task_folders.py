"""Folders of fine-tuned models with random weights, large enough that different texts get different labels."""

import numpy as np
from small_corpus import make_tokenizer
from trained_models import make_config

LABELS = ["anger", "happy", "sad"]


def write_task_folder(folder, name, labels=None, head="linear", config=None, **choices):
    """Write model/ into a folder; returns the folder as a str."""
    from albert_hvd.finetuning.task_model import TaskModel, write_task_model  # imports TensorFlow
    from albert_hvd.finetuning.tasks import task_class
    from albert_hvd.model.encoder import named_variables

    tokenizer = make_tokenizer(folder)
    kind = task_class(name)
    labels = labels or (["score"] if kind.is_regression else LABELS)
    task = kind(labels, head, **{"max_seq_length": 16, **choices})
    model = TaskModel(config or make_config(initializer_range=0.5), task, seed=2)
    random = np.random.default_rng(4)
    for path, variable in named_variables(model).items():
        if path.startswith("head/"):
            variable.assign(random.normal(0, 1, variable.shape))
    write_task_model(str(folder / "model"), model, task, tokenizer)
    return str(folder)
