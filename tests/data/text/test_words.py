"""Running text to words: what stays whole, and that nothing is lost."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.data.text.words import split_words


@pytest.mark.parametrize("text, words", [
    ("Harganya RM3.50.", "Harganya RM3.50 ."), ("(RM1,250.50)", "( RM1,250.50 )"), ("Rp5.000, ya", "Rp5.000 , ya"),
    ("Rp.5.000 S$3 US$2.50 €5 $3.50/kg", "Rp.5.000 S$3 US$2.50 €5 $3.50 / kg"), ("@RM3.50", "@ RM3.50"),
    ("lihat https://a.com/x?y=1,2. Ya", "lihat https://a.com/x?y=1,2 . Ya"),
    ("(http://t.co/aB3)", "( http://t.co/aB3 )"), ("www.b.my, ya", "www.b.my , ya"),
    ("di bernama.com/bm/ dan hasil.gov.my.", "di bernama.com/bm/ dan hasil.gov.my ."),
    ("TEMPO.CO, Jakarta", "TEMPO.CO , Jakarta"),
    ("di rumah.My mother", "di rumah . My mother"), ("makan.Dia", "makan . Dia"),
    ("sekolah.co-kurikulum", "sekolah . co-kurikulum"),
    ("tulis ke ali.abu@uni.edu.my!", "tulis ke ali.abu@uni.edu.my !"),
    ("@siti_99: hai @NajibRazak", "@siti_99 : hai @NajibRazak"),
    ("#MalaysiaBaru! #covid19", "#MalaysiaBaru ! #covid19"),
    ("Kanak-kanak makan.Dia 3.50, (ya)!", "Kanak-kanak makan . Dia 3.50 , ( ya ) !"),
    ("pukul 8:30 pada 12/3/2021, 45%", "pukul 8:30 pada 12/3/2021 , 45 %"),
    ("rama2 dan COVID19.", "rama2 dan COVID19 .")])
def test_words(text, words):
    assert split_words(text) == words.split(" ")


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=80) | st.text("aRM3.5,@#/:wcom $-' ", max_size=40))
def test_nothing_is_lost(text):
    assert "".join(split_words(text)) == "".join(text.split())
