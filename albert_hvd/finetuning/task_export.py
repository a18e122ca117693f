"""`bin/export` of a fine-tuned model: for transformers, as a SavedModel, or packed.

What transformers computes otherwise is refused with the reason, never approximated.
"""

import json
import os

import tensorflow as tf

from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.finetuning.task_card import task_card
from albert_hvd.finetuning.task_folder import TASK, find_task_folder
from albert_hvd.finetuning.task_import import OWN_SETTINGS
from albert_hvd.finetuning.task_model import copy_task_model, read_task_model, task_values
from albert_hvd.run_folder.layout import VOCABULARY, write_model_files
from albert_hvd.runtime.files import check_free, scratch_folder, whole_file, whole_folder
from albert_hvd.serving.export import check_folder_options, export_date, pack, package_name, tensorflow_errors
from albert_hvd.serving.formats.huggingface.export import export_fine_tuned
from albert_hvd.serving.formats.huggingface.names import check_architecture
from albert_hvd.serving.saved_model import EXTRA

SEQUENCES, TOKENS = "AlbertForSequenceClassification", "AlbertForTokenClassification"


def export_task(options):
    """Write a task model in another format.

    Args:
      options: `serving.options.ExportOptions`; `model` is the --output_dir of bin/finetune or the folder model/ in it.

    Returns:
      The path of what was written.

    Raises:
      InputError: a damaged model, an output that exists, a flag that does not go with a task model, or a format that
        cannot hold the model.
    """
    for name in ("tokenizer", "bert_config_file"):
        if getattr(options, name):
            raise InputError(f"{setting('model', options.model)} is a fine-tuned model, which has its own",
                             "leave it out", name=name, value=getattr(options, name))
    if options.format == "tf1":
        raise InputError("it holds a pre-trained model, and this is a fine-tuned one",
                         "give huggingface, saved_model or tar", name="format", value=options.format)
    date = export_date(options.date)
    check_folder_options(options.format, options)
    if options.format != "tar":
        check_free(options.output_dir)
    folder = find_task_folder(options.model)
    model, task, tokenizer = read_task_model(folder)
    if options.format == "saved_model" and task.features != "none":
        raise InputError("a SavedModel is given pieces, and this model reads words as such too",
                         f"give tar, or fine-tune with {setting('features', 'none')}", name="format",
                         value=options.format)
    if options.format == "tar":
        return _export_tar(folder, model.config, task, options.output_dir, date)
    if options.format == "huggingface":
        _export_huggingface(folder, model, task, tokenizer, options)
    else:
        with whole_folder(options.output_dir, tensorflow_errors()) as target:
            _write_saved_model(model, task, tokenizer, target)
    return options.output_dir


def _export_tar(folder, config, task, output_dir, date):
    """`albert-base-emotion-<date>.tar.gz` with one folder of that name, which bin/predict reads."""
    size = package_name(config, date).removesuffix(f"-{date.isoformat()}")
    name = f"{size}-{task.name}-{date.isoformat()}"
    path = os.path.join(output_dir, f"{name}.tar.gz")
    if os.path.exists(path):
        raise InputError(f"{path} exists", f"remove it, or give another folder or {parameter('date')}",
                         name="output_dir", value=output_dir)
    with scratch_folder(os.path.join(output_dir, name)) as scratch, whole_file(path, "output_dir") as file:
        copy_task_model(folder, scratch)
        pack(scratch, name, file, date)
    return path


def _export_huggingface(folder, model, task, tokenizer, options):
    check_exact(model.config, task)
    if not options.tokenizer_json:
        raise InputError(f"{setting('model', options.model)} is a fine-tuned model, whose folder is for transformers",
                         "leave it out", name="tokenizer_json", value=False)
    architecture = TOKENS if task.is_tagging else SEQUENCES
    arrays = {path: variable.numpy() for path, variable in model.trained_variables().items()}
    labels = {str(number): label for number, label in enumerate(task.labels)}
    own = {"task": task.name, "max_seq_length": task.max_seq_length, "long_texts": task.long_texts}
    settings = {"id2label": labels, "label2id": {label: int(number) for number, label in labels.items()},
                "task_specific_params": {OWN_SETTINGS: own}}
    if not task.is_tagging:
        settings["problem_type"] = "regression" if task.is_regression else "single_label_classification"
    card = task_card(options.model, folder, model.config, task, tokenizer, architecture, options)
    export_fine_tuned(options.output_dir, model.config, arrays, tokenizer, os.path.join(folder, VOCABULARY),
                      task.max_seq_length, architecture, settings, card, options)


def check_exact(config, task):
    """InputError, with the reason, unless a class of transformers computes what the task model does."""
    check_architecture(config)
    reads = (f"{TOKENS} scores each piece by itself" if task.is_tagging else
             f"{SEQUENCES} reads <cls> through the pooler")
    for problem, found, fix in (
            (f"{TOKENS} has no conditional random field over the tags", task.head == "crf", setting("head", "linear")),
            ("transformers reads the last layer, and this model a sum of all", task.layers == "sum",
             setting("layers", "last")),
            ("transformers reads pieces, and this model words as such too", task.features != "none",
             setting("features", "none")),
            (f"{reads}, and this model the mean over {'its words' if task.is_tagging else 'its'} pieces",
             task.pooling == "mean", setting("pooling", "first"))):
        if found:
            raise InputError(problem, f"give saved_model or tar, or fine-tune with {fix}", name="format",
                             value="huggingface")


class TaskFunctions(tf.Module):
    """A task model as one compiled function of rows.

    Args:
      model: `TaskModel`.
      task: `tasks.Task`.
    """

    def __init__(self, model, task):
        super().__init__(name="task")
        self.model, self._task = model, task
        names = ["input_ids", "input_mask", "segment_ids", *(["positions"] if task.is_tagging else [])]
        signature = [tf.TensorSpec([None, None], tf.int32, name=name) for name in names]
        self.predict = tf.function(self._tags if task.is_tagging else self._labels, autograph=False,
                                   input_signature=signature)

    def _labels(self, input_ids, input_mask, segment_ids):
        """int32 (B, S) thrice -> {`probabilities`: (B, L)}, or {`scores`: (B,)} of a regression; float32."""
        logits = self.model(input_ids, input_mask, segment_ids, tf.zeros_like(input_ids[:, :1]))
        if self._task.is_regression:
            return {"scores": logits[:, 0, 0]}
        return {"probabilities": tf.nn.softmax(logits[:, 0])}

    def _tags(self, input_ids, input_mask, segment_ids, positions):
        """int32 (B, S) thrice, positions (B, W), 0 where there is no word -> `tags` int32 (B, W), `probabilities`."""
        logits = self.model(input_ids, input_mask, segment_ids, positions)
        is_word = tf.cast(positions > 0, tf.float32)
        return {"tags": self.model.head.decode(logits, is_word), "probabilities": tf.nn.softmax(logits)}


def _write_saved_model(model, task, tokenizer, folder):
    """A SavedModel with the signature `predict`; config, vocabulary and task.json lie in its assets.extra."""
    functions = TaskFunctions(model, task)
    tf.saved_model.save(functions, folder, signatures={"predict": functions.predict})
    extra = os.path.join(folder, EXTRA)
    write_model_files(extra, model.config, tokenizer)
    with whole_file(os.path.join(extra, TASK), "output_dir") as file:
        file.write(json.dumps(task_values(task), indent=2, ensure_ascii=False).encode() + b"\n")
