"""Everything that the seeds of one call of `bin/finetune` share, checked before a model is made.

It has its data, and where it begins: a pre-trained encoder with its vocabulary, or random weights.
"""

import dataclasses
import json
import os

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError, parameter, setting
from albert_hvd.finetuning import baselines, label_agreement
from albert_hvd.finetuning.options import FineTuningOptions
from albert_hvd.finetuning.task_data import (TaskData, encode_parts, read_examples, read_labels, report_long_texts,
                                             with_label_names)
from albert_hvd.finetuning.task_folder import find_task_folder
from albert_hvd.finetuning.tasks import VALUE, Task, task_class
from albert_hvd.model.config import AlbertConfig
from albert_hvd.run_folder.layout import FLAGS
from albert_hvd.run_folder.logs import write_atomically
from albert_hvd.runtime.files import make_folder
from albert_hvd.runtime.tables import named
from albert_hvd.serving.formats.sources import read_model
from albert_hvd.serving.formats.vocabulary import fitting_tokenizer

_ENCODER = "encoder/"


@dataclasses.dataclass(frozen=True)
class FirstWeights:
    """An encoder to start from.

    Attributes:
      config: `AlbertConfig`.
      tokenizer: `tokenizer.Tokenizer`.
      arrays: {path: float32 array} of the encoder's variables, and of a task model those of the head that fits; {}
        for random weights.
      origin: in words.
      name: what to call the model in tables.
    """

    config: AlbertConfig
    tokenizer: Tokenizer
    arrays: dict
    origin: str
    name: str


@dataclasses.dataclass(frozen=True)
class Job:
    """What all seeds share.

    Attributes:
      options: `FineTuningOptions`.
      task: `tasks.Task`.
      data: `task_data.TaskData`.
      first_weights: `FirstWeights`.
      baselines: names of the baselines to fit.
    """

    options: FineTuningOptions
    task: Task
    data: TaskData
    first_weights: FirstWeights
    baselines: list

    def parts(self):
        """(name, `Part`) of each part that there is."""
        return [(name, part) for name in ("train", "valid", "test") if (part := getattr(self.data, name)) is not None]


def prepare(options):
    """Read and check everything; for rank 0.

    Raises:
      InputError: a flag, a file, a model or a vocabulary is not as it must be, or `output_dir` holds a
        result of other settings.
    """
    kind = task_class(options.task)
    if options.class_weights != "none" and options.head == "crf":
        raise InputError(f"{parameter('class_weights')}={options.class_weights} goes with {parameter('head')}=linear: "
                         "a CRF's loss is that of whole sequences")
    if options.class_weights != "none" and kind.is_regression:
        raise InputError("a regression has no classes", "leave it out", name="class_weights",
                         value=options.class_weights)
    if options.text_pair_column and not kind.is_pair:
        raise InputError(f"{setting('task', options.task)} has no second text", "leave it out, or give a task of pairs",
                         name="text_pair_column", value=options.text_pair_column)
    names = baselines.chosen(kind.kind, options.baselines)
    examples = read_examples(kind, options)
    labels, examples = _labels_of(kind, options, examples)
    task = kind(labels, options.head, options.max_seq_length,
                options.long_texts, options.pooling, options.layers, options.features)
    first_weights = read_first_weights(options, task)
    if options.max_seq_length > first_weights.config.max_position_embeddings:
        raise InputError(f"the model has {first_weights.config.max_position_embeddings} positions",
                         "give that or less", name="max_seq_length", value=options.max_seq_length)
    if kind.is_pair and first_weights.config.type_vocab_size < 2:
        raise InputError("the model has one type of segment, so that it cannot tell two texts apart",
                         "give another model", name="task", value=options.task)
    data = encode_parts(task, examples, options, first_weights.tokenizer)
    job = Job(options, task, data, first_weights, names)
    make_folder(options.output_dir, "output_dir")
    _check_folder(job)
    return job


def _labels_of(kind, options, examples):
    """(labels, examples with the names of the labels)."""
    if kind.is_regression and not options.labels_file:
        return [VALUE], examples
    # A label of the file that was split is one, wherever its texts came to lie.
    labels = read_labels(options.labels_file, examples["train"] + (examples["valid"] if not options.valid_file else []))
    return labels, with_label_names(examples, labels) if options.labels_file else examples


def _check_folder(job):
    """Seeds of one folder must have the same settings and data; notes both in flags.json."""
    folder = job.options.output_dir
    path = os.path.join(folder, FLAGS)
    settings = job.options.settings()
    noted = {**settings, "seeds": list(job.options.seeds), "sha256": {name: part.sha256 for name, part in job.parts()}}
    try:
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
    except FileNotFoundError:
        before = noted
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})", "give a new folder", name="output_dir",
                         value=folder) from None
    # A setting that the program did not have then was as its default is; but features were not trained apart.
    defaults = {field.name: field.default for field in dataclasses.fields(job.options)}
    if before.get("features", "none") != "none":
        defaults["features_training"] = "joint"
    before = {**defaults, **before}
    for key, value in settings.items():
        if before[key] != value:
            raise InputError(f"{value} now and {before[key]} in the run that {parameter('output_dir')}={folder} "
                             "holds",
                             "set it back, or give a new folder", name=key)
    for name, part in job.parts():
        if before["sha256"].get(name) != part.sha256:
            raise InputError(f"it has changed since the run that {parameter('output_dir')}={folder} holds read it",
                             "give a new folder", value=part.file)
    write_atomically(path, json.dumps(noted, indent=2, ensure_ascii=False) + "\n")


def describe(job, size, device):
    """The job in a table, as lines of `name  value`."""
    options, config = job.options, job.first_weights.config
    rows = [
        ("task", f"{options.task}: {job.task.kind}" + ("" if job.task.is_regression else
                 f", {len(job.task.labels)} labels ({', '.join(job.task.labels)})")),
        ("head", f"{job.task.head}, pooling {job.task.pooling}, layers {job.task.layers}"),
        ("start", job.first_weights.origin),
        ("model", f"{config.architecture}: hidden {config.hidden_size}, layers {config.num_hidden_layers}, heads "
                  f"{config.num_attention_heads}, embedding {config.embedding_size}, vocabulary {config.vocab_size}"),
        ("optimizer", f"{options.optimizer}, learning rate {options.learning_rate:g} x {options.layer_decay:g}^depth "
                      f"(depth 0: head and pooler, 1: the shared layer, 2: embeddings)"),
        ("device", f"{size} rank{'s' * (size > 1)} on {device}, {options.precision}"),
        ("batch", f"{options.train_batch_size} rows of at most {options.max_seq_length} pieces, "
                  f"{options.num_train_epochs} epochs"),
        ("selection", f"best {job.task.select_by} on the validation part"),
    ]
    for name, part in job.parts():
        split = " (split off)" if not options.valid_file and name == "valid" else ""
        rows.append((name, f"{len(part.examples)} examples, {len(part.gold)} labels of {part.file}{split}"))
    if not job.task.is_regression:
        rows += [("labels", label_agreement.in_words(agreement)) for agreement in
                 label_agreement.agreements(job.data.train.examples, job.task.is_tagging)]
    long_texts = filter(None, (report_long_texts(name, part, job.task) for name, part in job.parts()))
    return "\n".join([*named(rows), *long_texts])


def read_first_weights(options, task=None):
    """The `FirstWeights` that the flags ask for.

    Args:
      options: `FineTuningOptions`.
      task: the `tasks.Task` to be trained, for the head of a task model; None: take none.

    Raises:
      InputError: no model at `init_checkpoint`, no or another vocabulary, or neither `init_checkpoint` nor
        `bert_config_file` and `tokenizer`.
    """
    if not options.init_checkpoint:
        return _random_weights(options)
    path = options.init_checkpoint
    if find_task_folder(path):
        return _weights_of_task_model(options, task)
    config = options.bert_config_file and AlbertConfig.from_json_file(options.bert_config_file)
    source = read_model(path, "init_checkpoint", config=config or None)
    if config and _sizes(config) != _sizes(source.config):
        raise InputError(f"not the config of {parameter('init_checkpoint')}={path}",
                         "leave it out, or give the one that belongs to it", name="bert_config_file",
                         value=options.bert_config_file)
    tokenizer = fitting_tokenizer(source, options.tokenizer, setting("init_checkpoint", path))
    arrays = {name: array for name, array in source.arrays.items() if name.startswith(_ENCODER)}
    new = [name for name in source.missing if name.startswith(_ENCODER)]
    notes = ([f"new: {', '.join(new)}"] if new else []) + list(filter(None, [source.left_out_in_words()]))
    origin = f"weights of {path}" + (f" ({'; '.join(notes)})" if notes else "")
    return FirstWeights(source.config, tokenizer, arrays, origin, os.path.basename(os.path.abspath(path)))


def _weights_of_task_model(options, task):
    """Those of a model that was fine-tuned before; its head too where labels and kind are the same."""
    from albert_hvd.finetuning.task_model import read_task_model
    from albert_hvd.model.encoder import named_variables

    path = options.init_checkpoint
    for name in ("bert_config_file", "tokenizer"):
        if getattr(options, name):
            raise InputError(f"{parameter('init_checkpoint')}={path} is a fine-tuned model, which has its own",
                             "leave it out", name=name, value=getattr(options, name))
    model, before, tokenizer = read_task_model(find_task_folder(path), "init_checkpoint")
    fits = task is not None and all(getattr(task, name) == getattr(before, name) for name in (
        "labels", "head", "layers", "features", "is_tagging", "is_pair", "is_regression"))
    arrays = {name: variable.numpy() for name, variable in named_variables(model).items()
              if fits or name.startswith(_ENCODER)}
    head = "with its head" if fits else f"the head, for {len(before.labels)} labels of {before.name}, is left out"
    return FirstWeights(model.config, tokenizer, arrays, f"weights of {path} ({head})",
                        os.path.basename(os.path.abspath(path)))


def _random_weights(options):
    missing = [parameter(name) for name in ("bert_config_file", "tokenizer") if not getattr(options, name)]
    if missing:
        raise InputError(f"{' and '.join(missing)} missing: without {parameter('init_checkpoint')}, a network of "
                         f"random weights needs {parameter('bert_config_file')} and {parameter('tokenizer')}")
    config = AlbertConfig.from_json_file(options.bert_config_file)
    tokenizer = Tokenizer.from_file(options.tokenizer)
    if tokenizer.vocab_size != config.vocab_size:
        raise InputError(f"{tokenizer.vocab_size} pieces, but the config's vocab_size is {config.vocab_size}",
                         "give the config and the vocabulary that belong together", name="tokenizer",
                         value=options.tokenizer)
    return FirstWeights(config, tokenizer, {}, "random weights", "random weights")


def _sizes(config):
    """What must be the same for weights to fit and to mean the same."""
    free = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
    return {key: value for key, value in config.to_dict().items() if key not in free}
