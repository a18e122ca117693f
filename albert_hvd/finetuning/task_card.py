"""The model card of an exported task model: a README.md from task.json and, where it is at hand, results.json."""

import json
import os

from albert_hvd.run_folder.task_results import RESULTS
from albert_hvd.runtime.files import read_json_object
from albert_hvd.serving.formats.huggingface.model_card import read_data_card

_SETTINGS = ("init_checkpoint", "num_train_epochs", "train_batch_size", "learning_rate", "optimizer", "dropout",
             "features", "features_training", "features_share", "features_dropout", "class_weights")
_PIPELINES = {True: "token-classification", False: "text-classification"}


def task_card(path, folder, config, task, tokenizer, architecture, options):
    """The text of a model card.

    Args:
      path: the --output_dir of bin/finetune, or the folder model/ in it.
      folder: of the model.
      config: `AlbertConfig`.
      task: `tasks.Task`.
      tokenizer: `tokenizer.Tokenizer`.
      architecture: name of the transformers class.
      options: `serving.options.FolderOptions`.
    """
    results = _results(path, folder)
    pipeline = _PIPELINES[task.is_tagging]
    front = ["---", "language:", "- ms", *([f"license: {json.dumps(options.license)}"] if options.license else []),
             "library_name: transformers", f"pipeline_tag: {pipeline}", "tags:", "- albert", "- bahasa-malaysia", "---"]
    labels = "a number" if task.is_regression else ", ".join(f"`{label}`" for label in task.labels)
    what = "words of a sentence" if task.is_tagging else "pairs of texts" if task.is_pair else "texts"
    example = '{"text": "Saya gembira.", "text_pair": "Saya suka."}' if task.is_pair else '"Saya gembira ."'
    lines = [
        *front, "", f"# ALBERT for {task.name.replace('_', ' ')} in Bahasa Malaysia", "",
        f"An `{architecture}` of {config.num_hidden_layers} layers, hidden size {config.hidden_size}; vocabulary of "
        f"{tokenizer.vocab_size} pieces, sha256 `{tokenizer.sha256}`. It labels {what}: {labels}. Texts of more than "
        f"{task.max_seq_length} pieces are cut: give `truncation=True`.", "",
        "```python", "from transformers import pipeline", "",
        f'pipeline("{pipeline}", "path/to/this/folder")({example})', "```", ""]
    if task.is_tagging:
        lines += ["A word is read at its first piece; words are separated by blanks.", ""]
    if options.data_card:
        lines += ["## Data", "", read_data_card(options)]
    return "\n".join([*lines, "## Recipe and results", "", *(_figures(results) or ["Not at hand."]), ""])


def _results(path, folder):
    """results.json of the run that a model came from; {} when it is not there."""
    places = (path, os.path.dirname(os.path.abspath(folder)))
    return next(filter(None, (read_json_object(os.path.join(place, RESULTS)) for place in places)), {})


def _figures(results):
    settings, summary = results.get("settings", {}), results.get("summary", {})
    rows = [(name, settings[name]) for name in _SETTINGS if settings.get(name) is not None]
    rows += [(f"{part} {name}", f"{values['mean']:.4f} (mean of {len(results.get('seeds', []))})")
             for part in ("valid", "test") for name, values in (summary.get(part) or {}).items()]
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)] if rows else []
