"""The encoder with the head of a task."""

import tensorflow as tf

from albert_hvd.finetuning.heads import HEADS
from albert_hvd.finetuning.readout import WeightedSum, mean_of_rows, means_of_words
from albert_hvd.model.encoder import AlbertEncoder, Dropout, named_variables

_POOLER = "encoder/pooler/"


def _matrix(name, dtype=tf.int32):
    return tf.TensorSpec([None, None], dtype, name=name)


# A batch as `batches.pad` makes it. Any number of rows, positions and slots: one trace serves them all.
BATCH = {**{name: _matrix(name) for name in ("input_ids", "input_mask", "positions", "labels")},
         "weights": _matrix("weights", tf.float32)}


class TaskModel(tf.Module):
    """Scores of a task's labels.

    Args:
      config: an `AlbertConfig`.
      task: a `tasks.base.Task`.
      seed: int; fixes the first weights.
      compute_dtype: of the encoder; the head computes in float32.
      head_dropout: rate of the dropout before the head while training.

    Attributes:
      encoder: `AlbertEncoder`; layers: `WeightedSum` or None; head: one of `heads`.
    """

    def __init__(self, config, task, seed=0, compute_dtype=tf.float32, head_dropout=0.0, name=None):
        super().__init__(name=name)
        self.config, self._head_dropout = config, head_dropout
        self._uses_pooler = task.uses_pooler and task.pooling == "first"
        self._mean = None if task.pooling == "first" else mean_of_rows if task.uses_pooler else means_of_words
        self.encoder = AlbertEncoder(config, seed, compute_dtype, name="encoder")
        self.layers = WeightedSum(config.num_hidden_layers + 1, name="layers") if task.layers == "sum" else None
        self.head = HEADS[task.head](config.hidden_size, len(task.labels), self.encoder.initializer, name="head")

    def trained_variables(self):
        """The variables that the task's loss depends on, by path: all, without a pooler that is not used."""
        return {path: variable for path, variable in named_variables(self).items()
                if self._uses_pooler or not path.startswith(_POOLER)}

    def __call__(self, input_ids, input_mask, segment_ids, positions, dropout_seed=None):
        """The scores of the labels of each slot.

        Args:
          input_ids, input_mask, segment_ids: int32 (B, S); see `AlbertEncoder`.
          positions: int32 (B, W), the position that each slot begins at, 0 where there is none; a task that uses the
            pooler has one slot, the row itself.
          dropout_seed: int32 (2,) while training; None switches dropout off.

        Returns:
          float32 logits (B, W, L); what stands in slots of padding means nothing.
        """
        states = self.encoder.hidden_states(input_ids, input_mask, segment_ids, dropout_seed=dropout_seed)
        outputs = self.layers(states) if self.layers else states[-1]
        if self._uses_pooler:
            x = self.encoder.pooled(tf.cast(outputs[:, :1], self.encoder.compute_dtype))
        elif self._mean:
            x = self._mean(tf.cast(outputs, tf.float32), positions, input_mask)
        else:
            x = tf.gather(outputs, positions, batch_dims=1)
        # The encoder's own dropout draws from this seed and from the next one.
        dropout = Dropout(self._head_dropout, None if dropout_seed is None else dropout_seed + 2)
        return self.head(dropout(tf.cast(x, tf.float32)))

    def logits(self, batch, dropout_seed=None):
        """`__call__` with a dict as `batches.pad` gives it; texts are one segment."""
        return self(batch["input_ids"], batch["input_mask"], tf.zeros_like(batch["input_ids"]), batch["positions"],
                    dropout_seed)
