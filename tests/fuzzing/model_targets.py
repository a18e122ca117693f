"""Targets that read models: vocabularies, weights, archives."""

import functools
import gzip
import io
import json
import os
import pathlib
import shutil
import tarfile
import unittest.mock

import numpy as np
from fuzz_target import Target
from json_targets import SMALL_CONFIG, as_json, small_checkpoint, write_file
from mutations import mutate_json
from safetensors.numpy import save
from text_targets import small_model

from albert_hvd.data.text.tokenizer import Tokenizer
from albert_hvd.reporting.run_reader import read_runs
from albert_hvd.run_folder.checkpoints import WEIGHTS, load_arrays
from albert_hvd.run_folder.layout import TRAIN_LOG
from albert_hvd.serving.archives import is_archive, unpack
from albert_hvd.serving.formats.huggingface.names import to_huggingface
from albert_hvd.serving.formats.huggingface.tokenizer import (read_sentencepiece_model, special_tokens_map,
                                                              tokenizer_config, tokenizer_json)
from albert_hvd.serving.formats.huggingface.weights import SAFETENSORS, SHARDS, read_weights

_ARCHIVED_BYTES = 1 << 20
_TAR_BLOCK = 512


def _tokenizer(data, folder):
    path = write_file(folder, "a.model", data)
    tokenizer = Tokenizer.from_file(path)
    assert len(tokenizer.starts_word) == len(tokenizer.is_special) == tokenizer.vocab_size
    encoded = tokenizer.encode_lines(["saya makan (di) rumah", "", "kanak-kanak \u2581 \U0001f600 <mask>"])
    assert all(((0 <= ids) & (ids < tokenizer.vocab_size)).all() for ids in encoded)
    tokenizer.decode([*encoded[0], tokenizer.mask_id])
    model = read_sentencepiece_model(path)
    json.dumps([tokenizer_json(model, tokenizer), tokenizer_config(tokenizer, 16), special_tokens_map(tokenizer)])


def _weights(data, folder):
    checkpoint = small_checkpoint(folder)
    run = os.path.dirname(os.path.dirname(checkpoint))
    write_file(checkpoint, WEIGHTS, data)
    write_file(run, TRAIN_LOG, b'{"step": 1}\n')
    read_runs([run])
    arrays = load_arrays(checkpoint, WEIGHTS, {"a": (2,)}, "init_checkpoint=a")
    assert arrays["a"].dtype == np.float32


@functools.cache
def _shapes():
    from albert_hvd.model.pretraining_model import variable_shapes  # imports TensorFlow

    return variable_shapes(SMALL_CONFIG)


def _read_huggingface(folder):
    # Which would otherwise build a graph each time.
    with unittest.mock.patch("albert_hvd.model.pretraining_model.variable_shapes", lambda config, source: _shapes()):
        arrays = read_weights(folder, SMALL_CONFIG)
    assert all(array.dtype == np.float32 and array.shape == _shapes()[path] for path, array in arrays.items())


def _huggingface_arrays():
    return to_huggingface({path: np.zeros(shape, np.float32) for path, shape in _shapes().items()})


def _huggingface_weights(data, folder):
    _shapes()
    write_file(folder, SAFETENSORS, data)
    _read_huggingface(folder)


def _huggingface_shards(data, folder):
    part = os.path.join(folder, "part.safetensors")
    if not os.path.exists(part):
        write_file(folder, "part.safetensors", save(_huggingface_arrays()))
    write_file(folder, SHARDS, data)
    _read_huggingface(folder)


def _unpack(path, folder):
    inner = os.path.join(folder, "around", "unpacked")
    os.makedirs(inner)
    try:
        if is_archive(path):
            unpack(path, inner, _ARCHIVED_BYTES, 50)
    finally:
        found = sorted(pathlib.Path(folder, "around").rglob("*"))
        shutil.rmtree(os.path.join(folder, "around"))
    assert found[:1] == [pathlib.Path(inner)] and len([one for one in found if one.parent == found[0].parent]) == 1


def _archive(data, folder):
    _unpack(write_file(folder, "a.tar.gz", data), folder)


def _tar(data, folder):
    """A tar whose headers have the right checksums, however they were changed, compressed."""
    blocks = [data[start:start + _TAR_BLOCK] for start in range(0, len(data), _TAR_BLOCK)]
    blocks = [_with_checksum(block) if block[257:262] == b"ustar" else block for block in blocks]
    _unpack(write_file(folder, "a.tar.gz", gzip.compress(b"".join(blocks), 1)), folder)


def _with_checksum(header):
    header = header.ljust(_TAR_BLOCK, b"\0")
    blank = header[:148] + b" " * 8 + header[156:]
    return header[:148] + b"%06o\0 " % sum(blank) + header[156:]


def _tar_seeds(folder):
    seeds = []
    for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
            for name, content in (("a", b"abc"), ("b/" + "x" * (30 if form == tarfile.USTAR_FORMAT else 150), b"")):
                info = tarfile.TarInfo(name)
                info.size, info.pax_headers = len(content), {"comment": "x"}
                archive.addfile(info, io.BytesIO(content))
            folder_info = tarfile.TarInfo("c")
            folder_info.type = tarfile.DIRTYPE
            archive.addfile(folder_info)
        seeds.append(packed.getvalue()[:8 * _TAR_BLOCK])
    return seeds


def _weight_index_seeds(folder):
    return as_json({"metadata": {}, "weight_map": dict.fromkeys(_huggingface_arrays(), "part.safetensors")})


TARGETS = (
    Target("tokenizer", _tokenizer, lambda folder: [small_model()], share=0.03),
    Target("weights", _weights, lambda folder: [save({"a": np.zeros(2, np.float32)})], share=0.5),
    Target("huggingface_weights", _huggingface_weights, lambda folder: [save(_huggingface_arrays())], share=0.3),
    Target("huggingface_shards", _huggingface_shards, _weight_index_seeds, mutate=mutate_json, share=0.3),
    Target("archive", _archive, lambda folder: [gzip.compress(seed, 1) for seed in _tar_seeds(folder)], share=0.3),
    Target("tar", _tar, _tar_seeds, share=0.3),
)
