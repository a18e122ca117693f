"""Exact and near-duplicate documents.

Exact: letters and digits only, case folded. Near: the estimated Jaccard similarity of the documents'
word triples (MinHash, datasketch; A. Broder, "On the resemblance and containment of documents", 1997). The
first of several equal documents is kept. Memory: a byte a document, `BYTES_OF_A_KEY` bytes while exact ones are looked
for, then `BYTES_OF_BANDS` while the longer ones are looked for that may be near another one, in several rounds where
that is more than the memory allowed; then `BYTES_OF_A_SIGNATURE` for each of these, on disk where that is more.
"""

import functools
import hashlib
import os
import re
import zlib

import numpy as np

KEPT, EXACT, NEAR = range(3)  # verdicts

BYTES_OF_A_KEY = 64  # 16 of the key, 8 of its place, and as much again and more while they are sorted
BYTES_OF_A_SIGNATURE = 224  # at most; 320 from 268 million signatures on, whose links have eight bytes
NUM_PERMUTATIONS = 64
BYTES_OF_BANDS = 256  # of one signature: 8 of each band's hash, 8 of its place, and as much again while they are sorted
# 8 bands of 8 hashes: finds 77 % of the pairs at a similarity of 0.8, 99 % at 0.9; the estimate from
# all 64 hashes then decides.
NUM_BANDS = 8
# Odd numbers by which a band's 16 bytes are mixed to one hash (multiplicative hashing).
MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
NOT_LETTER_OR_DIGIT = re.compile(r"[\W_]+")
# The same of ASCII, case folded: what is neither becomes a space.
_ASCII_WORDS = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ") for code in range(256))
HASHES_AT_ONCE = 1024  # of all permutations, in the processor's cache


@functools.lru_cache(maxsize=1)
def _permutations():
    """The factors and the summands of the hashes, uint32 (64, 1) each: those of datasketch's MinHash of seed 1."""
    import datasketch  # here, because it brings SciPy, which `--help` need not wait for

    return [part[:, None] for part in datasketch.MinHash(num_perm=NUM_PERMUTATIONS, seed=1).permutations]


def words_of(lines):
    """What documents are compared by: their words of letters and digits alone, case folded, list of bytes in UTF-8."""
    text = " ".join(lines)
    if text.isascii():
        return text.encode("ascii").translate(_ASCII_WORDS).split()
    return NOT_LETTER_OR_DIGIT.sub(" ", text.casefold()).encode("utf-8", "surrogatepass").split()


def exact_key(lines, words=None):
    """16 bytes that are equal for documents of the same letters and digits.

    Args: `words`, where they are known, the document's `words_of`.
    """
    text = b"".join(words_of(lines) if words is None else words)
    # A document of symbols alone (emoji) is compared as it stands.
    return hashlib.blake2b(text or "\n".join(lines).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def signature(lines, min_words):
    """MinHash of a document, as `signatures` gives it."""
    return signatures([words_of(lines)], min_words)[0]


def signatures(documents, min_words):
    """MinHash of each document's word triples; None for one of fewer than `min_words` words.

    They are those of datasketch (its scheme "affine32"), for many documents at once.

    Args: `documents`, the `words_of` each.
    Returns: list of uint16 (64,), the low bits of the MinHash values: two that differ agree in these by chance
      once in 65,536, which the estimate does not notice, and they take half the memory.
    """
    found, hashes, starts = [None] * len(documents), [], []
    chosen = [number for number, words in enumerate(documents) if len(words) >= min_words]
    for words in map(documents.__getitem__, chosen):
        starts.append(len(hashes))
        triples = zip(words, words[1:], words[2:]) if len(words) > 2 else [words]
        hashes += map(zlib.crc32, map(b" ".join, triples))
    if not chosen:
        return found
    for number, values in zip(chosen, _least(_mixed(np.array(hashes, np.uint32)), np.array(starts)).astype(np.uint16)):
        found[number] = values
    return found


def _mixed(hashes):
    """MurmurHash3's finalizer of uint32 (N,), which datasketch mixes hashes by."""
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        hashes = (hashes ^ hashes >> np.uint32(shift)) * np.uint32(factor)
    return hashes ^ hashes >> np.uint32(16)


def _least(hashes, starts):
    """The least of each permutation of the hashes of documents, which begin at `starts`: uint32 (documents, 64)."""
    factors, summands = _permutations()
    least = np.full((len(starts), NUM_PERMUTATIONS), 0xFFFFFFFF, np.uint32)
    for begin in range(0, len(hashes), HASHES_AT_ONCE):
        part = hashes[begin:begin + HASHES_AT_ONCE]
        first = np.searchsorted(starts, begin, side="right") - 1
        last = np.searchsorted(starts, begin + len(part))
        cuts = np.maximum(starts[first:last] - begin, 0)
        of_documents = np.minimum.reduceat(part * factors + summands, cuts, axis=1)
        np.minimum(least[first:last], of_documents.T, out=least[first:last])
    return least


class SignatureIndex:
    """Signatures, found again by any band that they have in common (locality-sensitive hashing).

    A hash table in three flat arrays: `_heads` has the newest entry of each bucket, `_next` the one before
    it in the same bucket, 0 for none; entry 8 n + b + 1 is band b of signature n.

    Args:
      capacity: the most signatures that will be added.
      folder: where the arrays lie as files instead of in memory; they are `num_bytes` large.
    """

    def __init__(self, capacity, folder=None):
        self._count, entries = 0, NUM_BANDS * capacity
        links = np.dtype(np.int32 if entries < 2**31 else np.int64)
        shapes = [((capacity, NUM_PERMUTATIONS), np.dtype(np.uint16)), ((entries + 1,), links),
                  ((1 << max(entries - 1, 1 << 9).bit_length(),), links)]
        self.num_bytes = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in shapes)
        # Zeros take no memory before they are written to.
        self._signatures, self._next, self._heads = (
            _on_disk(os.path.join(folder, f"index-{number}"), *kind) if folder else np.zeros(*kind)
            for number, kind in enumerate(shapes))

    def __len__(self):
        return self._count

    def similarities(self, values, buckets=None):
        """The estimated similarity to `values` of every signature with a band in common: float64 (n,).

        Args: `buckets`, where they are known, what `buckets` gives for the values.
        """
        found, following = set(), self._next
        for entry in self._heads[self.buckets(values) if buckets is None else buckets].tolist():
            while entry > 0:
                found.add((entry - 1) // NUM_BANDS)
                entry = int(following[entry])
        equal = self._signatures[sorted(found)] == values
        # What only fell into the same bucket is left out: that would depend on how many buckets there are.
        return equal[equal.reshape(-1, NUM_BANDS, NUM_PERMUTATIONS // NUM_BANDS).all(axis=2).any(axis=1)].mean(axis=1)

    def add(self, values, buckets=None):
        """Remember a signature, uint16 (64,); `buckets` as for `similarities`."""
        buckets = self.buckets(values) if buckets is None else buckets
        for entry, bucket in enumerate(buckets.tolist(), NUM_BANDS * self._count + 1):
            self._next[entry] = self._heads[bucket]
            self._heads[bucket] = entry
        self._signatures[self._count] = values
        self._count += 1

    def buckets(self, signatures):
        """The bucket of each band: (..., 64) uint16 -> (..., 8)."""
        # The high bits are the well mixed ones.
        return _band_hashes(signatures) >> np.uint64(65 - len(self._heads).bit_length())


def _band_hashes(signatures):
    """A hash of each band, uint64: (..., 64) uint16 -> (..., 8)."""
    words = np.ascontiguousarray(signatures).view(np.uint64).reshape(*signatures.shape[:-1], NUM_BANDS, 2)
    return (words * MIX).sum(axis=-1, dtype=np.uint64)


def _on_disk(path, shape, dtype):
    """An array of zeros in a file of that size."""
    with open(path, "wb") as file:
        if np.prod(shape):
            # Room for all of it at once: a disk that is full when a page is written ends the process without a word.
            os.posix_fallocate(file.fileno(), 0, int(np.prod(shape)) * dtype.itemsize)
    return np.asarray(np.memmap(path, dtype, "r+", shape=shape)) if np.prod(shape) else np.zeros(shape, dtype)


def mark_exact(parts, verdicts, memory_bytes):
    """Mark documents whose key an earlier one has.

    Args:
      parts: function without arguments that yields the keys, uint64 (n, 2), of the documents in their order.
      verdicts: uint8, one for each document, which gets `EXACT`.
      memory_bytes: what it may take; beyond, the keys are read several times, each time another part of them.
    """
    rounds = _num_rounds(len(verdicts) * BYTES_OF_A_KEY, memory_bytes)
    for number in range(rounds):
        keys, places, begin = [], [], 0
        for part in parts():
            chosen = np.flatnonzero(part[:, 0] % np.uint64(rounds) == number)
            keys.append(part[chosen])
            places.append(begin + chosen)
            begin += len(part)
        keys, places = np.concatenate(keys), np.concatenate(places)
        order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal ones stay in the order of the documents
        equal = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
        verdicts[places[order[1:][equal]]] = EXACT


def _num_rounds(num_bytes, memory_bytes):
    return max(-(-num_bytes // max(memory_bytes, 1)), 1)


def mark_near(parts, verdicts, num_signatures, threshold, memory_bytes, folder):
    """Mark documents that are nearly the same as an earlier one that is kept.

    Most documents have no band in common with any other. They are found first, and need no place in the index.

    Args:
      parts: function without arguments that yields (bool (n,), uint16 (m, 64)): which documents have a signature, and
        those, in the order of the documents.
      verdicts: uint8, one for each document; those that are not 0 are left out, others may get `NEAR`.
      num_signatures: of all parts together.
      memory_bytes: what each of both steps may take; a larger index lies in files in `folder`.
    """
    shared = _with_shared_bands(parts, verdicts, num_signatures, memory_bytes)
    index, capacity = SignatureIndex(0), int(shared.sum())
    if index.num_bytes + capacity * BYTES_OF_A_SIGNATURE <= memory_bytes:
        folder = None
    index = SignatureIndex(capacity, folder)
    for places, signatures, number in _numbered(parts):
        chosen = np.flatnonzero(shared[number:number + len(places)])
        signatures = signatures[chosen]
        for place, values, buckets in zip(places[chosen].tolist(), signatures, index.buckets(signatures)):
            similar = index.similarities(values, buckets)
            if len(similar) and similar.max() >= threshold:
                verdicts[place] = NEAR
            else:
                index.add(values, buckets)


def _with_shared_bands(parts, verdicts, num_signatures, memory_bytes):
    """Which signatures have a band's hash in common with another one, of documents without a verdict: bool (num_signatures,).

    The hashes are sorted, in rounds that each take another part of them.
    """
    shared = np.zeros(num_signatures, bool)
    rounds = _num_rounds(num_signatures * BYTES_OF_BANDS, memory_bytes)
    for round_number in range(rounds):
        hashes, owners = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
        for places, signatures, number in _numbered(parts):
            of_bands = _band_hashes(signatures)
            chosen = (of_bands % np.uint64(rounds) == round_number) & (verdicts[places] == KEPT)[:, None]
            hashes.append(of_bands[chosen])
            owners.append(number + np.nonzero(chosen)[0])
        hashes, owners = np.concatenate(hashes), np.concatenate(owners)
        order = np.argsort(hashes)
        hashes = hashes[order]
        equal = np.flatnonzero(hashes[1:] == hashes[:-1])
        shared[owners[order[equal]]] = shared[owners[order[equal + 1]]] = True
    return shared


def _numbered(parts):
    """Yield the places of each part's documents with a signature, int64 (m,), those, and the number of the first."""
    begin = number = 0
    for has_signature, signatures in parts():
        yield begin + np.flatnonzero(has_signature), signatures, number
        begin, number = begin + len(has_signature), number + len(signatures)
