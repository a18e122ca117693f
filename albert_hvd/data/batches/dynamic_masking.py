"""Masks that are drawn again in each epoch."""

import numpy as np

from albert_hvd.data.records.masking import draw_bits, mask_batch, unmask


class DynamicMasking:
    """The `transform` that draws each record's masks again in each epoch.

    A mask depends on the seed, the epoch and the record's number alone: not on the batch, nor on the
    number of ranks.
    """

    def __init__(self, tokenizer, seed, masking="whole_word", masked_lm_prob=0.15):
        self._tokenizer, self._seed = tokenizer, seed
        self._masking, self._masked_lm_prob = masking, masked_lm_prob

    def __call__(self, batch, epochs, record_numbers):
        """The batch with other masks; the unmasked text is put together from its labels."""
        most, seq = batch["masked_lm_ids"].shape[1], batch["input_ids"].shape[1]
        original = unmask(*(batch[field] for field in ("input_ids", "masked_lm_positions", "masked_lm_ids",
                                                       "masked_lm_weights")))
        generators = [np.random.Generator(np.random.PCG64([self._seed, epoch, number]))
                      for epoch, number in zip(epochs.tolist(), record_numbers.tolist())]
        bits = [draw_bits(generator, 1, seq, most, self._masking) for generator in generators]
        masked = mask_batch(original, batch["input_mask"].sum(axis=1), self._tokenizer, np.concatenate(bits),
                            self._masking, self._masked_lm_prob, most)
        return {**batch, "input_ids": masked.input_ids, "masked_lm_positions": masked.positions,
                "masked_lm_ids": masked.ids, "masked_lm_weights": masked.weights}
