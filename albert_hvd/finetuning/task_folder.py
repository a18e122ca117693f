"""Where a task model lies: the files of its folder, and whether a folder is one."""

import os

TASK, WEIGHTS = "task.json", "model.safetensors"


def is_task_folder(path):
    """Whether `path` is a folder that `task_model.write_task_model` made."""
    return os.path.isfile(os.path.join(path, TASK)) and os.path.isfile(os.path.join(path, WEIGHTS))


def find_task_folder(path):
    """The folder of a task model: `path` itself, or model/ in what `bin/finetune` wrote; None without one."""
    return next(filter(is_task_folder, (path, os.path.join(path, "model"))), None)
