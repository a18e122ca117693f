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

    def encode_lines(self, texts):
        """The ids of texts, a list of int32 (n,), without special tokens but with the id of the mask for each mask."""
        parts = [_MASK.split(text) for text in texts]
        # In one call: a call for each text takes ten times as long.
        encoded = iter(self._tokenizer.encode_lines([part for of_text in parts for part in of_text]))
        return [self._joined(of_text, [next(encoded) for _ in of_text]) for of_text in parts]

    def _joined(self, parts, encoded):
        """The ids of a text by what stands before, between and behind its masks, and the ids of that as words."""
        joined = [encoded[0]]
        for part, ids in zip(parts[1:], encoded[1:], strict=True):
            starts_word = part[:1].isspace()
            joined += [[self._tokenizer.mask_id], ids if starts_word else
                       self._without_blank.encode(self._tokenizer.text_form.apply(part))]
        return np.concatenate(joined).astype(np.int32)

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
