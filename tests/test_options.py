"""Options: the bounds that their flags get."""

import dataclasses

import pytest

from albert_hvd.options import bounds, option


@pytest.mark.parametrize("kind, field, expected", [
    (int, option(5), (1, None)), (int, option(0), (0, None)), (int, option(5, least=0), (0, None)),
    (int, option(None, least=0, most=9), (0, 9)), (float, option(0.5), (0.0, None)),
    (float, option(0.95, least=0.9, most=1.0), (0.9, 1.0))])
def test_bounds(kind, field, expected):
    made = dataclasses.make_dataclass("Options", [("number", kind, field)])
    assert bounds(dataclasses.fields(made)[0]) == expected


def test_an_option_without_a_default_must_be_given():
    made = dataclasses.make_dataclass("Options", [("path", str, option(help="a file"))])
    assert made("a").path == "a"
    with pytest.raises(TypeError, match="path"):
        made()
