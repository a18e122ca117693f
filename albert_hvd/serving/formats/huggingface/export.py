"""`bin/export --format=huggingface`: a folder that `transformers` loads with its Auto classes."""

import json
import os
import shutil

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from albert_hvd.data.text.text_form import TOKENIZER_CONFIG
from albert_hvd.errors import InputError
from albert_hvd.run_folder.layout import CONFIG, VOCABULARY
from albert_hvd.runtime.files import use_umask, whole_folder
from albert_hvd.serving.formats.huggingface.model_card import model_card
from albert_hvd.serving.formats.huggingface.names import check_architecture, config_to_huggingface, to_huggingface
from albert_hvd.serving.formats.huggingface.options import FolderOptions
from albert_hvd.serving.formats.huggingface.tokenizer import (read_sentencepiece_model, special_tokens_map,
                                                              tokenizer_config, tokenizer_json)
from albert_hvd.serving.formats.parts import MASKED_LM_HEAD, OPTIONAL_PARTS
from albert_hvd.serving.formats.sources import trained_positions
from albert_hvd.serving.formats.vocabulary import fitting_tokenizer

TOKENIZER_JSON = "tokenizer.json"


def export_huggingface(source, output_dir, options=FolderOptions()):
    """Write a Hugging Face folder: config, weights, tokenizer and model card.

    Args:
      source: a `sources.ModelSource`; variables that it lists as missing are left out.
      output_dir: a new or empty folder; it appears only when everything in it is written.
      options: `FolderOptions`.

    Raises:
      InputError: another architecture than "albert", no vocabulary or one that does not fit, weights that float16
        cannot hold, no such `data_card`, an `output_dir` that holds something, or a full disk.
    """
    check_architecture(source.config)
    tokenizer = fitting_tokenizer(source)
    arrays = {path: array for path, array in source.arrays.items() if path not in source.missing}
    architecture = transformers_class(arrays)
    sentencepiece_model = read_sentencepiece_model(source.tokenizer_path)
    documents = {
        CONFIG: config_to_huggingface(source.config, tokenizer, architecture),
        **_tokenizer_documents(sentencepiece_model, tokenizer, trained_positions(source.folder, source.config)),
    }
    card = model_card(source.folder, source.config, tokenizer, architecture, options)
    _write_folder(output_dir, to_huggingface(arrays), documents, card, source.tokenizer_path, options)


def export_fine_tuned(output_dir, config, arrays, tokenizer, tokenizer_path, max_seq_length, architecture, settings,
                      card, options):
    """Write a Hugging Face folder of a fine-tuned model.

    Args:
      output_dir: as of `export_huggingface`.
      config: `AlbertConfig`.
      arrays: {path: float32 array} of the encoder and of "head/kernel" and "head/bias", the classifier.
      tokenizer: `tokenizer.Tokenizer`.
      tokenizer_path: of its file.
      max_seq_length: most pieces of a row.
      architecture: name of the transformers class.
      settings: what config.json has beside the sizes, such as `id2label`.
      card: text of the model card.
      options: `FolderOptions`.

    Raises:
      InputError: as `export_huggingface`.
    """
    documents = {CONFIG: {**config_to_huggingface(config, tokenizer, architecture), **settings},
                 **_tokenizer_documents(read_sentencepiece_model(tokenizer_path), tokenizer, max_seq_length)}
    _write_folder(output_dir, to_huggingface(arrays), documents, card, tokenizer_path, options)


def _tokenizer_documents(sentencepiece_model, tokenizer, max_length):
    return {TOKENIZER_JSON: tokenizer_json(sentencepiece_model, tokenizer),
            TOKENIZER_CONFIG: tokenizer_config(tokenizer, max_length),
            "special_tokens_map.json": special_tokens_map(tokenizer)}


def transformers_class(paths):
    """The class that these variables are complete for."""
    has = {part: any(path.startswith(part) for path in paths) for part in OPTIONAL_PARTS}
    if all(has.values()):
        return "AlbertForPreTraining"
    return "AlbertForMaskedLM" if has[MASKED_LM_HEAD] else "AlbertModel"


def _write_folder(output_dir, tensors, documents, card, tokenizer_path, options):
    tensors = {name: _in_type(name, array, options.dtype) for name, array in tensors.items()}
    documents[CONFIG]["dtype"] = options.dtype
    if not options.tokenizer_json:
        del documents[TOKENIZER_JSON]
    with whole_folder(output_dir, (SafetensorError,)) as folder:
        save_file(tensors, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        use_umask(os.path.join(folder, "model.safetensors"))
        for file_name, values in documents.items():
            _write_text(os.path.join(folder, file_name), json.dumps(values, indent=2, ensure_ascii=False) + "\n")
        _write_text(os.path.join(folder, "README.md"), card)
        shutil.copyfile(tokenizer_path, os.path.join(folder, VOCABULARY))


def _in_type(name, array, dtype):
    """An array in another type, rounded to the nearest; InputError for numbers that become infinite there."""
    with np.errstate(over="ignore"):
        converted = array.astype(dtype)
    if not np.array_equal(np.isfinite(converted), np.isfinite(array)):
        raise InputError(f"{name} has {float(np.abs(array).max()):g}, too large for it", "give float32", name="dtype",
                         value=dtype)
    return converted


def _write_text(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
