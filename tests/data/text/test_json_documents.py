"""JSON under any ending: nested keys, lists on the way, several keys, lines of which one is cut."""

import collections
import json

import pytest

from albert_hvd.data.text.documents import read_documents
from albert_hvd.errors import InputError

NAMES = ("a.ndjson", "a.json.nested", "a.txt", "a", "a.json", "a.data")
LINES = ['{"text": "satu\\ndua"}', '{"text": "tig', '{"text": "empat"}', '{"text": "lima", "meta": {"a": [1]}}']


def read(path, *options):
    return list(read_documents(str(path), *options))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content, field, documents", [
    ('{"text": "satu\\ndua"}\n{"text": "tiga"}\n', "text", [["satu", "dua"], ["tiga"]]),
    ('[{"asal": {"isi": "satu"}}, {"asal": {"isi": "dua"}}]', "asal.isi", [["satu"], ["dua"]]),
    ('{"asal": {"isi": "satu"}}\n{"asal": {"isi": "dua"}}', "asal.isi", [["satu"], ["dua"]]),
    ('{"data": [{"text": "satu"}, {"id": 1}, {"text": "dua"}], "meta": {}}', "data.text", [["satu"], ["dua"]]),
    ('{"data": [{"text": "satu"}]}\n{"data": [{"text": "dua"}]}\n', "data.text", [["satu"], ["dua"]]),
    ('{"a": [{"b": [{"c": "satu"}]}, {"b": [{"c": "dua"}, {"c": "tiga"}]}]}', "a.b.c", [["satu"], ["dua"], ["tiga"]]),
    ('[[{"text": "satu"}], [{"text": "dua"}]]', "text", [["satu"], ["dua"]]),
    ('{\n  "data": [\n{"text": "satu"},\n{"text": "dua"}\n]\n}\n', "data.text", [["satu"], ["dua"]]),
    ('[\n{"tweet": {"full_text": "satu"}}\n]\n', "tweet.full_text", [["satu"]]),
    ('window.YTD.tweets.part0 = [\n{"tweet": {"full_text": "satu"}}\n]\n', "tweet.full_text", [["satu"]]),
    ('{"body": "satu"}\n{"konten": "dua"}\n{"text": null, "body": "tiga"}\n', "text,body,konten",
     [["satu"], ["dua"], ["tiga"]]),
    ('{"a.b": "satu"}\n{"a": {"b": "dua"}}\n{"x": {"y.z": {"w": "tiga"}}}\n', "a.b,x.y.z.w",
     [["satu"], ["dua"], ["tiga"]]),
    ('{"text,body": "satu"}', "text,body", [["satu"]]),
    # An empty text is none where another key has one.
    ('{"text": "", "body": "satu"}\n{"text": " ", "body": ["dua"]}\n{"text": "tiga", "body": "x"}\n', "text,body",
     [["satu"], ["dua"], ["tiga"]]),
    # The elements of a list differ as the files of a folder do.
    ('{"statuses": [{"full_text": "satu", "text": "sa…"}, {"text": "dua"}, {"id": 3}]}',
     "statuses.full_text,statuses.text", [["satu"], ["dua"]]),
    ('{"messages": [{"text": ["Lihat ", {"type": "bold", "text": "ini"}, "!"]}]}', "messages.text", [["Lihat ini!"]]),
    ('[["satu", "dua"], ["tiga", ["kunci"], 0]]', "text", [["satu", "dua"], ["tiga"]])])
def test_json_is_json_under_any_ending(tmp_path, name, content, field, documents):
    (tmp_path / name).write_text(content)
    assert read(tmp_path / name, field) == documents


@pytest.mark.parametrize("order, number", [([0, 1, 2, 3], 2), ([1, 0, 2, 3], 1), ([0, 2, 3, 1], 4)])
@pytest.mark.parametrize("name", ["a.jsonl", *NAMES])
def test_a_cut_line_is_named_or_left_out(tmp_path, order, number, name):
    (tmp_path / name).write_text("\n".join(LINES[line] for line in order))
    with pytest.raises(InputError, match=rf"/{name}: line {number}: not valid JSON near .*skip_bad_lines"):
        read(tmp_path / name)
    counts = collections.Counter()
    assert read(tmp_path / name, "text", "utf-8", counts) == [["satu", "dua"], ["empat"], ["lima"]]
    assert counts == {"bad_lines": 1}


def test_a_line_of_zero_bytes_is_a_bad_line(tmp_path):
    """As a machine that lost its power leaves it."""
    (tmp_path / "a.jsonl").write_text(f"{LINES[0]}\n{chr(0) * 20}\n{LINES[2]} {LINES[2]}\n")
    counts = collections.Counter()
    assert read(tmp_path / "a.jsonl", "text", "utf-8", counts) == [["satu", "dua"], ["empat"], ["empat"]]
    assert counts == {"bad_lines": 1}


def test_an_error_in_a_value_of_many_lines_has_its_line(tmp_path):
    (tmp_path / "a.json").write_text('[\n  {"text": "satu"},\n  {"text" oops}\n]\n')
    with pytest.raises(InputError, match="a.json: line 3: not valid JSON"):
        read(tmp_path / "a.json")


def test_the_keys_are_said_as_they_can_be_given(tmp_path):
    page = {"data": [{"text": "satu", "user": {"name": "x"}}], "meta": {"n": 1}, "x": []}
    (tmp_path / "a.json").write_text(json.dumps(page))
    with pytest.raises(InputError, match="text_field=text: nothing in .*a.json has it; its keys are "
                                         "data.text, data.user.name, meta.n, x$"):
        read(tmp_path / "a.json")


def test_a_list_of_keys_is_for_tables_too(tmp_path):
    for name, content in (("a.csv", "id,body\n1,satu\n"), ("b.csv", "konten;id\nsatu;1\n"),
                          ("c.csv", "id\tbody\n1\tsatu\n"),
                          ("d.tsv", "id\tkonten\n1\tsatu\n"), ("e.csv", 'body,konten\n"",satu\n')):
        (tmp_path / name).write_text(content)
        assert read(tmp_path / name, "text,body,konten") == [["satu"]]
    with pytest.raises(InputError, match="no such column; its columns are id, body"):
        read(tmp_path / "a.csv", "text,isi")
