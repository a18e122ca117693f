"""Cleaning steps one by one, what must survive them, and sentence splitting."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from albert_hvd.data.text import addresses, cleaning
from albert_hvd.data.text.sentences import BOUNDARY, split_sentences


few_characters = st.text(alphabet="aAiIx.!…,-=_ 1²é☺\ud800", max_size=12)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.lists(few_characters, max_size=5))
def test_steps_leave_out_only_lines_that_they_would_not_change(lines):
    for name, step in cleaning.STEPS:
        if name in cleaning.RUNS:
            assert cleaning.apply_step(name, step, lines) == list(map(step, lines))
    assert [cleaning.collapse_spaces(line) for line in lines] == [re.sub(r"\s+", " ", line).strip() for line in lines]


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(alphabet="wWcCoOiıİnfmMyY./:- 1h", max_size=16))
def test_lines_without_a_host_name_are_seen_at_once(line):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "HOST_ENDING", re.compile(""))  # in every line
        expected = cleaning.replace_links(line)
    assert cleaning.replace_links(line) == expected


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.text(alphabet=".!…?' \"A1a", max_size=16))
def test_boundaries_begin_where_stops_do(line):
    plain = re.compile(r"(?<![.!?…])([.!?…]+[\"'”’)\]»]*)\s+(?=[\"'“‘(\[«]*[A-Z0-9À-ÖØ-Þ])")
    assert [found.span(1) for found in BOUNDARY.finditer(line)] == [found.span(1) for found in plain.finditer(line)]


@pytest.mark.parametrize("step, before, after", [
    (cleaning.fix_mojibake, "â€œBagusâ€\x9d kata Siti", "“Bagus” kata Siti"),
    (cleaning.fix_mojibake, "café dan “petikan”", "café dan “petikan”"),
    (cleaning.normalize_unicode, "Ｍａｌａｙｓｉａ\u200b ﬁlem\u00a0baik\x07", "Malaysia filem baik "),
    (cleaning.remove_html, "<p class='a'>Ayam &amp; itik</p><script>x<y</script>", " Ayam & itik  "),
    (cleaning.remove_html, "5 < 6 dan 7 > 3, saya <3 awak", "5 < 6 dan 7 > 3, saya <3 awak"),
    (cleaning.spell_dot, "contoh (dot) com dan emel[dot]my", "contoh.com dan emel.my"),
    (cleaning.replace_links, "lihat https://a.com/x?y=1 dan www.b.my, juga bernama.com/berita.",
     "lihat   dan   juga  "),
    (cleaning.replace_links, "RM5.30 pada 1.2.2020 jam 8.30 s.a.w. e.g. tamat.Kemudian", None),
    (cleaning.replace_emails, "tulis ke ali.abu+x@uni.edu.my ya", "tulis ke   ya"),
    (cleaning.replace_mentions, "@siti_99 apa khabar, a@b", "  apa khabar, a@b"),
    (cleaning.remove_spam_runs, "a ===== b ---- c \U0001f600\U0001f600\U0001f600\U0001f600",
     "a   b   c \U0001f600"),
    (cleaning.shorten_punctuation, "Apa!!! Betul??? Ya..... mungkin... ", "Apa! Betul? Ya... mungkin... "),
    (cleaning.shorten_letters, "bestttt maaaaf Perang Dunia III AAAAA 1000000",
     "bestt maaf Perang Dunia III AA 1000000"),
    (cleaning.shorten_letters,
     "(iii) viii, xiii. xviii lxxxviii (xxx) 0811-437-xxx Bab Viii 2iii www.a.my 10²²² 哈", None),
    (cleaning.shorten_letters, "hiii xiiii xxx diii awwww yaiii", "hii xii xx dii aww yaii"),
    (cleaning.normalize_unicode, "10⁶ 10⁻⁶ x² m³ CO₂ log₂8 2½ ¾ 2ⁿ 360º 26º Sony™ ①② Qur´an 30˚C", None),
    (cleaning.normalize_unicode, "5㎡ 3㎞ Ⅷ baru² ﬁ 𝐒𝐚𝐲𝐚 １２", "5m² 3km VIII baru2 fi Saya 12"),
    (cleaning.remove_html, "<RM5 dan >RM3, jika a<b dan c>d", None),
    (cleaning.remove_html, "<input disabled>a<br />b<font color=red>c</FONT >", " a b c "),
    (cleaning.remove_html, "surat&notis, ali&para, R&D &amp &lt;3 &copy; &#65; x&copy=3 &tiada;",
     "surat&notis, ali&para, R&D & <3 © A x&copy=3 &tiada;"),
    (cleaning.split_long_tokens, "satu/dua_tiga-empat/lima_enam-tujuh x/y", "satu dua tiga empat lima enam tujuh x/y"),
    (cleaning.split_long_tokens, "pertanggungjawaban-pertanggungjawabannya", None),
    (cleaning.collapse_spaces, "  a \t b\u3000c ", "a b c")])
def test_steps(step, before, after):
    assert step(before) == (before if after is None else after)


def test_placeholders():
    assert cleaning.replace_links("ke http://x.my/a !", how="placeholder") == "ke  <url>  !"
    assert cleaning.replace_emails("a@b.my", how="placeholder") == " <email> "
    assert cleaning.replace_mentions("@ali hai", how="placeholder") == " <user>  hai"


@pytest.mark.parametrize("text", [
    "Kanak-kanak itu bermain-main di rumah-rumah mereka sekurang-kurangnya sekali.",
    "Dialah yang membacakannya, bukankah begitu? Pergilah! Buku2 dan rama2 itu.",
    "Résumé Encik Müller: “naïf”, kata Dr. Siti (45%) — RM1,250.50 pada 12/3/2021 jam 8.30 pagi.",
    "بهاس ملايو اداله بهاس كبڠساءن", "Saya ❤️ Malaysia 👨‍👩‍👧 😀!", "s.a.w., Y.B., No. 5, hlm. 12-15; U.S.A.",
    "demokrasi berparlimen & e-mel / laman web; ke-21, ke-2, 2-3 hari"])
def test_meaning_survives_all_steps(text):
    cleaned = text
    for _, step in cleaning.STEPS:
        cleaned = step(cleaned)
    assert cleaning.collapse_spaces(cleaned) == text


@settings(derandomize=True, deadline=None)
@given(st.text(max_size=200))
def test_steps_take_any_text_and_compose(text):
    for _, step in cleaning.STEPS:
        text = step(text)
    once = cleaning.collapse_spaces(text)
    assert "\n" not in once and once == once.strip()
    assert "".join("".join(split_sentences(once)).split()) == "".join(once.split())


@pytest.mark.parametrize("text, sentences", [
    ("Saya pulang. Dia tidur! Betul? Ya… Baiklah.", ["Saya pulang.", "Dia tidur!", "Betul?", "Ya…", "Baiklah."]),
    ("Dr. Ali dan Prof. Madya Datuk Abu, YB. Siti hadir. Tamat.",
     ["Dr. Ali dan Prof. Madya Datuk Abu, YB. Siti hadir.", "Tamat."]),
    ("Lihat hlm. 12 dan No. 5 serta bil. 3. Kemudian baca.",
     ["Lihat hlm. 12 dan No. 5 serta bil. 3.", "Kemudian baca."]),
    ("Nabi Muhammad s.a.w. Bersabda dalam hadis.", ["Nabi Muhammad s.a.w. Bersabda dalam hadis."]),
    ("Harganya RM5.30 pada 1.2.2020. Murah.", ["Harganya RM5.30 pada 1.2.2020.", "Murah."]),
    ("M. Nasir menyanyi. \"Bagus!\" Kata mereka.", ["M. Nasir menyanyi.", "\"Bagus!\"", "Kata mereka."]),
    ("1. Beras dua cawan. 2. Air.", ["1. Beras dua cawan.", "2. Air."]),
    ("Syarikat ABC Sdn. Bhd. Malaysia untung.", ["Syarikat ABC Sdn. Bhd. Malaysia untung."]),
    ("Dia kata no. Saya pergi juga.", ["Dia kata no.", "Saya pergi juga."]),
    ("tiada huruf besar. jadi satu ayat", ["tiada huruf besar. jadi satu ayat"]), ("", []),
    ("اڤ خبر؟ خبر باءيق. سلامت ڤاڬي! تريما کاسيه… سماجم",
     ["اڤ خبر؟", "خبر باءيق.", "سلامت ڤاڬي!", "تريما کاسيه…", "سماجم"]),
    ("ساي ڤولڠ۔ دي تيدور۔", ["ساي ڤولڠ۔", "دي تيدور۔"]), ("تولوڠ؟! سيلا", ["تولوڠ؟!", "سيلا"]),
    ("نبي محمد ص.ع.و. برسبدا. ايت بنر.", ["نبي محمد ص.ع.و. برسبدا.", "ايت بنر."]),
    ("١. براس دوا چاون. ٢. اير ٣.٥٠.", ["١. براس دوا چاون.", "٢. اير ٣.٥٠."]),
    ("دي کات: «باءيق.» کمودين دي ڤرڬي.", ["دي کات: «باءيق.»", "کمودين دي ڤرڬي."]),
    ("Saya pulang. سلامت تيڠݢل. Dia pergi.", ["Saya pulang.", "سلامت تيڠݢل.", "Dia pergi."])])
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_language_and_length_filters():
    assert cleaning.looks_malay("Saya tidak akan pergi ke sana kerana hujan")
    assert not cleaning.looks_malay("The government said that it would not be there")
    assert cleaning.looks_malay("😀 12345") and cleaning.looks_malay("Kuala Lumpur City FC")
    assert cleaning.has_words("dua perkataan", 2) and not cleaning.has_words("- satu !", 2)
