"""Exact and near-duplicate documents.

Exact: letters and digits only, case folded. Near: the estimated Jaccard similarity of the documents'
word triples (MinHash, datasketch; A. Broder, "On the resemblance and containment of documents", 1997). The
first of several equal documents is kept. Memory: about 100 bytes per document for exact ones, and about
220 bytes more for each of the longer ones that near-duplicate search looks at.
"""

import array
import functools
import hashlib
import re
import zlib

import numpy as np

NUM_PERMUTATIONS = 64
# 8 bands of 8 hashes: finds 77 % of the pairs at a similarity of 0.8, 99 % at 0.9; the estimate from
# all 64 hashes then decides.
NUM_BANDS = 8
# Odd numbers by which a band's 16 bytes are mixed to one hash (multiplicative hashing).
MIX = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F], np.uint64)
NOT_LETTER_OR_DIGIT = re.compile(r"[\W_]+")


@functools.lru_cache(maxsize=1)
def _empty():
    """The MinHash of nothing, to be copied: a new one would draw its permutations again."""
    import datasketch  # here, because it brings SciPy, which `--help` need not wait for

    return datasketch.MinHash(num_perm=NUM_PERMUTATIONS, seed=1, hashfunc=zlib.crc32)


def exact_key(lines):
    """16 bytes that are equal for documents of the same letters and digits."""
    text = NOT_LETTER_OR_DIGIT.sub("", " ".join(lines).casefold())
    # A document of symbols alone (emoji) is compared as it stands.
    return hashlib.blake2b((text or "\n".join(lines)).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def signature(lines, min_words):
    """MinHash of a document's word triples; None for one of fewer than `min_words` words.

    Returns: uint16 (64,), the low bits of the MinHash values: two that differ agree in these by chance
      once in 65,536, which the estimate does not notice, and they take half the memory.
    """
    words = NOT_LETTER_OR_DIGIT.sub(" ", " ".join(lines).casefold()).split()
    if len(words) < min_words:
        return None
    triples = {" ".join(words[i:i + 3]).encode("utf-8", "surrogatepass") for i in range(max(len(words) - 2, 1))}
    minhash = _empty().copy()
    minhash.update_batch(list(triples))
    return minhash.hashvalues.astype(np.uint16)


class SignatureIndex:
    """Signatures, found again by any band that they have in common (locality-sensitive hashing).

    A hash table in three flat arrays: `_heads` has the newest entry of each bucket, `_next` the one before
    it in the same bucket, -1 for none; entry 8 n + b is band b of signature n.
    """

    def __init__(self):
        self._signatures, self._next = array.array("H"), array.array("i")
        self._heads = np.full(1 << 10, -1, np.int32)

    def __len__(self):
        return len(self._next) // NUM_BANDS

    @property
    def num_bytes(self):
        """Bytes that the arrays take."""
        arrays = (self._signatures, self._next)
        return sum(len(part) * part.itemsize for part in arrays) + self._heads.nbytes

    def similarities(self, values):
        """The estimated similarity to `values` of every signature that may be near: float64 (n,)."""
        found, following = set(), self._next
        for entry in self._heads[self._buckets(values)].tolist():
            while entry >= 0:
                found.add(entry // NUM_BANDS)
                entry = following[entry]
        rows = np.frombuffer(self._signatures, np.uint16).reshape(-1, NUM_PERMUTATIONS)[sorted(found)]
        return (rows == values).mean(axis=1)

    def add(self, values):
        """Remember a signature, uint16 (64,)."""
        if len(self._next) >= len(self._heads):
            self._grow()
        for entry, bucket in enumerate(self._buckets(values).tolist(), len(self._next)):
            self._next.append(int(self._heads[bucket]))
            self._heads[bucket] = entry
        self._signatures.frombytes(values.tobytes())

    def _buckets(self, signatures):
        """The bucket of each band: (..., 64) uint16 -> (..., 8)."""
        words = np.ascontiguousarray(signatures).view(np.uint64).reshape(*signatures.shape[:-1], NUM_BANDS, 2)
        # The high bits of the products are the well mixed ones.
        return (words * MIX).sum(axis=-1, dtype=np.uint64) >> np.uint64(65 - len(self._heads).bit_length())

    def _grow(self):
        """Twice as many buckets; the entries are linked anew in their order."""
        self._heads = np.full(2 * len(self._heads), -1, np.int32)
        buckets = self._buckets(np.frombuffer(self._signatures, np.uint16).reshape(-1, NUM_PERMUTATIONS)).ravel()
        order = np.argsort(buckets, kind="stable").astype(np.int32)
        ordered = buckets[order]
        new_bucket = np.ones(len(order), bool)
        new_bucket[1:] = ordered[1:] != ordered[:-1]
        previous = np.where(new_bucket, -1, np.concatenate([order[:1], order[:-1]]))
        following = np.empty(len(order), np.int32)
        following[order] = previous
        self._next = array.array("i", following.tobytes())
        self._heads[ordered] = order  # of several, the last one stays: the newest


class DuplicateFilter:
    """Decides document by document whether an equal one came before."""

    def __init__(self, exact=True, near=True, threshold=0.8):
        self._seen = set() if exact else None
        self._index = SignatureIndex() if near else None
        self._threshold = threshold

    def check(self, key, values):
        """`exact_duplicate`, `near_duplicate`, or None for a document to keep (and remember)."""
        if self._seen is not None:
            if key in self._seen:
                return "exact_duplicate"
            self._seen.add(key)
        if self._index is not None and values is not None:
            if (self._index.similarities(values) >= self._threshold).any():
                return "near_duplicate"
            self._index.add(values)
        return None
