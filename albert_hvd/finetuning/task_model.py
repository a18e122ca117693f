"""The encoder with the head of a task, in memory and on disk.

On disk it is a folder with config.json, spiece.model, task.json and model.safetensors. The arrays have the names of
`encoder.named_variables`: "encoder/...", "head/...", "layers/weights" where the layers are summed, and "wide/kernel"
of a model that reads words as such too.
"""

import json
import os
import shutil

import tensorflow as tf
from safetensors.numpy import save

from albert_hvd.data.text.text_form import TOKENIZER_CONFIG
from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.errors import InputError, setting
from albert_hvd.finetuning.heads import HEADS, WeightedSum, WideScores, mean_of_rows, means_of_words
from albert_hvd.finetuning.task_folder import TASK, WEIGHTS, is_task_folder
from albert_hvd.finetuning.tasks import TASK_NAMES, task_class
from albert_hvd.finetuning.word_features import NUM_BUCKETS
from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.encoder import AlbertEncoder, at_positions, flat_positions, named_variables
from albert_hvd.model.layers import Dropout
from albert_hvd.model.packed_inputs import packed_inputs
from albert_hvd.run_folder.checkpoints import restore_variables
from albert_hvd.run_folder.layout import CONFIG, VOCABULARY
from albert_hvd.runtime.files import whole_file

FORMAT = "albert_hvd task 2"
_SHA256 = "tokenizer_sha256"  # of the vocabulary, in task.json
_POOLER = "encoder/pooler/"
_INPUTS = ("input_ids", "input_mask", "segment_ids", "positions")
# ALBERT's layers share their weights, so that the stack of them has one depth, whatever their number.
_DEPTHS = {"head": 0, "wide": 0, "layers": 0, "encoder/pooler": 0, "encoder/layer": 1, "encoder/embeddings": 2}


def _matrix(name, dtype=tf.int32):
    return tf.TensorSpec([None, None], dtype, name=name)


class TaskModel(tf.Module):
    """Scores of a task's labels.

    Args:
      config: an `AlbertConfig`.
      task: a `tasks.Task`.
      seed: int; fixes the first weights. None: zeros, for weights that will be read.
      compute_dtype: of the encoder; the head computes in float32.
      head_dropout: rate of the dropout before the head while training.
      features_dropout: that of the wide part's features.
      features_training: how `loss` trains network and wide part, one of `word_features.TRAININGS`.
      features_share: what the wide part's scores weigh in the mean of an "ensemble", above 0 and below 1.

    Attributes:
      encoder: `AlbertEncoder`; layers: `WeightedSum` or None; head: one of `heads`; wide: `WideScores` or None.
    """

    def __init__(self, config, task, seed=0, compute_dtype=tf.float32, head_dropout=0.0, features_dropout=0.0,
                 features_training="joint", features_share=0.5, name=None):
        super().__init__(name=name)
        self.config, self._head_dropout, self._features_dropout = config, head_dropout, features_dropout
        self._is_ensemble, self._share = features_training == "ensemble", features_share
        self._uses_pooler = task.uses_pooler and task.pooling == "first"
        self._mean = None if task.pooling == "first" else mean_of_rows if task.uses_pooler else means_of_words
        self.encoder = AlbertEncoder(config, seed, compute_dtype, name="encoder")
        self.layers = WeightedSum(config.num_hidden_layers + 1, name="layers") if task.layers == "sum" else None
        self._is_regression = task.is_regression
        head = HEADS["regression" if task.is_regression else task.head]
        self.head = head(config.hidden_size, len(task.labels), self.encoder.initializer, name="head")
        self.wide = None
        if task.features != "none":
            self.wide = WideScores(NUM_BUCKETS[task.features], len(task.labels), name="wide")

    @property
    def batch_signature(self):
        """A batch as `batches.pad` makes it. Any number of rows, positions and slots: one trace serves them all."""
        features = {"features": tf.TensorSpec([None, None, None], tf.int32, name="features")} if self.wide else {}
        return {**features, **{name: _matrix(name) for name in _INPUTS},
                "labels": _matrix("labels", tf.float32 if self._is_regression else tf.int32),
                "weights": _matrix("weights", tf.float32)}

    def trained_variables(self):
        """The variables that the task's loss depends on, by path: all, without a pooler that is not used."""
        return {path: variable for path, variable in named_variables(self).items()
                if self._uses_pooler or not path.startswith(_POOLER)}

    def __call__(self, input_ids, input_mask, segment_ids, positions, dropout_seed=None, features=None, layout=None):
        """The scores of the labels of each slot: those of the network and, where there is one, of the wide part, added.

        Args:
          input_ids, input_mask, segment_ids: int32 (B, S); see `AlbertEncoder`.
          positions: int32 (B, W), the position that each slot begins at, 0 where there is none; a task that uses the
            pooler has one slot, the row itself.
          dropout_seed: int32 (2,) while training; None switches dropout off.
          features: int32 (B, W, F), those of each slot, 0 where there is none; of a model that has a wide part.
          layout: int32 (R, P), to compute the rows side by side in fewer; see `packed_inputs`.

        Returns:
          float32 logits (B, W, L); what stands in slots of padding means nothing.
        """
        return tf.add_n(self._parts(input_ids, input_mask, segment_ids, positions, dropout_seed, features, layout))

    def _parts(self, input_ids, input_mask, segment_ids, positions, dropout_seed, features, layout=None):
        """The scores of the network and of the wide part, each as `__call__` gives them; a list of one or two."""
        slots = tf.zeros_like(input_ids[:, :1]) if self._uses_pooler else positions
        read = None if self._mean else flat_positions(slots, tf.shape(input_ids)[1])
        outputs = self._outputs(input_ids, input_mask, segment_ids, dropout_seed, read, layout)
        wanted = input_ids if self._mean else slots
        x = tf.reshape(outputs, tf.concat([tf.shape(wanted), outputs.shape[-1:]], axis=0))
        if self._mean:
            x = self._mean(tf.cast(x, tf.float32), positions, input_mask)
        if self._uses_pooler:
            x = self.encoder.pooled(tf.cast(x, self.encoder.compute_dtype))
        # The encoder's own dropout draws from this seed and from the next one.
        dropout, features_dropout = (Dropout(rate, None if dropout_seed is None else dropout_seed + number)
                                     for rate, number in ((self._head_dropout, 2), (self._features_dropout, 3)))
        logits = self.head(dropout(tf.cast(x, tf.float32)))
        return [logits, self.wide(features, features_dropout)] if self.wide else [logits]

    def _outputs(self, input_ids, input_mask, segment_ids, dropout_seed, read, layout):
        """What the last layer or the sum of all gives at `read`, int (M,) into the B * S positions, or at all of them."""
        rows = input_ids, input_mask, segment_ids
        if layout is not None:
            rows, places = packed_inputs(layout, input_ids, segment_ids)
            read = places if read is None else tf.gather(places, read)
        # A sum of layers wants them whole, and so does a mean.
        whole = self.layers or self._mean
        states = self.encoder.hidden_states(*rows, packed=layout is not None, dropout_seed=dropout_seed,
                                            read=None if whole else read)
        outputs = self.layers(states) if self.layers else states[-1]
        return at_positions(outputs, read) if whole else outputs

    def logits(self, batch, dropout_seed=None):
        """`__call__` with a dict as `batches.pad` gives it, and perhaps a `layout`."""
        return self(*(batch[name] for name in _INPUTS), dropout_seed, batch.get("features"), batch.get("layout"))

    def loss(self, batch, dropout_seed):
        """What training makes small, a float32 scalar: the loss of the head, summed over the slots.

        In an ensemble each part is trained as if it were the whole, and this is the mean of their losses. A part is divided
        by its share in its own loss, so that the sum of both, which is what `__call__` gives, is their weighted mean: of
        log-probabilities, a logarithmic opinion pool (Smith, Cohn and Osborne, "Logarithmic Opinion Pools for Conditional
        Random Fields", 2005, equation 1). They have the head's bias in common, and its transitions.

        Args:
          batch: as `batches.pad` makes it.
          dropout_seed: int32 (2,).
        """
        parts = self._parts(*(batch[name] for name in _INPUTS), dropout_seed, batch.get("features"))
        wholes = [tf.add_n(parts)]
        if self._is_ensemble and self.wide:
            network, wide = parts
            bias, share = self.head.bias, self._share
            wholes = [(network - bias) / (1 - share) + bias, wide / share + bias]
        losses = [self.head.loss(logits, batch["labels"], batch["weights"]) for logits in wholes]
        return tf.add_n(losses) / len(losses)


def depth_of(path):
    """How far a variable of a `TaskModel` is from the head, by its path; see `optimizer.layerwise`.

    0: the head, the pooler and the weights of the layers' sum; 1: the shared layer; 2: the embeddings with their
    mapping to the hidden size.
    """
    return next(depth for prefix, depth in _DEPTHS.items() if path.startswith(f"{prefix}/"))


def write_task_model(folder, model, task, tokenizer):
    """Write a model, or replace the weights of the one there; each file is whole at any moment.

    Args:
      model: `TaskModel`.
      task: `tasks.Task`.
      tokenizer: `tokenizer.Tokenizer`.

    Raises:
      InputError: the folder cannot be written.
    """
    arrays = {path: variable.numpy() for path, variable in named_variables(model).items()}
    for name, content in ((CONFIG, _json(model.config.to_dict())), *tokenizer.files(VOCABULARY).items(),
                          (TASK, _json({**task_values(task), _SHA256: tokenizer.sha256})), (WEIGHTS, save(arrays))):
        with whole_file(os.path.join(folder, name), "output_dir") as file:
            file.write(content)


def read_task_model(folder, option="model"):
    """Read what `write_task_model` wrote.

    Returns:
      (`TaskModel` in float32, `tasks.Task`, `tokenizer.Tokenizer`).

    Raises:
      InputError: no task model there, or one with a file that is damaged or of another size than the others say.
    """
    if not is_task_folder(folder):
        raise InputError("no task model there", "give a folder model/ that bin/finetune made", name=option,
                         value=folder)
    source = setting(option, folder)
    values = _read_json(folder, TASK, source)
    task = task_of_values(values, source)
    config = AlbertConfig.from_dict(_read_json(folder, CONFIG, source), source)
    tokenizer = Tokenizer.from_file(os.path.join(folder, VOCABULARY), option)
    if tokenizer.vocab_size != config.vocab_size:
        raise InputError(f"its {VOCABULARY} has {tokenizer.vocab_size} pieces, its model {config.vocab_size}",
                         "copy the folder again", value=source)
    if values.get(_SHA256, tokenizer.sha256) != tokenizer.sha256:
        raise InputError(f"its {VOCABULARY} is not the vocabulary that the model was trained with",
                         "copy the folder again", value=source)
    model = TaskModel(config, task, seed=None)
    read_weights(folder, model, option)
    return model, task, tokenizer


def read_weights(folder, model, option):
    """Give a `TaskModel` the weights of a folder; InputError when they are damaged or do not fit."""
    restore_variables(named_variables(model), folder, WEIGHTS, setting(option, folder), f"its {CONFIG} and {TASK}")


def copy_task_model(source, target):
    """Copy a task model; each file appears whole."""
    for name in (CONFIG, VOCABULARY, TOKENIZER_CONFIG, TASK, WEIGHTS):
        if name == TOKENIZER_CONFIG and not os.path.exists(os.path.join(source, name)):
            continue
        with open(os.path.join(source, name), "rb") as content, \
                whole_file(os.path.join(target, name), "output_dir") as file:
            shutil.copyfileobj(content, file)


def task_values(task):
    """What `task_of_values` makes the task from; a JSON-able dict."""
    return {"format": FORMAT, "kind": task.kind, "task": task.name, "labels": list(task.labels), "head": task.head,
            "pooling": task.pooling, "layers": task.layers, "max_seq_length": task.max_seq_length,
            "long_texts": task.long_texts, "features": task.features}


def task_of_values(values, source):
    """The `Task` of a `task.json`; InputError, naming `source`, for another format or a task that is not known."""
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise InputError(f"{TASK} is not of the format {FORMAT!r}", "give a folder that bin/finetune made",
                         value=source)
    # A model of a task that this installation does not have is still one of its kind.
    name = values["task"] if values.get("task") in TASK_NAMES else values.get("kind")
    try:
        return task_class(name, source)(values["labels"], values["head"], values["max_seq_length"],
                                        values["long_texts"], values["pooling"], values["layers"],
                                        values.get("features", "none"))
    except (KeyError, TypeError) as error:
        raise InputError(f"{TASK} lacks or spoils {error}", "copy the folder again", value=source) from None


def _json(values):
    return json.dumps(values, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def _read_json(folder, name, source):
    try:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{name} cannot be read as JSON ({error})", "copy the folder again", value=source) from None
