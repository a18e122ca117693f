"""Text with masks in it: where they are, its ids, and the text with one of them filled in.

A mask is written `<mask>` or `[MASK]`, whatever the vocabulary calls it, and takes the blanks before it,
as Hugging Face's tokenizers have it: pieces bring their own blank, so that "ibu <mask>" may become
"ibu negara" as well as "ibunya". The text behind a mask starts a word only after a blank: "<mask>an".
"""

import functools
import re

import numpy as np

from albert_hvd.data.text.tokenizer import WORD_START

_MASK = re.compile(r"\s*(?:<mask>|\[MASK\])")


class MaskedTextTokenizer:
    """Ids of texts that may hold masks.

    Args:
      tokenizer: a `tokenizer.Tokenizer`.
    """

    def __init__(self, tokenizer):
        self._tokenizer = tokenizer

    def encode(self, text):
        """The ids of a text, int32 (n,), without special tokens but with the id of the mask for each mask."""
        first, *others = _MASK.split(text)
        parts = [self._tokenizer.encode_lines([first])[0]]
        for part in others:
            parts.append([self._tokenizer.mask_id])
            starts_word = part[:1].isspace()
            parts.append(self._tokenizer.encode_lines([part])[0] if starts_word else
                         self._without_blank.encode(self._tokenizer.text_form.apply(part)))
        return np.concatenate(parts).astype(np.int32)

    @functools.cached_property
    def _without_blank(self):
        """The same SentencePiece model, which puts no blank before the first word."""
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2

        model = sentencepiece_model_pb2.ModelProto.FromString(self._tokenizer.model)
        model.normalizer_spec.add_dummy_prefix = False
        return sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())


def fill(text, number, piece):
    """The text with the `number`-th of its masks, counted from 0, replaced by a vocabulary's piece."""
    match = list(_MASK.finditer(text))[number]
    before, word = text[:match.start()], piece.replace(WORD_START, " ")
    return before + (word if before else word.lstrip()) + text[match.end():]
