"""A task model of the shipped model's sizes, for measuring what comes before and after its numbers."""

import os

from albert_hvd.serving.formats.shipped import located
from albert_hvd.serving.formats.sources import read_model, tokenizer_beside

MODEL = "tiny-bahasa"


def vocabulary():
    """The path of the shipped model's SentencePiece .model."""
    return tokenizer_beside(located(MODEL))


def write_classifier(folder):
    """Make a folder with a classifier of random weights that has the shipped model's sizes and vocabulary."""
    from albert_hvd.data.text.tokenizer import Tokenizer
    from albert_hvd.finetuning.task_model import TaskModel, write_task_model
    from albert_hvd.finetuning.tasks import Classification

    task = Classification(["baik", "buruk"])
    os.mkdir(folder)
    write_task_model(folder, TaskModel(read_model(MODEL, "model").config, task), task, Tokenizer.from_file(vocabulary()))
