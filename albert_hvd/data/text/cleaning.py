"""Cleaning steps for raw Malay text: small pure functions from a line to a line.

`STEPS` gives their order, and the order matters: characters first, so that the later patterns see plain
ones; then markup; `(dot)` before links, so that "contoh(dot)com" is seen as one; links before runs of
letters and punctuation, which would damage them; long tokens last. What carries meaning in Malay
stays: reduplication (kanak-kanak, 2x2 forms such as "rama2"), clitics (-nya, -lah), diacritics, Jawi,
numbers. What links, e-mail addresses and mentions are is in `addresses.py`.

A step takes time in proportion to the line, whatever stands in it: a repetition before a part that may be
missing is bounded, since the search would read it again from each of its characters.
"""

import html
import html.entities
import re
import unicodedata

import ftfy

from albert_hvd.data.text import addresses
from albert_hvd.data.text.runs import lines_with_runs

# Zero-width characters, soft hyphen, byte order marks, directional marks. Not U+200C and U+200D, which
# Jawi and emoji need.
INVISIBLE = re.compile("[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
TAG = re.compile(r"(?i)</?[a-z][^<>]*>")
# What goes with all that is in it, up to its end.
ELEMENT = re.compile(r"(?i)<(?:(script|style)\b|!--)")
END_OF_ELEMENT = {"script": re.compile(r"(?i)</script\s{0,9}>"), "style": re.compile(r"(?i)</style\s{0,9}>"),
                  "": re.compile("-->")}
SPELT_DOT = re.compile(r"(?i)\s?[(\[]\s?dot\s?[)\]]\s?")
# Runs of one symbol drawn as a line or a frame: =====, *****, ~~~~~, _____.
SPAM_RUN = re.compile(r"([=*~_#+|^<>\\/•●■★☆─━═-])\1{3,}")
REPEATED_STOP = re.compile(r"([!?,;:…])\1+")
REPEATED_DOTS = re.compile(r"\.{4,}")
REPEATED_SYMBOL = re.compile(r"([^\w\s.])\1{3,}")
# No Malay word has a letter three times in a row; but III and iii are numbers.
REPEATED_LETTERS = re.compile(r"([^\W\d_])\1{3,}|([^\W\d_A-Z])\2{2,}")
# A Roman number below 100. Greater ones look like words drawn out ("diii", "ciii").
ROMAN_NUMBER = re.compile(r"(?:x[cl]|l?x{0,3})(?:i[xv]|v?i{0,3})")
LONGEST_ROMAN_NUMBER = 8  # lxxxviii
NUMBERED = frozenset("()[]-–")
# What stays as it is, because its plain form says something else: 10⁶ is not 106, nor 2½ 21⁄2, nor Sony™ SonyTM;
# and the plain form of an accent that stands alone begins with a space, which would cut Qur´an in two.
_RAISED = ("\u00b2\u00b3\u00b9\u00bc-\u00be\u2070\u2074-\u207e\u2080-\u208e\u2150-\u215f\u2189"  # 10⁶ CO₂ ½
           "\u2460-\u249b\u24ea\u3251-\u325f\u32b1-\u32bf\U0001f100-\U0001f10a"  # ① ⑴ ⒈
           "\u2120\u2122\u00a8\u00af\u00b4\u00b8\u02d8-\u02dd"
           "\u33a0-\u33a6\u33a8\u33af")  # ㎡, whose plain form has a raised number in it
NOT_PLAIN = re.compile(f"([{_RAISED}]|(?<=[0-9])[ºª]|(?<=[0-9A-Za-z)])[ⁿˣ])")
MAY_BE_NOT_PLAIN = re.compile(f"[{_RAISED}ºªⁿˣ]")
REDUPLICATED = re.compile(r"(?<=[A-Za-z]{3})²")  # baru² is baru2
# Runs that may be combining marks for the most part; that of Unicode's stream-safe text (UAX 15) is 30 long at most.
NO_LETTERS = re.compile(r"[^\x00-\u02ff\w\s]{31,}")
MOST_MARKS = 30
LETTER_OR_DIGIT = re.compile(r"[^\W_]")
PLACEHOLDERS = {"links": "<url>", "emails": "<email>", "mentions": "<user>"}
# &amp; and its like also without the semicolon; other names only with it: "surat&notis" is no "surat¬is".
ENTITY = re.compile(r"&(?:#\d{1,7};?|#[xX][0-9a-fA-F]{1,6};?|[A-Za-z][A-Za-z0-9]{1,31};|"
                    r"(?:amp|lt|gt|quot|nbsp)(?![\w=]))")
# Attributes of tags that have no value.
BARE_ATTRIBUTES = frozenset(
    "allowfullscreen async autofocus autoplay checked controls crossorigin default defer disabled download hidden "
    "ismap itemscope loop multiple muted nomodule noshade novalidate nowrap open playsinline readonly required "
    "reversed selected /".split())
MAX_TOKEN_CHARACTERS = 30

# The commonest function words that the two languages do not share.
MALAY_WORDS = frozenset(
    "yang dan di ini itu untuk dengan dari daripada pada kepada tidak tak akan ada adalah dalam oleh juga saya "
    "kami kita mereka dia nya aku kau awak anda bukan boleh telah sudah dah lagi lebih sebagai bagi atau ke "
    "kerana sebab apa nak je la lah pun kalau bila orang hari satu banyak macam sangat hanya".split())
ENGLISH_WORDS = frozenset(
    "the of and to in is that it for was on are as with his they be at this have from or had by not but what "
    "all were we when your can said there an each which she do how their if will up about out many then them "
    "these so some her would make like him into has you my me just".split())


def fix_mojibake(line):
    """Repair text that was decoded with the wrong encoding (ftfy): `â€œ` -> `“`."""
    # ASCII cannot be mojibake; ftfy is by far the slowest step.
    if line.isascii() or not ftfy.badness.is_bad(line):
        return line
    return ftfy.fix_encoding(line)


def normalize_unicode(line):
    """NFKC (full-width and styled letters to plain ones) but for `NOT_PLAIN`; control and invisible characters away."""
    if not line.isascii():
        line = NO_LETTERS.sub(_fewer_marks, line)
        line = INVISIBLE.sub("", _plain(REDUPLICATED.sub("2", line) if "²" in line else line))
    return CONTROL.sub(" ", line)


def _plain(text):
    """NFKC of what is not `NOT_PLAIN`; of a unit such as ㎡ the letters."""
    if not MAY_BE_NOT_PLAIN.search(text):
        return unicodedata.normalize("NFKC", text)
    parts = NOT_PLAIN.split(text)
    parts[::2] = [unicodedata.normalize("NFKC", part) for part in parts[::2]]
    parts[1::2] = [_unit(part) if "\u33a0" <= part <= "\u33af" else part for part in parts[1::2]]
    return "".join(parts)


def _unit(character):
    return "".join(chr(int(code, 16)) for code in unicodedata.decomposition(character).split()[1:])


def _fewer_marks(match):
    """At most `MOST_MARKS` combining marks in a row: NFKC sorts a run in time that grows with its square."""
    kept, run = [], 0
    for character in match[0]:
        run = run + 1 if unicodedata.combining(character) else 0
        if run <= MOST_MARKS:
            kept.append(character)
    return "".join(kept)


def remove_html(line):
    """Drop tags, comments, scripts and styles; decode entities (`&amp;`)."""
    if "<" in line:
        line = TAG.sub(_without_tag, _remove_elements(line))
    return ENTITY.sub(_unescape, line) if "&" in line else line


def _without_tag(match):
    """What stays of a tag; all of it when it is words between two signs: `<RM5 dan >`, of "<RM5 dan >RM3"."""
    _, *attributes = match[0][1:-1].lower().split(maxsplit=20)
    return " " if "=" in match[0] or BARE_ATTRIBUTES.issuperset(attributes) else match[0]


def _unescape(match):
    known = match[0][1] == "#" or match[0][-1] != ";" or match[0][1:] in html.entities.html5
    return html.unescape(match[0]) if known else match[0]


def _remove_elements(line):
    """Drop comments, scripts and styles that have an end."""
    kept, start, place, endless = [], 0, 0, set()
    while begin := ELEMENT.search(line, place):
        kind = (begin[1] or "").lower()
        end = None if kind in endless else END_OF_ELEMENT[kind].search(line, begin.end())
        if end:
            kept.append(line[start:begin.start()])
            start = place = end.end()
        else:  # nor has any that follows
            endless.add(kind)
            place = begin.end()
    return " ".join([*kept, line[start:]])


def spell_dot(line):
    """`contoh (dot) com` -> `contoh.com`."""
    return SPELT_DOT.sub(".", line) if "dot" in line.lower() else line


def replace_links(line, how="drop"):
    """URLs and bare host names: `drop` or `placeholder` (`<url>`)."""
    return addresses.replace_links(line, _instead("links", how))


def replace_emails(line, how="drop"):
    """E-mail addresses: `drop` or `placeholder` (`<email>`)."""
    return addresses.replace_emails(line, _instead("emails", how))


def replace_mentions(line, how="drop"):
    """@mentions: `drop` or `placeholder` (`<user>`)."""
    return addresses.replace_mentions(line, _instead("mentions", how))


def _instead(kind, how):
    return f" {PLACEHOLDERS[kind]} " if how == "placeholder" else " "


def remove_spam_runs(line):
    """`=====` and other drawn lines away; four or more of any other symbol (emoji) become one."""
    return REPEATED_SYMBOL.sub(r"\1", SPAM_RUN.sub(" ", line))


def shorten_punctuation(line):
    """`!!!` -> `!`, `.....` -> `...`."""
    return REPEATED_DOTS.sub("...", REPEATED_STOP.sub(r"\1", line))


def shorten_letters(line):
    """Three or more of a letter -> two: `bestttt` -> `bestt`, `maaaaf` -> `maaf`; not `III`, `(iii)`, `www.`."""
    return REPEATED_LETTERS.sub(_two_letters, line)


def _two_letters(match):
    run, line = match[0], match.string
    if not run.isalpha():  # raised numbers are word characters as well
        return run
    start, end = match.span()
    if run[0] in "ixwIXW" and len(run) == 3:
        while start and line[start - 1].isalpha() and end - start <= LONGEST_ROMAN_NUMBER:
            start -= 1
        while end < len(line) and line[end].isalpha() and end - start <= LONGEST_ROMAN_NUMBER:
            end += 1
        word, around = line[start:end].lower(), line[max(0, start - 1):start] + line[end:end + 1]
        # xxx are kisses, too.
        if (word == "www" and around.endswith(".") or ROMAN_NUMBER.fullmatch(word)
                and (word != "xxx" or not NUMBERED.isdisjoint(around))):
            return run
    return run[:2]


def split_long_tokens(line, max_characters=MAX_TOKEN_CHARACTERS):
    """Cut tokens of more than `max_characters` at `_`, `/` and `-`, but never a reduplicated word."""
    long_token = re.compile(rf"\S{{{max_characters + 1},}}")  # compiled once: re keeps it
    return long_token.sub(lambda match: match[0] if _reduplicated(match[0]) else re.sub(r"[_/-]+", " ", match[0]), line)


def _reduplicated(token):
    """kanak-kanak, pertanggungjawaban-pertanggungjawaban, sekurang-kurangnya, beramai-ramai."""
    first, hyphen, second = token.lower().partition("-")
    return bool(hyphen) and "-" not in second and (first[-4:] in second or second[:4] in first)


def collapse_spaces(line):
    """One space between words, none at the ends."""
    return " ".join(line.split())


# name of the flag that switches a step, function; in the order of application
STEPS = (("fix_mojibake", fix_mojibake), ("normalize_unicode", normalize_unicode), ("remove_html", remove_html),
         ("spell_dot", spell_dot), ("emails", replace_emails), ("links", replace_links),
         ("mentions", replace_mentions), ("remove_spam_runs", remove_spam_runs),
         ("shorten_punctuation", shorten_punctuation), ("shorten_letters", shorten_letters),
         ("split_long_tokens", split_long_tokens))
REPLACING_STEPS = ("emails", "links", "mentions")
# What lines have that these steps change.
RUNS = {"remove_spam_runs": {"least": 4}, "shorten_punctuation": {"least": 2, "characters": "!?,;:…."},
        "shorten_letters": {"least": 3, "from_character": "A"}}


def apply_step(name, step, lines):
    """The lines after a step, which is applied to those that it may change: list of str."""
    if name not in RUNS:
        return list(map(step, lines))
    changed = lines.copy()
    for number in lines_with_runs(lines, **RUNS[name]):
        changed[number] = step(lines[number])
    return changed


def looks_malay(text):
    """False for text whose function words are mostly English; text without any of either passes."""
    words = re.findall(r"[a-z]+", text.lower())
    malay = sum(word in MALAY_WORDS for word in words)
    english = sum(word in ENGLISH_WORDS for word in words)
    return malay >= english


def has_words(line, min_words=1):
    """True when the line has at least `min_words` tokens with a letter, a digit or a pictograph in them."""
    if min_words == 1 and LETTER_OR_DIGIT.search(line):
        return True
    return sum(any(character.isalnum() or unicodedata.category(character) == "So" for character in token)
               for token in line.split()) >= min_words
