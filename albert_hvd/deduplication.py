"""Exact and near-duplicate documents.

Exact: letters and digits only, case folded. Near: the estimated Jaccard similarity of the documents'
word triples (MinHash, datasketch). The first of several equal documents is kept. Memory: about 100
bytes per document for exact ones, 2.5 KB more for each of the longer ones that near-duplicate search looks at.
"""

import functools
import hashlib
import re
import zlib

import numpy as np

NUM_PERMUTATIONS = 64
# 8 bands of 8 hashes: finds 77 % of the pairs at a similarity of 0.8, 99 % at 0.9; the estimate from
# all 64 hashes then decides.
BANDS = (8, 8)
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
    """MinHash values uint32 (64,) of a document's word triples; None for one of fewer than `min_words`."""
    words = NOT_LETTER_OR_DIGIT.sub(" ", " ".join(lines).casefold()).split()
    if len(words) < min_words:
        return None
    triples = {" ".join(words[i:i + 3]).encode("utf-8", "surrogatepass") for i in range(max(len(words) - 2, 1))}
    minhash = _empty().copy()
    minhash.update_batch(list(triples))
    return minhash.hashvalues.astype(np.uint32)


class DuplicateFilter:
    """Decides document by document whether an equal one came before."""

    def __init__(self, exact=True, near=True, threshold=0.8):
        self._seen = set() if exact else None
        self._index = None
        if near:
            import datasketch

            self._index = datasketch.MinHashLSH(num_perm=NUM_PERMUTATIONS, params=BANDS)
        self._signatures, self._threshold = [], threshold

    def check(self, key, values):
        """`exact_duplicate`, `near_duplicate`, or None for a document to keep (and remember)."""
        if self._seen is not None:
            if key in self._seen:
                return "exact_duplicate"
            self._seen.add(key)
        if self._index is not None and values is not None:
            minhash = _empty().copy()
            minhash.hashvalues = values
            if any((self._signatures[i] == values).mean() >= self._threshold for i in self._index.query(minhash)):
                return "near_duplicate"
            self._index.insert(len(self._signatures), minhash)
            self._signatures.append(values)
        return None
