"""`bin/import_checkpoint` of a Hugging Face folder with a classifier: a run, and in it model/, a task model."""

import os

from albert_hvd.errors import InputError, parameter
from albert_hvd.run_folder.layout import CONFIG
from albert_hvd.runtime.files import read_json_object
from albert_hvd.serving.formats.huggingface.weights import TASK_HEAD, read_task_head
from albert_hvd.serving.formats.sources import trained_positions
from albert_hvd.serving.import_model import import_checkpoint

OWN_SETTINGS = "albert_hvd"  # under task_specific_params, where task_export.py writes it
_TASKS = {"AlbertForSequenceClassification": ("classification", "pair_classification", "regression", "pair_regression"),
          "AlbertForTokenClassification": ("tagging",)}
_MODEL = "model"


def import_with_head(options):
    """`serving.import_model.import_checkpoint`, and the classifier of a Hugging Face folder as a task model.

    Args:
      options: `serving.options.ImportOptions`.

    Returns:
      list of str: what was done, a line each.

    Raises:
      InputError: see there; or a `task` that the model is not for.
    """
    def add(run, source, tokenizer):
        head = read_task_head(source.folder, source.config) if source.kind == "huggingface" else None
        if head is None:
            if options.task:
                raise InputError(f"{options.input} has no classifier", "leave it out", name="task", value=options.task)
            return [], ()
        return _add_task_model(run, source, tokenizer, head, options)

    return import_checkpoint(options, add)


def _add_task_model(run, source, tokenizer, head, options):
    config = read_json_object(os.path.join(source.folder, CONFIG))
    reason = _why_not(config, head, tokenizer)
    if reason:
        return [f"left out: the classifier of {options.input}: {reason}"], ()
    from albert_hvd.finetuning.task_model import TaskModel, write_task_model
    from albert_hvd.model.encoder import named_variables

    task = _task_of(config, source, head, options)
    model = TaskModel(source.config, task, options.seed)
    for path, variable in named_variables(model).items():
        array = head.get(path, source.arrays.get(path))
        if array is not None:
            variable.assign(array)
    write_task_model(os.path.join(run, _MODEL), model, task, tokenizer)
    return [f"the classifier, for {task.name} ({', '.join(task.labels)}): {os.path.join(options.output_dir, _MODEL)}, "
            "for bin/predict"], TASK_HEAD.values()


def _why_not(config, head, tokenizer):
    """Why no task model can be made; None when one can."""
    name = _architecture(config)
    if name not in _TASKS:
        return f"its config.json names {name}, not {' or '.join(_TASKS)}"
    if config.get("problem_type") == "multi_label_classification":
        return "each text has several labels"
    if head["head/kernel"].shape[1] == 1 and name == "AlbertForTokenClassification":
        return "it has one label"
    return None if tokenizer else "its vocabulary is not known"


def _architecture(config):
    """The first name under `architectures`; None when there is none."""
    names = config.get("architectures")
    return names[0] if isinstance(names, list) and names and isinstance(names[0], str) else None


def _task_of(config, source, head, options):
    """The `Task` that a config.json describes."""
    from albert_hvd.finetuning.tasks import VALUE, task_class

    num_labels = head["head/kernel"].shape[1]
    settings = config.get("task_specific_params")
    own = settings.get(OWN_SETTINGS) if isinstance(settings, dict) else None
    own = own if isinstance(own, dict) else {}
    possible = [name for name in _TASKS[_architecture(config)] if name.endswith("regression") == (num_labels == 1)]
    # An emotion or a pos of bin/finetune's own is kept; what else calls itself so is of the same kind.
    known = [own.get("task"), *possible]
    name = options.task or next(name for name in known if _is_of(name, possible))
    if not _is_of(name, possible):
        raise InputError(f"the classifier of {options.input} is for {' or '.join(possible)}", "give that", name="task",
                         value=name)
    labels = [VALUE] if num_labels == 1 else _labels_of(config, num_labels, options)
    longest = source.config.max_position_embeddings
    written = own.get("max_seq_length") or trained_positions(source.folder, source.config)
    length = min(written, longest) if type(written) is int and written >= 8 else longest
    return task_class(name)(labels, "linear", length, own.get("long_texts"), "first", "last")


def _is_of(name, possible):
    from albert_hvd.finetuning.tasks import TASK_NAMES, task_class

    return name in TASK_NAMES and task_class(name).kind in possible


def _labels_of(config, num_labels, options):
    """The names of the labels in their order; LABEL_0, ... where the config has none, as transformers calls them."""
    named = config.get("id2label")
    if not isinstance(named, dict):
        return [f"LABEL_{number}" for number in range(num_labels)]
    labels = [named.get(str(number)) for number in range(num_labels)]
    if len(named) != num_labels or not all(isinstance(label, str) and label for label in labels):
        raise InputError(f"id2label of its {CONFIG} has {len(named)} names, and its classifier {num_labels} labels",
                         f"fix the file, or take the encoder alone with {parameter('init_checkpoint')}", name="input",
                         value=options.input)
    return labels
