"""Links, e-mail addresses and mentions in running text, and what only looks like one.

People leave out the space after a full stop ("di rumah.My mother") and write "at" as @ ("@RM3", "Ahmad @Mamat bin
Ali"). In doubt it is text: a host name that stays does less harm than a word that is lost.
"""

import re

# A repetition before a part that may be missing is bounded: see cleaning.py.
LINK = re.compile(r"(?i)\b(?:https?|ftp)://[^\s<>\"]+|\bwww\.[^\s<>\"]+|"
                  r"\b[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){0,8}\.(com|net|org|gov|edu|my|ly|co|info|me|tv)"
                  r"(\.[a-z]{2})?(/[^\s<>\"]*)?(?![\w@])")
EMAIL = re.compile(r"(?i)\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.\w[\w-]*)+")
MENTION = re.compile(r"(?<![\w@])@\w+")
# In each line with a host name of `LINK`; found at once, since it is tried at full stops alone.
HOST_ENDING = re.compile(r"\.(?i:co|net|org|gov|edu|my|ly|info|me|tv)")

# Endings of host names that are words as well, and words that go on a sentence after them.
WORDS_AFTER = {
    "my": frozenset(
        "mother mom mum mama ibu mak father dad papa parents sister brother sis bro wife husband son daughter baby "
        "kids friend friends bestfriend bff family love life heart mind body hair face head phone car house room bed "
        "job work boss name birthday best favourite favorite first last own little god fault bad day whole dear "
        "darling girl boy opinion point question questions problem plan dream new old".split()),
    "me": frozenset("and too either also myself always never when want need love i am with".split()),
    "info": frozenset("lanjut lanjutan lebih terkini tambahan penting ini itu tentang mengenai".split()),
    "tv": frozenset("itu ini tu ni rosak baru baharu lama pun dah sudah jenama set saya aku kami".split()),
    "net": frozenset("profit untung income worth weight".split()),
    "co": frozenset("kurikulum curriculum pilot founder worker driver owner".split()),
    "org": frozenset("lain tua muda ramai kampung kg melayu cina india miskin kaya kita tu ni itu ini kata mmg dah "
                     "susah baik gila malaysia luar sabah sarawak".split()),
    "ly": frozenset(), "edu": frozenset()}
NEXT_WORD = re.compile(r"\s+([a-z]+)")
COMPOUND = re.compile(r"-[A-Za-z]")  # sekolah.co-kurikulum
SURE = re.compile(r"(?i)\.(?:com|net|org|gov|edu|co)$")
NEXT_IN_CAPITALS = re.compile(r"\s+[A-Z]{2,}")
# A sentence that begins right after a host name, without a space.
NEXT_SENTENCE = re.compile(r"(?<=[a-z0-9])[.,;!?]([A-Z][a-z]+)$")
HOST_ONLY = re.compile(r"(?i)(?:(?:https?|ftp)://)?[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63})+(?:[.,;!?][a-z]+)?$")

TOP_LEVEL = frozenset("com org net edu gov mil int info biz asia mobi online".split())
# What follows a full stop without a space more often than it ends a host name.
NO_TOP_LEVEL = frozenset(
    "di ke la lah je ni tu nk nak dh dah yg yang jg tp tapi ok ya si ah eh oh dan ini itu untuk dengan dari pada "
    "tidak tak akan ada saya kami kita mereka dia aku kau awak anda bukan boleh sudah kalau pagi petang malam the "
    "and then he she it we you they but".split())

_CURRENCY = r"(?:rm|myr|usd?|sgd?|idr|rp|eur|gbp|aud?)\$?\s?"
_UNIT = (r"(?:am|pm|pg|pagi|ptg|petang|mlm|malam|tgh|tghari|hb|k|j|m|b|x|jt|juta|rb|ribu|bilion|billion|"
         r"million|sen|kg|g|gm|gram|km|cm|mm|ml|l|w|h|jam|min|minit|minggu|weeks?|hari|bln|bulan|thn|tahun|rpm|"
         r"hp|nm|ps|kw|pcs|unit|orang|org|gb|mb|ghz|mhz|inci|kmj|kmh|an|st|nd|rd|th)")
AMOUNT = re.compile(rf"(?i)@(?:{_CURRENCY})?\d[\d.,:]*(?<![.,:])(?:\s?{_UNIT})?(?!\w)")
# `Ahmad @Mamat bin Ali`: what stands before, the other name, and what follows.
NAMES_BEFORE = re.compile(r"(?:(?:^|(?<=[\s(\"'“]))[A-Z][\w'’.-]*\s+){1,3}$")
NO_NAMES = frozenset("RT QRT CC Cc HT Via VIA By BY".split())
NAME = re.compile(r"@(?:[A-Z][a-z]+|[A-Z]{2,})$")
TITLE_CASE = re.compile(r"@[A-Z][a-z]+$")
PARENT = re.compile(r"(?:\s+[A-Z][\w'’-]*){0,3}\s+(?:(?i:bin|binti|binte|bte|bt|bnt|a/l|a/p|s/o|d/o)(?!\w)|"
                    r"(?i:b|ak|anak)\.?\s+[A-Z])")
MORE_OF_THE_NAME = re.compile(r"\s+[A-Z]\w")
CONTEXT = 80  # characters before and after that are looked at


def replace_links(line, instead):
    """URLs and bare host names become the text `instead`."""
    if "://" not in line and not HOST_ENDING.search(line) and "www." not in line.lower():
        return line
    return LINK.sub(lambda match: match[0] if _is_text(match) else instead + _next_sentence(match[0]), line)


def _is_text(match):
    """Whether what looks like a host name is the end of a sentence and a word: `di rumah.My mother`."""
    ending, country, path = match[1], match[2], match[3]
    if ending is None or path or ending.lower() not in WORDS_AFTER or country and not country[1:].istitle():
        return False
    line, end, name = match.string, match.end(), match[0][:match.start(1) - match.start() - 1]
    if not country and SURE.search(name):
        return False
    if ending.istitle() or COMPOUND.match(line, end):
        return True
    if ending.isupper():
        return ending == "TV" or not name.isupper() or bool(NEXT_IN_CAPITALS.match(line, end))
    following = NEXT_WORD.match(line, end)
    return "." not in name and bool(following) and following[1] in WORDS_AFTER[ending.lower()]


def _next_sentence(link):
    """The stop and first word of a sentence that begins right after a host name; "" when there is none."""
    following = NEXT_SENTENCE.search(link) if HOST_ONLY.match(link) else None
    return following[0] if following and following[1].lower() not in TOP_LEVEL | WORDS_AFTER.keys() else ""


def replace_emails(line, instead):
    """E-mail addresses become the text `instead`."""
    return EMAIL.sub(lambda match: _without_address(match, instead), line) if "@" in line else line


def _without_address(match, instead):
    """`instead` and what follows the address; all as it is where it is none: `2kg@RM3.50`, `Aina@Nor.Dia`."""
    host, *labels = match[0].rpartition("@")[2].split(".")
    number = 0  # of labels that belong to the host
    for label, previous in zip(labels, [host, *labels]):
        # After small letters a capital one begins a sentence; but Gmail.Com is written, too.
        if label.istitle() and not previous[:1].isupper():
            break
        number += 1
    while number and not _is_top_level(labels[number - 1]):
        number -= 1
    certain = number and labels[number - 1].lower() in TOP_LEVEL
    if not number or not certain and (host.isdigit() or AMOUNT.match(f"@{host}")):
        return match[0]
    return instead + "".join(f".{label}" for label in labels[number:])


def _is_top_level(label):
    """Whether the last part of a host name may be `label`; one such as `Dia` only if it is well known or a country."""
    name = label.lower()
    may_be = name.isalpha() and 2 <= len(name) <= 24 and name not in NO_TOP_LEVEL
    return name in TOP_LEVEL or may_be and (not label.istitle() or len(name) == 2)


def replace_mentions(line, instead):
    """@mentions become the text `instead`."""
    return MENTION.sub(lambda match: match[0] if _is_at(match) else instead, line) if "@" in line else line


def _is_at(match):
    """Whether @ stands for "at" before an amount or a time, or for "alias" in a name."""
    line, start, end = match.string, match.start(), match.end()
    if AMOUNT.match(line, start, end + CONTEXT):
        return True
    before = NAME.match(match[0]) and NAMES_BEFORE.search(line[max(0, start - CONTEXT):start])
    if not before or NO_NAMES.intersection(before[0].split()):
        return False
    more = len(before[0].split()) > 1 and TITLE_CASE.match(match[0]) and MORE_OF_THE_NAME.match(line, end)
    return bool(more or PARENT.match(line, end, end + CONTEXT))
