"""A trained model from Python: vectors of texts, and candidates for masked words."""

import numpy as np
import tensorflow as tf

from albert_hvd.data.text.masked_text import MaskedTextTokenizer, fill
from albert_hvd.errors import InputError
from albert_hvd.model.config import AlbertConfig
from albert_hvd.serving.formats.sources import (read_model, say_what_is_left_out, trained_positions,
                                                warn_of_other_architecture)
from albert_hvd.serving.formats.vocabulary import fitting_tokenizer
from albert_hvd.serving.packed_batches import batches_at_a_time, overlapped, packed_batches
from albert_hvd.serving.saved_model import POOLINGS, ServingModel

# Texts of one call of the model at most, for each mask has a score for every piece of the vocabulary.
_MAX_TEXTS = 64


def load(path, tokenizer=None, config=None, option="path"):
    """Load a model: a run of bin/pretrain or one of its checkpoints, a TF1 checkpoint, a Hugging Face folder.

    Args:
      path: the folder, or the prefix of a TF1 checkpoint.
      tokenizer: SentencePiece .model; None: the one in the folder.
      config: JSON file of a TF1 checkpoint's sizes; None: the one beside it.
      option: what messages call `path`.

    Returns:
      `TextModel`.

    Raises:
      InputError: no model there, no vocabulary known, or one that does not fit the model.
    """
    source = read_model(path, option, config=config and AlbertConfig.from_json_file(config))
    warn_of_other_architecture(source, config)
    say_what_is_left_out(source)
    return TextModel(source, fitting_tokenizer(source, tokenizer))


class TextModel:
    """A model with its vocabulary.

    Args:
      source: a `sources.ModelSource`.
      tokenizer: the `tokenizer.Tokenizer` that it was trained with.

    Attributes:
      max_seq_length: the longest row, <cls> and <sep> included, that it is given: what the model has positions for,
        or the `max_seq_length` of its run when that is less, for further positions were never trained.
    """

    def __init__(self, source, tokenizer):
        self._folder, self._config, self._tokenizer = source.folder, source.config, tokenizer
        self._texts = MaskedTextTokenizer(tokenizer)
        self._model = ServingModel(source)
        self._at_a_time = batches_at_a_time(source.config.hidden_size)
        self.max_seq_length = trained_positions(source.folder, source.config)

    def encode(self, texts, pooling="mean"):
        """One vector for each text: float32 (B, H).

        A text of more pieces than `max_seq_length` leaves room for is cut at the end.

        Args:
          texts: list of str.
          pooling: "mean" over all pieces, <cls> and <sep> included; "cls", the output at <cls>; "pooler", the
            same through the pooler, which is trained for the order of sentences.

        Raises:
          InputError: another `pooling`, or "pooler" for a model without pooler.
        """
        if pooling not in POOLINGS:
            raise InputError(f"pooling={pooling!r} is unknown", f"give one of {', '.join(POOLINGS)}")
        if pooling == "pooler" and not self._model.has_pooler:
            raise InputError("this model has no pooler", "give pooling=\"mean\" or \"cls\"", value=self._folder)
        bodies = [body[:self._most_pieces] for body in self._texts.encode_lines(texts)]
        vectors = np.zeros([len(bodies), self._config.hidden_size], np.float32)

        def compute(batch):
            rows = self._rows([bodies[number] for number in batch.numbers], batch)
            return batch.numbers, self._model.vectors[pooling](*rows).numpy()

        for numbers, of_batch in self._computed(compute, bodies):
            vectors[numbers] = of_batch
        return vectors

    def fill_mask(self, text, top_k=5):
        """Candidates for each mask of a text; see `fill_masks`."""
        return self.fill_masks([text], top_k)[0]

    def fill_masks(self, texts, top_k=5):
        """The likeliest pieces for each `<mask>` (or `[MASK]`) of each text, each mask seen with the others masked.

        Of a text with more pieces than `max_seq_length` leaves room for, it sees those around the mask.

        Args:
          texts: list of str.
          top_k: number of candidates.

        Returns:
          For each text a list with, for each of its masks, a list of (piece with its U+2581 mark, probability,
          text with this mask filled in), the likeliest first.

        Raises:
          InputError: a text without mask, or a model without masked-LM head.
        """
        if not self._model.has_masked_lm:
            raise InputError("this model has no masked-LM head, so it cannot fill in masks",
                             "give one that was exported or saved with it", value=self._folder)
        if top_k < 1:
            raise InputError(f"top_k={top_k}: give at least 1")
        bodies = self._texts.encode_lines(texts)
        positions = [np.flatnonzero(body == self._tokenizer.mask_id) for body in bodies]
        for text, found in zip(texts, positions, strict=True):
            if not found.size:
                raise InputError(f"no mask in {text!r}: write <mask> where a word is to be guessed")
        # A row for each mask, so that each has a window of its own and the scores of a batch stay small.
        windows = [_window(body, position, self._most_pieces)
                   for body, found in zip(bodies, positions, strict=True) for position in found]
        candidates = iter(self._candidates(windows, top_k))
        return [[[(piece, probability, fill(text, number, piece)) for piece, probability in next(candidates)]
                 for number in range(found.size)] for text, found in zip(texts, positions, strict=True)]

    @property
    def _most_pieces(self):
        """Pieces of a row besides <cls> and <sep>."""
        return self.max_seq_length - 2

    def _candidates(self, windows, top_k):
        """For each (body, position of the mask): list of (piece, probability)."""
        found = [None] * len(windows)

        def compute(batch):
            bodies, positions = zip(*(windows[number] for number in batch.numbers), strict=True)
            masked_positions = np.array(positions, np.int32)[:, None] + 1  # behind <cls>
            log_probs = self._model.fill_mask_packed(*self._rows(bodies, batch), masked_positions)[:, 0]
            # Sorting the whole vocabulary would take longer than a small model does.
            best = tf.math.top_k(log_probs, min(top_k, self._config.vocab_size))
            return batch.numbers, best.indices.numpy(), best.values.numpy()

        for numbers, indices, log_probs in self._computed(compute, [body for body, _ in windows]):
            for number, ids, values in zip(numbers, indices, log_probs, strict=True):
                found[number] = [(self._tokenizer.piece(i), float(np.exp(value))) for i, value in zip(ids, values)]
        return found

    def _computed(self, compute, bodies):
        """What `compute` gives for each `PackedBatch` of the bodies."""
        lengths = [len(body) + 2 for body in bodies]
        return overlapped(compute, packed_batches(lengths, _MAX_TEXTS, at_a_time=self._at_a_time), self._at_a_time)

    def _rows(self, bodies, batch):
        """<cls> body <sep>, padded to the longest: input_ids and segment_ids, int32 (B, S) each, and their layout."""
        length = max(len(body) for body in bodies) + 2
        input_ids = np.full([len(bodies), length], self._tokenizer.pad_id, np.int32)
        for row, body in enumerate(bodies):
            input_ids[row, :len(body) + 2] = [self._tokenizer.cls_id, *body, self._tokenizer.sep_id]
        return input_ids, np.zeros_like(input_ids), batch.layout(length)


def _window(body, position, size):
    """At most `size` ids around a position, and the position among them."""
    start = min(max(position - size // 2, 0), max(len(body) - size, 0))
    return body[start:start + size], position - start
