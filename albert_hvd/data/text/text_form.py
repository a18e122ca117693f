"""What becomes of a text before SentencePiece sees it: nothing, or what Hugging Face's AlbertTokenizer does.

Uncased vocabularies, such as Google's English ones, have no capital letters: to them a word with one is unknown. The
setting lies in `tokenizer_config.json` beside the vocabulary, under Hugging Face's names.
"""

import dataclasses
import json
import os
import unicodedata

from albert_hvd.runtime.files import read_json_object

TOKENIZER_CONFIG = "tokenizer_config.json"

# What transformers' AlbertTokenizer does unless its folder says otherwise.
_HUGGINGFACE_DEFAULTS = {"do_lower_case": True, "keep_accents": False}
_ALBERT_CLASSES = ("AlbertTokenizer", "AlbertTokenizerFast")


@dataclasses.dataclass(frozen=True)
class TextForm:
    """How texts are changed.

    Attributes:
      do_lower_case: capital letters become small ones.
      keep_accents: False: compatibility decomposition (NFKD), and no combining mark stays.
      straight_quotes: `` and '' become a double quote.
    """

    do_lower_case: bool = False
    keep_accents: bool = True
    straight_quotes: bool = False

    @property
    def is_identity(self):
        return self == TextForm()

    def apply(self, text):
        """The changed text, character by character as the `tokenizers` library does it."""
        if self.straight_quotes:
            text = text.replace("``", '"').replace("''", '"')
        if not self.keep_accents:
            text = unicodedata.normalize("NFKD", text)
            text = "".join(c for c in text if not unicodedata.category(c).startswith("M"))
        if self.do_lower_case:
            text = "".join(map(str.lower, text))  # of a whole word, a sigma at its end would become another letter
        return text

    def to_dict(self):
        return dataclasses.asdict(self)

    def to_json(self):
        """The content of `tokenizer_config.json`, bytes."""
        return json.dumps(self.to_dict(), indent=2).encode("ascii") + b"\n"

    def describe(self):
        """In words, as the end of "... of text"."""
        if self.is_identity:
            return "as it is"
        return ("in lower case" if self.do_lower_case else "in its own case") + (
            "" if self.keep_accents else " without accents")


def form_of_dict(values):
    """The `TextForm` of a dict with its fields, such as an entry of a manifest; other keys are ignored."""
    fields = {field.name: bool(values.get(field.name, field.default)) for field in dataclasses.fields(TextForm)}
    return TextForm(**fields)


def form_beside(path):
    """The `TextForm` that the folder of a vocabulary asks for; None when nothing there says.

    Args:
      path: of the SentencePiece model, which need not be there.
    """
    folder = os.path.dirname(os.path.abspath(path))
    config = os.path.join(folder, TOKENIZER_CONFIG)
    values = read_json_object(config)
    kind = values.get("tokenizer_class")
    if "straight_quotes" in values:  # our own
        return form_of_dict(values)
    is_albert = kind is None and (os.path.isfile(config) or os.path.isfile(path) and _is_huggingface(folder))
    if is_albert or kind in _ALBERT_CLASSES:
        named = {name: values.get(name, default) for name, default in _HUGGINGFACE_DEFAULTS.items()}
        return form_of_dict({**named, "straight_quotes": True})
    if kind is None:
        return None
    steps = set(_steps(read_json_object(os.path.join(folder, "tokenizer.json")).get("normalizer")))
    return TextForm("Lowercase" in steps, "StripAccents" not in steps, "``" in steps)


def _is_huggingface(folder):
    return read_json_object(os.path.join(folder, "config.json")).get("model_type") == "albert"


def _steps(normalizer):
    """The types of a `tokenizer.json`'s normalizers, and the texts that they replace."""
    if not isinstance(normalizer, dict):
        return
    yield str(normalizer.get("type"))
    pattern = normalizer.get("pattern")
    if isinstance(pattern, dict):
        yield str(pattern.get("String"))
    for part in normalizer.get("normalizers") or []:
        yield from _steps(part)
