"""Where a run stands, and how often it applies the shared layer there."""

import dataclasses

import pytest

from albert_hvd.errors import InputError
from albert_hvd.training.options import PretrainingOptions
from albert_hvd.training.schedule import Place, Schedule, parse_shares

OPTIONS = PretrainingOptions(input_file="a", output_dir="b", bert_config_file="c", num_train_steps=100)


@pytest.fixture
def config(tiny_config):
    return dataclasses.replace(tiny_config, num_hidden_layers=4)


def schedule(config, **changes):
    return Schedule(dataclasses.replace(OPTIONS, **changes), config)


@pytest.mark.parametrize("layers, counts", [(1, [1, 1, 1]), (2, [1, 1, 2]), (4, [1, 2, 4]), (12, [1, 6, 12]),
                                            (5, [1, 3, 5])])
def test_new_weights_begin_with_few_passes(tiny_config, layers, counts):
    found = schedule(dataclasses.replace(tiny_config, num_hidden_layers=layers))
    assert [found.passes(share) for share in (0.0, 0.15, 0.45)] == counts
    assert [found.passes(share) for share in (0.149, 0.449, 1.0)] == counts


@pytest.mark.parametrize("changes", [{"init_checkpoint": "x"}, {"initialization": "plain"}, {"passes": "0:4"}])
def test_other_weights_have_all_passes_from_the_beginning(config, changes):
    assert schedule(config, **changes).passes(0.0) == 4


def test_by_updates(config):
    found = schedule(config, passes="0:2,0.5:4", sentence_loss_weight="0:0.25,0.5:1")
    assert found.share(25, used_sec=1e9) == 0.25 and found.share(200, 0.0) == 1.0
    assert found.place(0.49) == Place(None, 2, 0.25)
    assert found.place(0.5) == Place(None, None, 1.0)


@pytest.mark.parametrize("kind", ["time", "cpu_time"])
def test_by_time(config, kind):
    found = schedule(config, lr_schedule=kind, train_minutes=10.0, passes="0:4")
    assert found.share(99, used_sec=150.0) == 0.25
    # The learning rate's place, in updates of a run of num_train_steps.
    assert found.place(0.25).schedule_step == 25.0
    assert found.place(0.0).schedule_step > 0  # 0 would mean: the number of the update


@pytest.mark.parametrize("text", ["", "4", "0:1,", "0.1:1,0.5:4", "0:1,0.5:2,0.5:4", "0:1,1:4", "0:1,x:4", "0:1.5,0.5:4",
                                  "0:0,0.5:4", "0:1,nan:4", "0:1,0.5:2", "0:8,0.5:4"])
def test_a_schedule_that_cannot_be_is_refused(config, text):
    with pytest.raises(InputError) as error:
        schedule(config, passes=text)
    assert (error.value.name, error.value.value) == ("passes", text)


@pytest.mark.parametrize("text", ["0:-1", "0:101", "0:nan", "0:"])
def test_a_weight_that_cannot_be_is_refused(config, text):
    with pytest.raises(InputError):
        schedule(config, sentence_loss_weight=text)


@pytest.mark.parametrize("changes", [{"train_minutes": 5.0}, {"lr_schedule": "time"}])
def test_time_needs_both_of_its_options(config, changes):
    with pytest.raises(InputError):
        schedule(config, **changes)


def test_parse_shares():
    assert parse_shares("0:0.2,0.7:.5", "x", float) == [(0.0, 0.2), (0.7, 0.5)]
