"""The two searches for duplicates, each against a plain reading of its definition."""

import hashlib
import re
import tracemalloc
import zlib

import datasketch
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_corpus import make_documents

from albert_hvd.data.text import duplicates
from albert_hvd.data.text.duplicates import (BYTES_OF_A_SIGNATURE, BYTES_OF_BANDS, EXACT, KEPT, NEAR, SignatureIndex,
                                             exact_key, mark_exact, mark_near, signature)


def verdicts_on(documents, tmp_path, memory_bytes=10**9, exact=True):
    """What the two searches say of documents, given in two parts."""
    keys = np.frombuffer(b"".join(map(exact_key, documents)), "<u8").reshape(-1, 2)
    values = [signature(document, 20) for document in documents]
    cut, verdicts = len(documents) // 2, np.zeros(len(documents), np.uint8)
    if exact:
        mark_exact(lambda: (keys[:cut], keys[cut:]), verdicts, memory_bytes)
    mark_near(lambda: ((np.array([one is not None for one in part]),
                        np.array([one for one in part if one is not None], np.uint16).reshape(-1, 64))
                       for part in (values[:cut], values[cut:])), verdicts, len(documents), 0.8, memory_bytes, str(tmp_path))
    return verdicts.tolist()


def test_signatures_are_those_of_datasketch(monkeypatch):
    """Each document's word triples, hashed by the package, whose permutations alone are used."""
    monkeypatch.setattr(duplicates, "HASHES_AT_ONCE", 7)
    documents = [*make_documents(5, 2), ["Satu dua"], ["Café, CAFÉ! kopi_o"], ["satu"], ["☺"]]
    words = list(map(duplicates.words_of, documents))
    for lines, own, values in zip(documents, words, duplicates.signatures(words, 2), strict=True):
        plain = re.sub(r"[\W_]+", " ", " ".join(lines).casefold()).split()
        assert own == [word.encode() for word in plain]
        assert exact_key(lines) == hashlib.blake2b("".join(plain or lines).encode(), digest_size=16).digest()
        if len(plain) < 2:
            assert values is None
            continue
        expected = datasketch.MinHash(num_perm=64, seed=1, hashfunc=zlib.crc32)
        expected.update_batch([" ".join(plain[i:i + 3]).encode() for i in range(max(len(plain) - 2, 1))])
        assert values.dtype == np.uint16 and (values == expected.hashvalues.astype(np.uint16)).all()


@pytest.mark.parametrize("memory_bytes", [10**9, 1])
def test_duplicates(tmp_path, memory_bytes):
    document = [line for lines in make_documents(8, 5) for line in lines]
    edited = [*document[:-1], document[-1] + " Baca juga: berita lain."]
    other = [line for lines in make_documents(8, 6) for line in lines]
    documents = [document, [line.upper() for line in document], edited, other, ["pendek"], ["Pendek!"]]
    assert verdicts_on(documents, tmp_path, memory_bytes) == [KEPT, EXACT, NEAR, KEPT, KEPT, EXACT]
    assert verdicts_on(documents, tmp_path, memory_bytes, exact=False) == [KEPT, NEAR, NEAR, KEPT, KEPT, KEPT]
    assert signature(["pendek sahaja"], 20) is None and exact_key(["😀"]) != exact_key(["😂"])
    assert bool(list(tmp_path.iterdir())) == (memory_bytes == 1)  # the tables


def test_the_first_of_many_equal_documents_is_kept(tmp_path):
    """Against a set of what was seen, with memory for all and for a tenth of the keys."""
    numbers = np.random.default_rng(1).integers(0, 300, 1000).tolist()
    expected = [EXACT if number in numbers[:place] else KEPT for place, number in enumerate(numbers)]
    keys = np.frombuffer(b"".join(exact_key([str(number)]) for number in numbers), "<u8").reshape(-1, 2)
    for memory_bytes, most_reads in ((10**9, 1), (6400, 10)):
        verdicts, reads = np.zeros(1000, np.uint8), []

        def parts():
            reads.append(1)
            yield from (keys[:100], keys[100:100], keys[100:])

        mark_exact(parts, verdicts, memory_bytes)
        assert verdicts.tolist() == expected and len(reads) == most_reads


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 40), st.sampled_from([1, 3, 7]), st.sampled_from([10**9, 2000]))
def test_near_duplicates_are_those_of_the_definition(tmp_path_factory, seed, count, part, memory_bytes):
    """Signatures of which many share bands, some at other places, against all pairs in their order."""
    random = np.random.default_rng(seed)
    bands = random.integers(0, 1 << 16, (6, 8)).astype(np.uint16)
    signatures = bands[random.integers(0, 6, (count, 8))].reshape(count, 64)
    signatures[random.random(signatures.shape) < 0.03] += 1
    before = (random.random(count) < 0.2).astype(np.uint8)  # EXACT, found before
    expected, kept = before.copy(), []
    for place in np.flatnonzero(before == KEPT).tolist():
        equal = signatures[kept] == signatures[place]
        in_common = equal.reshape(-1, 8, 8).all(axis=2).any(axis=1)
        if (in_common & (equal.mean(axis=1) >= 0.3)).any():
            expected[place] = NEAR
        else:
            kept.append(place)
    verdicts = before.copy()
    cuts = range(0, count, part)
    mark_near(lambda: ((np.ones(len(signatures[cut:cut + part]), bool), signatures[cut:cut + part]) for cut in cuts),
              verdicts, count, 0.3, memory_bytes, str(tmp_path_factory.mktemp("tables")))
    assert verdicts.tolist() == expected.tolist()


def test_the_search_for_near_duplicates_takes_the_stated_memory(tmp_path):
    """What NumPy allocates at its peak, of 40,000 signatures without a band in common."""
    count, memory_bytes = 40_000, 4_000_000
    signatures = np.random.default_rng(0).integers(0, 1 << 16, (count, 64)).astype(np.uint16)
    peaks = []
    for allowed in (10**9, memory_bytes):
        tracemalloc.start()
        mark_near(lambda: ((np.ones(500, bool), signatures[at:at + 500]) for at in range(0, count, 500)),
                  np.zeros(count, np.uint8), count, 0.8, allowed, str(tmp_path))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert count * BYTES_OF_BANDS / 2 < peaks[0] < count * (BYTES_OF_BANDS + 8)
    assert peaks[1] < 1.1 * memory_bytes + count
    assert not list(tmp_path.iterdir())  # the index is empty


@pytest.mark.parametrize("on_disk", [False, True])
def test_the_index_finds_what_shares_a_band(tmp_path, on_disk):
    """Against a plain reading of the definition, in the memory that is stated."""
    random = np.random.default_rng(0)
    signatures = random.integers(0, 1 << 16, (2000, 64)).astype(np.uint16)
    signatures[1::2, :24] = signatures[::2, :24]  # neighbours share three bands
    signatures[::100, :8] = 7  # and some share one with many
    index = SignatureIndex(2000, str(tmp_path) if on_disk else None)
    for number, values in enumerate(signatures):
        bands = signatures[:number].reshape(-1, 8, 8)
        near = (bands == values.reshape(8, 8)).all(axis=2).any(axis=1)
        expected = (signatures[:number][near] == values).mean(axis=1)
        found = index.similarities(values)
        assert np.sort(found).tolist() == np.sort(expected).tolist()
        index.add(values)
    assert len(index) == 2000
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == (index.num_bytes if on_disk else 0)


def test_the_memory_of_the_index_is_as_stated(monkeypatch):
    monkeypatch.setattr(np, "zeros", lambda shape, dtype: np.empty(0))
    for capacity in (2**10, 2**20 + 1, 2**27, 2**28 - 1):
        assert SignatureIndex(capacity).num_bytes <= BYTES_OF_A_SIGNATURE * capacity + 8
    assert 224 * 2**29 < SignatureIndex(2**29).num_bytes <= 320 * 2**29 + 8
