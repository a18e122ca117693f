"""One update: its micro-batches, precisions, XLA and skipped updates, in a world of one rank."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from small_batches import pack_two_rows, random_batch

from albert_hvd.model.encoder import named_variables
from albert_hvd.model.precision import COMPUTE_DTYPES
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.training.optimizers import OPTIMIZERS
from albert_hvd.training.step import TrainingStep

LENGTHS = [7, 5, 12, 9]


def make_step(config, precision="float32", optimizer="adamw", accumulation_steps=1, xla=False, recompute=False,
              **options):
    """(model, optimizer, `TrainingStep`) with the weights of seed 3."""
    model = AlbertPretrainer(config, 3, COMPUTE_DTYPES[precision], static_shapes=xla, recompute=recompute)
    settings = {"learning_rate": 0.01, "num_train_steps": 60, "num_warmup_steps": 5, **options}
    optimizer = OPTIMIZERS[optimizer](**settings)
    optimizer.build(named_variables(model), compiled=xla)
    return model, optimizer, TrainingStep(model, optimizer, accumulation_steps, xla)


def batch_of(config, packed=False):
    """Four rows of the lengths above, or the same records in two packed rows of 16 and 4 free positions."""
    batch = random_batch(config, 4, 16, LENGTHS)
    if not packed:
        return batch
    rows = []
    for first in (0, 2):
        pair = {name: array[first:first + 2] for name, array in batch.items()}
        row = pack_two_rows(pair, LENGTHS[first:first + 2])
        free = 21 - row["input_ids"].shape[1]
        rows.append({name: np.pad(array, ((0, 0), (0, free))) if array.shape[1] == 21 - free else array
                     for name, array in row.items()})
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def losses_of(step, batch, count, seed=(1, 2)):
    results = [step(batch, (seed[0], seed[1] + number), False) for number in range(count)]
    return [result.masked_lm_loss / result.masked_lm_weight + result.sentence_loss / result.sentence_weight
            for result in results]


# How far the loss may be off on its way from 5.1 to 0.3 in 30 updates.
@pytest.mark.parametrize("precision, tolerance", [("float16", 0.05), ("bfloat16", 0.1)])
def test_lower_precision_reaches_the_float32_loss(tiny_config, precision, tolerance):
    batch = batch_of(tiny_config)
    scale = {"initial_loss_scale": 32768.0, "loss_scale_growth_steps": 10} if precision == "float16" else {}
    _, optimizer, lower = make_step(tiny_config, precision, learning_rate=0.02, **scale)
    reference = losses_of(make_step(tiny_config, learning_rate=0.02)[2], batch, 30)
    losses = losses_of(lower, batch, 30)
    assert reference[0] > 5 and reference[-1] < 0.5
    np.testing.assert_allclose(losses, reference, atol=tolerance)
    assert losses != reference
    assert {variable.dtype for variable in optimizer.variables()} == {tf.float32, tf.int64}


@pytest.mark.parametrize("precision, packed, recompute, tolerance", [
    ("float32", True, True, 1e-5), ("float16", False, False, 0.01), ("bfloat16", True, False, 0.05)])
def test_xla_with_micro_batches_changes_nothing(tiny_config, precision, packed, recompute, tolerance):
    config = dataclasses.replace(tiny_config, num_hidden_layers=1)  # compiling takes long
    batch = batch_of(config, packed)
    scale = {"initial_loss_scale": 1024.0, "loss_scale_growth_steps": 10} if precision == "float16" else {}
    plain = losses_of(make_step(config, precision, **scale)[2], batch, 3)
    _, _, compiled = make_step(config, precision, accumulation_steps=2, xla=True, recompute=recompute, **scale)
    np.testing.assert_allclose(losses_of(compiled, batch, 3), plain, atol=tolerance)


def test_micro_batches_and_recomputation_make_the_update_of_the_whole_batch(tiny_config):
    weights = []
    for accumulation_steps, recompute in ((1, False), (4, False), (2, True)):
        model, _, step = make_step(tiny_config, optimizer="lamb", accumulation_steps=accumulation_steps,
                                   recompute=recompute)
        losses_of(step, batch_of(tiny_config), 5)
        weights.append(named_variables(model))
    for path, variable in weights[0].items():
        for other in weights[1:]:
            np.testing.assert_allclose(other[path], variable, atol=1e-5, err_msg=path)


def test_recomputation_with_dropout_trains_as_without_it(tiny_config):
    config = dataclasses.replace(tiny_config, hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    kept, again = (losses_of(make_step(config, accumulation_steps=2, recompute=recompute)[2], batch_of(config), 5)
                   for recompute in (False, True))
    np.testing.assert_allclose(again, kept, rtol=1e-5)
    assert len(set(kept)) == 5


def test_a_scale_too_large_for_float16_is_halved_until_it_fits(tiny_config):
    model, optimizer, step = make_step(tiny_config, "float16", initial_loss_scale=2.0**24, loss_scale_growth_steps=1000)
    before = {path: variable.numpy() for path, variable in named_variables(model).items()}
    result, skipped = step(batch_of(tiny_config), (0, 0), False), 0
    while result.skipped:
        skipped += 1
        assert (result.bad_steps, result.loss_scale) == (0, 2.0 ** (24 - skipped))
        for path, variable in named_variables(model).items():
            np.testing.assert_array_equal(variable, before[path])
        result = step(batch_of(tiny_config), (0, 0), False)
    assert 2 < skipped < 20
    assert optimizer.step.numpy() == 1
    assert np.isfinite(result.grad_norm)


@pytest.mark.parametrize("precision", sorted(COMPUTE_DTYPES))
def test_weights_that_are_not_finite_make_bad_steps_whatever_the_scale(tiny_config, precision):
    model, optimizer, step = make_step(tiny_config, precision, initial_loss_scale=1024.0, loss_scale_growth_steps=1000)
    kernel = named_variables(model)["encoder/pooler/kernel"]
    kernel.assign(tf.fill(kernel.shape, np.nan))
    results = [step(batch_of(tiny_config), (0, 0), False) for _ in range(2)]
    assert [result.bad_steps for result in results] == [1, 2]
    assert [result.loss_scale for result in results] == [1024.0, 1024.0]
    assert optimizer.step.numpy() == 0
