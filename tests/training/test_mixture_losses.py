"""The losses of a mixture's sources: those of their records alone, however the batch is cut and packed."""

import numpy as np
import pytest
from test_step import LENGTHS, batch_of

from albert_hvd.model.encoder import named_variables
from albert_hvd.model.pretraining_model import AlbertPretrainer, SourceSums
from albert_hvd.training.metrics import MetricsWindow
from albert_hvd.training.optimizers import OPTIMIZERS
from albert_hvd.training.step import StepResult, TrainingStep

SOURCES = np.int32([[1], [0], [1], [2]])  # of the four records; there is a fourth source, with none


@pytest.mark.parametrize("packed, accumulation_steps, xla", [
    (False, 1, False), (False, 2, False), (True, 2, False), (True, 1, True)])
def test_each_source_has_the_sums_of_its_records(tiny_config, packed, accumulation_steps, xla):
    model = AlbertPretrainer(tiny_config, 3, static_shapes=xla)
    whole = batch_of(tiny_config)
    wanted = np.zeros((4, 4))
    for source in range(3):
        rows = SOURCES[:, 0] == source
        sums = model({name: values[rows] for name, values in whole.items()})
        wanted[:, source] = [sums.masked_lm_loss, sums.masked_lm_weight, sums.sentence_loss, sums.sentence_weight]
    optimizer = OPTIMIZERS["adamw"](learning_rate=0.01, num_train_steps=60)
    optimizer.build(named_variables(model), compiled=xla)
    step = TrainingStep(model, optimizer, accumulation_steps, xla, num_sources=4)
    batch = {**batch_of(tiny_config, packed), "source_numbers": SOURCES.reshape((2, 2) if packed else (4, 1))}
    result = step(batch, (1, 2), False)
    np.testing.assert_allclose(np.reshape(result.by_source, (4, 4)), wanted, rtol=1e-5, atol=1e-5)
    assert len(LENGTHS) == wanted[3].sum() and result.loss_scale == 1.0
    np.testing.assert_allclose([result.masked_lm_loss, result.sentence_loss], wanted[[0, 2]].sum(axis=1), rtol=1e-5)


def test_the_log_has_each_source_s_share_and_loss():
    window = MetricsWindow(4, ["news", "tweets", "rare"])
    for factor in (1, 3):
        sums = SourceSums([6 * factor, 2, 0], [3, 1, 0], [2 * factor, 1, 0], [4 * factor, 1 * factor, 0])
        window.add(StepResult(*range(14), by_source=[value for values in sums for value in values]), 1.0, 0.1)
    sources = window.record(2, 16, 5.0)["sources"]
    # 24 / 6 + 8 / 16, and 4 / 2 + 2 / 4.
    assert sources == {"news": {"share": 0.8, "loss": 4.5, "masked_lm_loss": 4.0, "sentence_loss": 0.5},
                       "tweets": {"share": 0.2, "loss": 2.5, "masked_lm_loss": 2.0, "sentence_loss": 0.5},
                       "rare": {"share": 0.0}}
    assert "sources" not in MetricsWindowOfOneStep().record(1, 16, 5.0)


class MetricsWindowOfOneStep(MetricsWindow):
    """Of a corpus that is not mixed."""

    def __init__(self):
        super().__init__(4)
        self.add(StepResult(*range(14), by_source=[]), 1.0, 0.1)
