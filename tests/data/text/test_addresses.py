"""What is a link, an e-mail address or a mention, and what only looks like one and must stay."""

import pytest

from albert_hvd.data.text import addresses


@pytest.mark.parametrize("text", [
    "Akhirnya saya sampai di rumah.My mother sudah tunggu di depan pintu.",
    "Dia suka menonton di rumah.TV itu pemberian abangnya.", "Sila hubungi pejabat kami.Info lanjut ada di papan.",
    "Saya penat hari ini.Me and my sister tidur.", "Harga barang naik lagi.Net untung peniaga tetap rendah.",
    "Mereka berkawan sejak sekolah.Co kurikulum mereka sama.", "saya di rumah.my mother tunggu", "KL.TV itu rosak",
    "SAYA DI RUMAH.MY MOTHER TUNGGU", "sejak sekolah.co-kurikulum sama", "ramai.org lain pun", "di Malaysia.My father",
    "tamat.Kemudian", "RM5.30 pada 1.2.2020", "Nabi s.a.w.My mother", "Bidadari.My, kami komited"])
def test_a_word_after_a_stop_without_a_space_is_no_link(text):
    assert addresses.replace_links(text, "<url>") == text


@pytest.mark.parametrize("text, replaced", [
    ("lihat https://a.com/x?y=1 dan www.b.my, juga", "lihat <url> dan <url> juga"),
    ("portal mudah.my memuatkan", "portal <url> memuatkan"), ("Sumber: Crash.net, dua", "Sumber: <url>, dua"),
    ("TEMPO.CO, Jakarta - REPUBLIKA.CO.ID, Bogor", "<url>, Jakarta - <url>, Bogor"),
    ("SEBENARNYA.MY di", "<url> di"), ("hasil.gov.my dan t.me/kumpulan", "<url> dan <url>"),
    ("layari www.mudah.my.Saya suka", "layari <url>.Saya suka"), ("https://x.my.Sila isi", "<url>.Sila isi"),
    ("bernama.com.Kemudian dia", "<url>.Kemudian dia"), ("https://x.my/a,Nota.html", "<url>"),
    ("WWW.UTUSAN.COM.MY ya", "<url> ya"), ("layari www.Hasil.Gov.My", "layari <url>")])
def test_links(text, replaced):
    assert addresses.replace_links(text, "<url>") == replaced


@pytest.mark.parametrize("text, replaced", [
    ("tulis ke ali.abu+x@uni.edu.my ya", "tulis ke <email> ya"), ("ALI@GMAIL.COM", "<email>"),
    ("Ali@Yahoo.Com.My", "<email>"), ("a@163.com", "<email>"), ("ke ali@x.com.Sila isi", "ke <email>.Sila isi"),
    ("ke ali@x.com.my.-- BERNAMA", "ke <email>.-- BERNAMA"), ("2kg@RM3.50 dan 5@3.50", None),
    ("nasi@RM3.sebungkus", None),
    ("Aina@Nor.Dia pergi", None), ("rumah@kampung.saya suka", None), ("jumpa@8.pagi", None)])
def test_emails(text, replaced):
    assert addresses.replace_emails(text, "<email>") == (text if replaced is None else replaced)


@pytest.mark.parametrize("text", [
    "Ahmad @Mamat bin Ali", "Ahmad @Mamat bin", "AHMAD @MAMAT BIN ALI", "Siti @Ani binti Abu", "Rosli @Ali a/l Muthu",
    "Mohd Zain @Zain Abdullah", "Lim Ah Kow @Lim Ah Seng", "Ahmad @Mamat Jusoh bin Ali", "Jau @Jawi anak Entu",
    "harga @RM3 sahaja", "@rm3.50/kg", "@RM 3", "@USD5 dan @Rp5.000", "jumpa @8pm, @8.30 dan @12.00tgh", "lahir @36w,",
    "@50sen", "@2juta", "Ahmad @ Mamat", "a@b"])
def test_at_and_alias_are_no_mentions(text):
    assert addresses.replace_mentions(text, "<user>") == text


@pytest.mark.parametrize("text, replaced", [
    ("@siti_99 apa khabar", "<user> apa khabar"), ("Tahniah @Mamat!", "Tahniah <user>!"),
    ("RT @Mamat bin", "RT <user> bin"),
    ("@501Awani TAHNIAH Malaysia", "<user> TAHNIAH Malaysia"), ("@Salma_H @NajibRazak Betul", "<user> <user> Betul"),
    ("Perdana Menteri Malaysia @NajibRazak", "Perdana Menteri Malaysia <user>"),
    ("@vodkm anak kerajaan", "<user> anak kerajaan"),
    ("@20_07_991 @6cluqman @RM0_10 @1rmf5", "<user> <user> <user> <user>")])
def test_mentions(text, replaced):
    assert addresses.replace_mentions(text, "<user>") == replaced
