"""Which split a record belongs to: the rule of TFX's ExampleGen, for many records at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

import numpy as np


def split_indices(keys: Iterable[bytes], hash_buckets: Sequence[int]) -> np.ndarray:
    """Returns for each key the index of its split.

    A key's bucket is its SHA-256, read as one big-endian number, modulo the sum of all `hash_buckets`; a split takes as
    many consecutive buckets as its entry says (`_PartitionFn` of TFX's base_example_gen_executor.py).
    """
    if sum(hash_buckets) > 1 << 32:
        raise ValueError(f"there are {sum(hash_buckets)} hash buckets in all; at most {1 << 32} are allowed")
    digests = b"".join([hashlib.sha256(key).digest() for key in keys])
    words = np.frombuffer(digests, ">u4").reshape(-1, 8).astype(np.uint64)
    total = np.uint64(sum(hash_buckets))
    bucket: np.ndarray = np.zeros(len(words), np.uint64)
    # Horner's rule on 32-bit words: a remainder below 2**32 leaves room for the next word.
    for place in range(words.shape[1]):
        bucket = ((bucket << np.uint64(32)) | words[:, place]) % total
    return np.asarray(np.searchsorted(np.cumsum(hash_buckets).astype(np.uint64), bucket, side="right"))
