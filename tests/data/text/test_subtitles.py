"""Only what is said is left of subtitles, and a file of them is one document."""

import gzip

import pytest

from albert_hvd.data.text import corpus
from albert_hvd.data.text.documents import read_documents
from albert_hvd.errors import InputError

SRT = """\ufeff1
00:00:01,500 --> 00:00:02,900
Awak nak pergi mana?

2
00:00:02,500 --> 00:00:03,900
- Saya nak balik
kampung.
- Jangan lupa.

3
00:00:03,500 --> 00:00:04,900 X1:1 X2:2
<i>Hujan turun <font color="#ff0">lagi</font></i>
1984

4
00:00:04,500 --> 00:00:05,900
{\\an8}Tolong tunggu [muzik
merdu] saya.
(ketawa)
"""
VTT = """WEBVTT - Filem
Kind: captions

STYLE
::cue { color: red }

NOTE satu nota
dua baris

pembuka
00:01.500 --> 00:02.900 align:start position:0%
<v Siti>Awak nak<00:02.000><c> pergi</c> mana?</v>

00:00:02.500 --> 00:00:03.900
Awak nak pergi mana?
Saya nak balik.

00:00:04.500 --> 00:00:05.900
[muzik] Jom!
"""
TTML = """<?xml version="1.0" encoding="UTF-8"?>
<tt xmlns="http://www.w3.org/ns/ttml"><head><title>Tajuk</title></head><body><div>
<p begin="1s" end="2s" xml:id="a">[lelaki]<br/>Syukur &amp; lega,<br/>ya.</p>
<p begin="2s">- Mana <span tts:color="red">Adam</span>?<br />- Dia
  ada.</p><p>[muzik]</p></div></body></tt>
"""
CASES = (
    (SRT,
     ["Awak nak pergi mana?", "Saya nak balik kampung.", "Jangan lupa.", "Hujan turun lagi 1984",
      "Tolong tunggu saya."]),
    (VTT, ["Awak nak pergi mana?", "Saya nak balik.", "Jom!"]),
    (TTML, ["Syukur & lega, ya.", "Mana Adam?", "Dia ada."]),
    (TTML.replace("<tt ", "<tt:tt ").replace("</tt>", "</tt:tt>").replace("<p", "<tt:p").replace(
        "</p", "</tt:p").replace("<br", "<tt:br"), ["Syukur & lega, ya.", "Mana Adam?", "Dia ada."]))


@pytest.mark.parametrize("text, said", CASES)
@pytest.mark.parametrize("name", ["filem.srt", "filem", "filem.txt"])
def test_dialogue(tmp_path, text, said, name):
    for number, data in enumerate((text.encode(), text.replace("\n", "\r\n").encode(), gzip.compress(text.encode()),
                                   text.replace("\ufeff", "").encode("utf-16"))):
        (tmp_path / name).write_bytes(data)
        assert list(read_documents(str(tmp_path / name))) == [said], number
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match="subtitles; run bin/preprocess on it first"):
        corpus.check_is_plain(str(tmp_path / name))


def test_times_in_text_are_text(tmp_path):
    (tmp_path / "a.txt").write_text("Masa 00:01:02 --> 00:01:03 sahaja.\n")
    assert list(read_documents(str(tmp_path / "a.txt"))) == [["Masa 00:01:02 --> 00:01:03 sahaja."]]


@pytest.mark.parametrize("text", ["WEBVTT\n", "1\n00:00:01,500 --> 00:00:02,900\n[muzik]\n"])
def test_without_a_word_there_is_no_document(tmp_path, text):
    (tmp_path / "a").write_text(text)
    assert list(read_documents(str(tmp_path / "a"))) == []
