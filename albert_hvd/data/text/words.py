"""Running text to words and signs, as taggers want them."""

import re

_END = r"[^\s<>\".,;:!?()\[\]{}'’”»…]"  # a stop after an address is not part of it
_PARTS = (
    # Addresses: with a scheme, www., e-mail, and host names whose ending is no word with a capital letter (rumah.My).
    rf"(?:(?i:https?|ftp)://|(?i:www)\.)[^\s<>\"]*{_END}/?",
    r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]+)+",
    r"(?<![\w.@-])[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,8}\.(?:com|net|org|gov|edu|my|ly|co|info|me|tv|"
    rf"COM|NET|ORG|GOV|EDU|MY|CO)(?:\.[a-z]{{2}}|\.[A-Z]{{2}})?(?![\w@]|-\w)(?:/(?:[^\s<>\"]*{_END})?/?)?",
    # @names, but not the price in "@RM3.50"; #tags.
    r"(?<!\w)@(?!(?:RM|Rp|rm|rp|USD)?\d)\w+", r"#\w+",
    # RM3.50, Rp5.000, Rp.5.000, S$3, €5: a currency and its figure.
    r"(?<!\w)(?:[^\W\d_]{1,4}\.?\$?|[$£€¥₹])\d+(?:[.,:/]\d+)*(?!\w)",
    # A figure such as 3.50, a word such as kanak-kanak, or one other sign.
    r"\d+(?:[.,:/]\d+)+", r"\w+(?:[-'’]\w+)*", r"[^\w\s]")
_WORD_OR_SIGN = re.compile("|".join(_PARTS))


def split_words(text):
    """The words and signs of a text: list of str; all of it but the white space.

    Figures (3.50), prices (RM3.50), words with hyphens or apostrophes, links, e-mail addresses, @names and #tags
    are one word each; every other sign is a word of its own.
    """
    return _WORD_OR_SIGN.findall(text)
