"""SentencePiece vocabularies: text <-> ids.

Special pieces are looked up by name, never by a fixed id: the old project's `sp10m.cased.v8`, which loads here
unchanged, pads with 5.
"""

import copy
import hashlib
import os
import re

import numpy as np

from albert_hvd.data.text.text_form import TOKENIZER_CONFIG, TextForm, form_beside
from albert_hvd.errors import InputError
from albert_hvd.runtime.files import check_readable

WORD_START = "\u2581"  # SentencePiece's mark for "a space stood here"
SPECIAL_PIECE = re.compile(r"<[^<>\s]+>|\[[A-Z]+\]")  # <cls>, <eop>; [CLS] in Google's vocabularies


class Tokenizer:
    """A SentencePiece model with the ids that pre-training needs.

    Attributes: `vocab_size`; `cls_id sep_id mask_id pad_id unk_id`; `starts_word` bool (V,), pieces
    that begin with U+2581; `is_special` bool (V,), pieces that are never masked nor drawn as a random
    replacement; `model`, the bytes of the model file; their `sha256`; `path`; `text_form`, the `TextForm` that texts
    are given before they are encoded.
    """

    @classmethod
    def from_file(cls, path, option="tokenizer", text_form=None):
        """Load `path`; InputError when it is missing, no SentencePiece model, or lacks a special piece.

        Args: `text_form`; None: what the folder of `path` asks for, see `text_form.form_beside`.
        """
        if not os.path.isfile(path):
            raise InputError("no such file", "give a SentencePiece .model (bin/train_tokenizer makes one)", name=option,
                             value=path)
        check_readable(path, option)
        with open(path, "rb") as file:
            return cls(file.read(), path, option, text_form or form_beside(path))

    def __init__(self, model, path="", option="tokenizer", text_form=None):
        """Args: `model`, the bytes of a .model file; `path` and the name of its option, for messages; `text_form`."""
        import sentencepiece

        self.path, self.model, self.text_form = path, model, text_form or TextForm()
        self.sha256 = hashlib.sha256(model).hexdigest()
        if not model:  # which SentencePiece takes for a vocabulary without pieces
            raise InputError("an empty file", "give a SentencePiece .model", name=option, value=path)
        try:
            self._processor = processor = sentencepiece.SentencePieceProcessor(model_proto=model)
            everyone = list(range(processor.get_piece_size()))
            self._pieces = processor.id_to_piece(everyone)
        except (RuntimeError, OSError, UnicodeDecodeError) as error:
            raise InputError(f"not a SentencePiece model ({error})", "give the .model file, not the .vocab",
                             name=option, value=path) from None
        self.vocab_size = len(everyone)
        self._ids = {piece: i for i, piece in enumerate(self._pieces)}
        self.unk_id = processor.unk_id()
        self.cls_id = self._special_id(option, "<cls>", "[CLS]")
        self.sep_id = self._special_id(option, "<sep>", "[SEP]")
        self.mask_id = self._special_id(option, "<mask>", "[MASK]")
        self.pad_id = self._ids.get("<pad>", self._ids.get("[PAD]", 0))
        self.starts_word = np.array([piece.startswith(WORD_START) for piece in self._pieces])
        self.is_special = np.array([processor.is_control(everyone), processor.is_unknown(everyone),
                                    processor.is_unused(everyone)]).any(axis=0)
        self.is_special[[i for piece, i in self._ids.items() if SPECIAL_PIECE.fullmatch(piece)]] = True
        self.is_special[self.pad_id] = True

    def _special_id(self, option, *names):
        for name in names:
            if name in self._ids:
                return self._ids[name]
        raise InputError(f"the vocabulary has no {names[0]} piece",
                         "train one with bin/train_tokenizer, or give one made with that control symbol", name=option,
                         value=self.path)

    def __reduce__(self):
        return Tokenizer, (self.model, self.path, "tokenizer", self.text_form)

    @property
    def has_capitals(self):
        """Whether any piece has a capital letter; without one, text must be in lower case."""
        return any(piece != piece.lower() for i, piece in enumerate(self._pieces) if not self.is_special[i])

    def with_text_form(self, text_form):
        """The same vocabulary with another `TextForm`."""
        other = copy.copy(self)
        other.text_form = text_form
        return other

    def files(self, vocabulary_name, say_form=False):
        """{file name: bytes} that a folder needs to give this vocabulary again, its `text_form` included.

        Args: `say_form`, whether to write the form that changes nothing too.
        """
        files = {vocabulary_name: self.model}
        if say_form or not self.text_form.is_identity:
            files[TOKENIZER_CONFIG] = self.text_form.to_json()
        return files

    def piece(self, token_id):
        """The piece of an id, with its U+2581 mark."""
        return self._pieces[token_id]

    def encode_lines(self, lines, num_threads=1):
        """Ids of each line, without special tokens: a list of int32 arrays (n_i,)."""
        if not lines:
            return []
        if not self.text_form.is_identity:
            lines = [self.text_form.apply(line) for line in lines]
        return self._processor.encode(lines, return_type="numpy", num_threads=num_threads)

    def decode(self, ids):
        """The text of a sequence of ids."""
        return self._processor.decode([int(i) for i in ids])
