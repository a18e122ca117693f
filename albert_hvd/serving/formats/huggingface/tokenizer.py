"""`tokenizer.json` and its companions from a SentencePiece model, written without Hugging Face's libraries.

The file tells the `tokenizers` library to do what SentencePiece does: NFC and the model's own character map,
blanks collapsed and cut at the end, U+2581 before each word, and the same unigram scores. Four things are
the library's own way:

* It adds scores in float64, SentencePiece in float32: segmentations whose scores are equal up to rounding
  ("yyyyy" as yy yyy or yyy yy) may be chosen differently.
* A control symbol spelled out in the text, such as <mask>, is taken for the symbol.
* The first word gets no U+2581 where a text begins with `` or '' that an uncased model has replaced.
* A combining mark after a character that NFKC replaces (a full-width letter with an accent) is lost.

The class named in tokenizer_config.json is the general one: transformers' AlbertTokenizer would put its own
normaliser, which lower-cases and strips accents, and its own id of <unk> in the place of what is written here.
"""

import base64
import unicodedata

from albert_hvd.data.text.tokenizer import WORD_START
from albert_hvd.errors import InputError, command

# SentencePiece's ModelProto.SentencePiece.Type and TrainerSpec.ModelType.
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4
_UNIGRAM = 1

# What SentencePiece's unigram model scores a user-defined symbol with, whatever the file says.
_USER_DEFINED_SCORE = -0.1


def read_sentencepiece_model(path):
    """The protocol buffer of a .model file; InputError when tokenizer.json cannot do what it does."""
    from sentencepiece import sentencepiece_model_pb2

    model = sentencepiece_model_pb2.ModelProto()
    with open(path, "rb") as file:
        model.ParseFromString(file.read())
    trainer, normalizer = model.trainer_spec, model.normalizer_spec
    kinds = {piece.type for piece in model.pieces}
    for problem, found in (
            ("is not a unigram model", trainer.model_type != _UNIGRAM),
            ("falls back to bytes", trainer.byte_fallback),
            ("marks blanks behind words", trainer.treat_whitespace_as_suffix),
            ("keeps runs of blanks", not normalizer.remove_extra_whitespaces),
            ("puts no blank before the first word", not normalizer.add_dummy_prefix),
            ("does not mark blanks", not normalizer.escape_whitespaces),
            ("has unused pieces", not kinds <= {_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED})):
        if found:
            raise InputError(f"the vocabulary {problem}",
                             "tokenizer.json is written for vocabularies of "
                             f"{command('train_tokenizer', model_type='unigram')}",
                             value=path)
    for piece in model.pieces:
        if piece.type == _USER_DEFINED and unicodedata.normalize("NFKC", piece.piece) != piece.piece:
            raise InputError(f"the user-defined symbol {piece.piece!r} is one that normalisation replaces, which "
                             "tokenizer.json cannot prevent",
                             "train a vocabulary without it", value=path)
    return model


def tokenizer_json(model, tokenizer):
    """The content of `tokenizer.json`.

    Args:
      model: from `read_sentencepiece_model`.
      tokenizer: the `tokenizer.Tokenizer` of the same file.

    Returns:
      JSON-able dict.
    """
    pieces = [piece.piece for piece in model.pieces]
    special = [i for i, piece in enumerate(model.pieces) if piece.type in (_UNKNOWN, _CONTROL)]
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, **added_token(pieces[i], tokenizer)} for i in special],
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(model.normalizer_spec, tokenizer.text_form)},
        "pre_tokenizer": _metaspace("first", split=not any(WORD_START in piece[1:] for piece in pieces)),
        "post_processor": _template(tokenizer),
        "decoder": _metaspace("always", split=True),
        "model": {"type": "Unigram", "unk_id": tokenizer.unk_id, "byte_fallback": False,
                  "vocab": [[piece.piece, _USER_DEFINED_SCORE if piece.type == _USER_DEFINED else piece.score]
                            for piece in model.pieces]},
    }


def added_token(content, tokenizer):
    """A special token; the mask takes the blank before it, so that "ibu <mask>" has no lone U+2581."""
    return {"content": content, "single_word": False, "lstrip": content == tokenizer.piece(tokenizer.mask_id),
            "rstrip": False, "normalized": False, "special": True}


def tokenizer_config(tokenizer, max_length):
    """The content of `tokenizer_config.json`; `max_length` is that of the longest row for the model."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "clean_up_tokenization_spaces": False, "padding_side": "right", **special_tokens_map(tokenizer),
        **({} if tokenizer.text_form.is_identity else tokenizer.text_form.to_dict()),
    }


def special_tokens_map(tokenizer):
    """The content of `special_tokens_map.json`, by the names that the vocabulary has."""
    ids = {"bos": tokenizer.cls_id, "eos": tokenizer.sep_id, "unk": tokenizer.unk_id, "sep": tokenizer.sep_id,
           "pad": tokenizer.pad_id, "cls": tokenizer.cls_id}
    mask = tokenizer.piece(tokenizer.mask_id)
    return {**{f"{name}_token": tokenizer.piece(i) for name, i in ids.items()},
            "mask_token": {"__type": "AddedToken", **added_token(mask, tokenizer)}}


def _normalizers(spec, text_form):
    steps = []
    if text_form.straight_quotes:
        steps += [{"type": "Replace", "pattern": {"String": quotes}, "content": '"'} for quotes in ("``", "''")]
    if not text_form.keep_accents:
        steps += [{"type": "NFKD"}, {"type": "StripAccents"}]
    if text_form.do_lower_case:
        steps.append({"type": "Lowercase"})
    if "nfkc" in spec.name:
        # The library looks up one character cluster at a time, SentencePiece the longest sequence.
        steps.append({"type": "NFC"})
    if spec.precompiled_charsmap:
        charsmap = base64.b64encode(spec.precompiled_charsmap).decode("ascii")
        steps.append({"type": "Precompiled", "precompiled_charsmap": charsmap})
    return [*steps, _replace(" {2,}", " "), _replace(" +$", "")]


def _replace(pattern, content):
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


def _metaspace(prepend_scheme, split):
    return {"type": "Metaspace", "replacement": WORD_START, "prepend_scheme": prepend_scheme, "split": split}


def _template(tokenizer):
    """<cls> A <sep> of type 0, B <sep> of type 1."""
    cls, sep = tokenizer.piece(tokenizer.cls_id), tokenizer.piece(tokenizer.sep_id)

    def symbol(name, type_id):
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    first = [symbol(cls, 0), {"Sequence": {"id": "A", "type_id": 0}}, symbol(sep, 0)]
    return {
        "type": "TemplateProcessing", "single": first,
        "pair": [*first, {"Sequence": {"id": "B", "type_id": 1}}, symbol(sep, 1)],
        "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]}
                           for name, i in ((cls, tokenizer.cls_id), (sep, tokenizer.sep_id))},
    }
