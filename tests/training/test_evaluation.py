"""Which evaluation of a run counts as the best, and what a model must beat."""

import math

import numpy as np
import pytest
import tensorflow as tf

from albert_hvd.data.records.dataset import RecordDataset
from albert_hvd.model.config import AlbertConfig
from albert_hvd.model.pretraining_model import AlbertPretrainer
from albert_hvd.training import evaluation, validate
from albert_hvd.training.evaluation import BestEvaluation, results_of
from albert_hvd.training.options import ValidationOptions


def test_the_lowest_loss_is_the_best_and_the_others_are_counted():
    best = BestEvaluation()
    seen = [best.add(step, loss) for step, loss in ((10, 3.0), (20, 2.0), (30, 2.0), (40, 2.5))]
    assert seen == [True, True, False, False]
    assert best == BestEvaluation(last_step=40, best_step=20, best_loss=2.0, evaluations_since_best=2)


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_never_the_best(loss):
    best = BestEvaluation()
    assert not best.add(10, loss)
    assert best.add(20, 5.0)
    assert not best.add(30, loss)
    assert best.best_step == 20


def test_sums_are_divided_once():
    assert results_of([6.0, 1.0, 4.0, 3.0, 2.0, 2.0]) == {
        "loss": 3.0, "masked_lm_loss": 1.5, "masked_lm_accuracy": 0.25, "next_sentence_loss": 1.5,
        "next_sentence_accuracy": 1.0}


@pytest.mark.parametrize("compiled", [False, True])
def test_records_by_length_without_padding_give_the_sums_of_all_at_once(training_files, compiled):
    config = AlbertConfig.from_json_file(training_files / "config.json")
    dataset = RecordDataset([str(training_files / "eval.tfrecord")], 16, 3, 50)
    model = AlbertPretrainer(config, seed=1, compiled=compiled)
    whole = results_of(model({name: tf.constant(array) for name, array in dataset.read(np.arange(13)).items()}))
    evaluator, widths = evaluation.Evaluator(model, dataset, eval_batch_size=3), []
    sums = evaluator._sums
    evaluator._sums = lambda batch, passes: widths.append(batch["input_ids"].shape[1]) or sums(batch, passes)
    assert evaluator() == pytest.approx(whole, abs=1e-5)
    assert widths == sorted(widths) and set(widths) == {8, 16}


class CountedRecords:
    """Records whose masked piece is their number modulo 3; notes which are read."""

    num_records = 90

    def __init__(self):
        self.read_numbers = []

    def read(self, numbers):
        self.read_numbers.extend(numbers.tolist())
        return {"masked_lm_ids": (numbers % 3)[:, None], "masked_lm_weights": np.ones((len(numbers), 1), np.float32)}


def test_the_baseline_looks_at_so_many_training_records_only():
    train, held_out = CountedRecords(), CountedRecords()
    loss = evaluation.unigram_loss(train, held_out, 3, max_train_records=10)
    assert len(train.read_numbers) == 10 and train.read_numbers[0] == 0 and train.read_numbers[-1] == 89
    assert held_out.read_numbers == list(range(90))
    counts = np.bincount(np.array(train.read_numbers) % 3, minlength=3) + 1
    assert loss == pytest.approx(-np.log(counts / counts.sum()).mean())


def test_validation_samples_the_baseline(monkeypatch, training_files, tmp_path):
    asked = []
    monkeypatch.setattr(validate.distributed, "initialize", lambda use_gpu: None)
    monkeypatch.setattr(evaluation, "unigram_loss", lambda *arguments: asked.append(arguments[2:]) or 1.0)
    validate.validate(ValidationOptions(
        input_file=f"{training_files}/eval.tfrecord", baseline_input_file=f"{training_files}/train-*.tfrecord",
        output_dir=str(tmp_path), bert_config_file=f"{training_files}/config.json", max_seq_length=16,
        max_predictions_per_seq=3, untrained=True))
    assert asked == [(50, evaluation.FREQUENCY_RECORDS)]
