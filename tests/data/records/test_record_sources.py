"""The weights of a mixture, out of the value of the flag."""

import pytest

from albert_hvd.data.records.sources import Source, make_sources, parse_sources
from albert_hvd.errors import InputError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in ("news-1.tfrecord", "news-2.tfrecord", "tweets.tfrecord", "odd:2", "a,b.tfrecord"):
        (tmp_path / name).write_text("x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("pattern, wanted", [
    ("news*.tfrecord*:2,tweets*.tfrecord*:0.5", [("news*.tfrecord*", 2.0, ["news-1.tfrecord", "news-2.tfrecord"]),
                                                 ("tweets*.tfrecord*", 0.5, ["tweets.tfrecord"])]),
    ("news-1.tfrecord, tweets.tfrecord:1e1", [("news-1.tfrecord", 1.0, ["news-1.tfrecord"]),
                                              ("tweets.tfrecord", 10.0, ["tweets.tfrecord"])]),
    ("odd:2:3,news*", [("odd:2", 3.0, ["odd:2"]), ("news*", 1.0, ["news-1.tfrecord", "news-2.tfrecord"])]),
    ("news*,tweets*", []), ("odd:2", []), ("od*:2", []), ("a,b.tfrecord", [])])
def test_weights_and_names_with_colons(folder, pattern, wanted):
    assert parse_sources(pattern) == wanted


def test_sources_are_named_by_what_tells_them_apart(folder):
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "train").write_text("x")
    assert [name for name, *_ in parse_sources("a/train:1,b/train:2")] == ["a/train", "b/train"]
    assert [name for name, *_ in parse_sources("tweets*:1,tweets*:2")] == ["tweets* (1)", "tweets* (2)"]


@pytest.mark.parametrize("pattern, message", [
    ("news*:0", "^input_file=news.*:0: the weight 0 is not above 0"), ("news*:-1", "the weight -1 is not above 0"),
    ("news*:nan", "the weight nan"), ("news*:inf", "the weight inf"), ("news*:two", "no file matches"),
    ("newts*:2", "^input_file=newts.*: no file matches"), ("tweets.tfrecord:2,no.tfrecord:1", "no.tfrecord: no such file")])
def test_what_is_no_mixture_is_refused(folder, pattern, message):
    with pytest.raises(InputError, match=message):
        if not parse_sources(pattern):
            from albert_hvd.runtime.files import expand_input_files
            expand_input_files(pattern)


def test_records_per_epoch():
    parsed = [("news", 2.0, ["a", "b"]), ("tweets", 0.5, ["c"]), ("one", 1.0, ["d"])]
    assert make_sources(parsed, [10, 7, 41, 5]) == (
        Source("news", 2.0, 0, 17, 34), Source("tweets", 0.5, 17, 41, 21), Source("one", 1.0, 58, 5, 5))
    with pytest.raises(InputError, match="^input_file: 0.1 times the 4 records of few is less than one an epoch"):
        make_sources([("few", 0.1, ["a"])], [4])
