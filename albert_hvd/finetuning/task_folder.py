"""A task model on disk: config.json, spiece.model, task.json and model.safetensors in one folder.

The arrays have the names of `modeling.named_variables`: "encoder/..." and "head/...".
"""

import json
import os
import shutil

from safetensors.numpy import save

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError
from albert_hvd.finetuning.tasks import TASK_NAMES, task_class
from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.encoder import named_variables
from albert_hvd.run_folder.checkpoints import restore_variables
from albert_hvd.run_folder.layout import CONFIG, VOCABULARY
from albert_hvd.runtime.files import whole_file

FORMAT = "albert_hvd task 2"
_TASK, _WEIGHTS = "task.json", "model.safetensors"


def is_task_folder(path):
    """Whether `path` is a folder that `write_task_model` made."""
    return os.path.isfile(os.path.join(path, _TASK)) and os.path.isfile(os.path.join(path, _WEIGHTS))


def write_task_model(folder, model, task, tokenizer):
    """Write a model, or replace the weights of the one there; each file is whole at any moment.

    Args:
      model: `TaskModel`.
      task: `tasks.base.Task`.
      tokenizer: `tokenization.Tokenizer`.

    Raises:
      InputError: the folder cannot be written.
    """
    arrays = {path: variable.numpy() for path, variable in named_variables(model).items()}
    for name, content in ((CONFIG, _json(model.config.to_dict())), (VOCABULARY, tokenizer.model),
                          (_TASK, _json(task_values(task))), (_WEIGHTS, save(arrays))):
        with whole_file(os.path.join(folder, name), "--output_dir") as file:
            file.write(content)


def read_task_model(folder, flag="--model"):
    """Read what `write_task_model` wrote.

    Returns:
      (`TaskModel` in float32, `tasks.base.Task`, `tokenization.Tokenizer`).

    Raises:
      InputError: no task model there, or one with a file that is damaged or of another size than the others say.
    """
    from albert_hvd.finetuning.task_model import TaskModel

    if not is_task_folder(folder):
        raise InputError(f"{flag}={folder}: no task model there; give a folder model/ that bin/finetune made")
    source = f"{flag}={folder}"
    task = task_of_values(_read_json(folder, _TASK, source), source)
    config = AlbertConfig.from_dict(_read_json(folder, CONFIG, source), source)
    tokenizer = Tokenizer.from_file(os.path.join(folder, VOCABULARY), flag)
    if tokenizer.vocab_size != config.vocab_size:
        raise InputError(f"{source}: its {VOCABULARY} has {tokenizer.vocab_size} pieces, its model "
                         f"{config.vocab_size}; copy the folder again")
    model = TaskModel(config, task)
    read_weights(folder, model, flag)
    return model, task, tokenizer


def read_weights(folder, model, flag):
    """Give a `TaskModel` the weights of a folder; InputError when they are damaged or do not fit."""
    restore_variables(named_variables(model), folder, _WEIGHTS, f"{flag}={folder}", f"its {CONFIG} and {_TASK}")


def copy_task_model(source, target):
    """Copy a task model; each file appears whole."""
    for name in (CONFIG, VOCABULARY, _TASK, _WEIGHTS):
        with open(os.path.join(source, name), "rb") as content, \
                whole_file(os.path.join(target, name), "--output_dir") as file:
            shutil.copyfileobj(content, file)


def task_values(task):
    """What `task_of_values` makes the task from; a JSON-able dict."""
    return {"format": FORMAT, "kind": task.kind, "task": task.name, "labels": list(task.labels), "head": task.head,
            "pooling": task.pooling, "layers": task.layers, "max_seq_length": task.max_seq_length,
            "long_texts": task.long_texts}


def task_of_values(values, source):
    """The `Task` of a `task.json`; InputError, naming `source`, for another format or a task that is not known."""
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{source}: {_TASK} is not of the format {FORMAT!r}; give a folder that bin/finetune made")
    # A model of a task that this installation does not have is still one of its kind.
    name = values["task"] if values.get("task") in TASK_NAMES else values.get("kind")
    try:
        return task_class(name, source)(values["labels"], values["head"], values["max_seq_length"],
                                        values["long_texts"], values["pooling"], values["layers"])
    except (KeyError, TypeError) as error:
        raise InputError(f"{source}: {_TASK} lacks or spoils {error}; copy the folder again") from None


def _json(values):
    return json.dumps(values, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def _read_json(folder, name, source):
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: {name} cannot be read as JSON ({error}); copy the folder again") from None
