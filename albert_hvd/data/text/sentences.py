"""Sentence splitting that knows Malay abbreviations, initials, list numbers, decimals and dates, and Jawi."""

import re

# Not the end of a sentence, whatever follows (lower case, without the last stop).
TITLES = frozenset(
    "dr drs prof datuk dato dato' datin dtk tan tuan tn puan pn encik en cik sdr sdri ust ustaz ustazah hj hjh "
    "haji kapt kol lt mej jen sjn kpl insp asp supt dsp acp sac yb yab yabhg ybhg ym yam ydp st mr mrs ms "
    "mohd md muhd muh abd ab sy syed sh no bil hlm ms jld jil ed bab rj fasal per vol fig cth spt sdn bhd kg jln "
    "jl lrg tmn bdr kpg sg bt km tel faks ext r.a s.a.w s.w.t a.s w.p u.p s.u a.k.a i.e e.g viz vs dll dsb lwn "
    "jan feb mac apr jun jul ogos sept sep okt nov dis هلم".split())
# Of these the ones that are words too ("Dia kata no. Saya ..."): they go on before a number only.
WORDS_TOO = frozenset("no bil mac dis per km".split())
CLOSING = "\"'”’)\\]»"
OPENING = "\"'“‘(\\[«"
# Jawi has no capital letters: any Arabic letter or digit may begin a sentence.
ARABIC = ("\u0620-\u064a\u0660-\u0669\u066e-\u06d3\u06d5\u06ee-\u06ff\u0750-\u077f\u08a0-\u08c9"
          "\ufb50-\ufdff\ufe70-\ufefc")
# Looked for where stops begin only: a run of them is read once. What stands before is asked after the first stop, since
# a pattern that begins with a character is tried where that stands, one that begins with a question everywhere.
BOUNDARY = re.compile(rf"([.!?…](?<![.!?…]{{2}})[.!?…]*[{CLOSING}]*)\s+(?=[{OPENING}]*[A-Z0-9À-ÖØ-Þ])")
# For lines with Arabic letters. ؟ and ۔ end a sentence whatever follows.
JAWI_BOUNDARY = re.compile(rf"(?<![.!?…؟۔])(?:([.!?…]+[{CLOSING}]*)\s+(?=[{OPENING}]*[A-Z0-9À-ÖØ-Þ{ARABIC}])|"
                           rf"([.!?…]*[؟۔][.!?…؟۔]*[{CLOSING}]*)\s+)")
JAWI = re.compile(f"[؟۔{ARABIC}]")
# ص.ع.و. and د.: letters with stops between them.
ARABIC_INITIALS = re.compile(rf"(?:[{ARABIC}]\.){{0,9}}[{ARABIC}]")
LIST_NUMBER = re.compile(r"[(\[]?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,4})")


def split_sentences(line):
    """Cut a line into sentences: list of str; nothing of the text is lost except the spaces between.

    A boundary is `.`, `!`, `?` or `…` with its closing quotes, white space, and an upper-case letter,
    an Arabic letter, a digit or an opening quote; unless the stop belongs to an abbreviation (Dr., hlm., s.a.w.),
    an initial (M. Nasir), or the number of a list item at the beginning. `؟` and `۔` with white space after them
    are boundaries, too.
    """
    sentences, start = [], 0
    pattern = BOUNDARY if line.isascii() or not JAWI.search(line) else JAWI_BOUNDARY
    for boundary in pattern.finditer(line):
        if (boundary[1] or "").startswith(".") and _keeps_going(line, start, boundary):
            continue
        sentences.append(line[start:boundary.end(boundary.lastindex)])
        start = boundary.end()
    return sentences + [line[start:]] if start < len(line) else sentences


def _keeps_going(line, start, boundary):
    """True when the stop that `boundary` found does not end the sentence that began at `start`."""
    stop = boundary.start(1)
    word = line[max(line.rfind(" ", start, stop) + 1, start):stop].lstrip("(\"'“‘[")
    if boundary.group(1) == "." and word.lower() in TITLES:
        return word.lower() not in WORDS_TOO or line[boundary.end()].isdigit()
    is_initial = len(word) == 1 and word.isalpha() and word.isupper()
    at_beginning = stop - start == len(word)
    return boundary.group(1) == "." and (is_initial or bool(ARABIC_INITIALS.fullmatch(word))
                                         or at_beginning and bool(LIST_NUMBER.fullmatch(word)))
