"""Jaccard similarity of many pairs of texts at once, counted over the shingles that the signatures are made of.

Exact but for shingles whose hashes agree by chance: of two texts of 200 shingles, once in 10¹⁰ pairs.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.data.features.signatures import shingles
from tasks.data.words import TEXTS, Hashes, Places, Words, hash_sequences, parts, pc, running, spread, words_of

Similarities = npt.NDArray[np.float64]
MOST_SHINGLES = 4_000_000  # compared at once
MOST_PAIRS = 1 << 16  # as 16 bits of a key say which pair


class Sets:
    """The shingle sets of rows' prompts, chosen and rejected answers; equal texts are kept once.

    Args:
        tables: rows with the three texts.
    """

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        found: list[list[tuple[Hashes, Words]]] = [[] for _ in TEXTS]
        for part in (part for table in tables for part in parts(table)):
            for name, column in zip(TEXTS, found, strict=True):
                column.append(shingled(part[name]))
        names = np.array([np.concatenate([one for one, _ in column] or [np.zeros(0, np.uint64)]) for column in found])
        _, first, texts = np.unique(names, return_index=True, return_inverse=True)
        sets = _joined([words for column in found for _, words in column])
        self.texts: Places = texts.reshape(names.shape)  # [3, rows]: which text
        self._starts = sets.starts[first]
        self.sizes: Places = np.diff(sets.starts)[first]
        self._hashes = sets.hashes

    def similarity(self, a: Places, b: Places, at_least: float = 0.0) -> Similarities:
        """Jaccard similarity of texts ``a[i]`` and ``b[i]``, as ``texts`` numbers them.

        Args:
            at_least: pairs whose sizes alone rule it out are given 0 and not compared.
        """
        found = (a == b).astype(np.float64)
        small = np.minimum(self.sizes[a], self.sizes[b])
        compared = np.flatnonzero((a != b) & (small / np.maximum(self.sizes[a], self.sizes[b]) >= at_least))
        pairs, inverse = _distinct(a[compared], b[compared], len(self.sizes))
        values = np.zeros(len(pairs))
        ends = np.cumsum(self.sizes[pairs].sum(axis=1)) // MOST_SHINGLES
        portions = np.flatnonzero((np.diff(ends) > 0) | (np.arange(1, len(pairs)) % MOST_PAIRS == 0)) + 1
        for portion in np.split(np.arange(len(pairs)), portions):
            values[portion] = self._compare(pairs[portion, 0], pairs[portion, 1])
        found[compared] = values[inverse]
        return found

    def _compare(self, a: Places, b: Places) -> Similarities:
        owners = np.arange(len(a), dtype=np.uint64) << np.uint64(48)
        keys = [
            np.repeat(owners, self.sizes[side])
            | (self._hashes[spread(self._starts[side], self.sizes[side])] >> np.uint64(6))
            for side in (a, b)
        ]
        ordered = np.sort(np.concatenate(keys))
        twice = ordered[1:][ordered[1:] == ordered[:-1]] >> np.uint64(48)
        shared = np.bincount(twice.astype(np.int64), minlength=len(a))
        return shared / (self.sizes[a] + self.sizes[b] - shared)


def shingled(texts: pa.Array | pa.ChunkedArray) -> tuple[Hashes, Words]:
    """Each text's name (a hash of its words) and its set of shingles (54 bits of their hashes); 1024 texts at most."""
    words = words_of(texts, symbols=True)
    found = shingles(words)
    rows = np.arange(len(words.starts) - 1, dtype=np.uint64) << np.uint64(54)
    keys = np.sort(np.repeat(rows, np.diff(found.starts)) | (found.hashes >> np.uint64(10)))
    keys = keys[np.append(True, keys[1:] != keys[:-1])]
    starts = np.append(np.searchsorted(keys, rows), len(keys))
    return hash_sequences(words), Words(keys & np.uint64((1 << 54) - 1), starts)


def _joined(several: list[Words]) -> Words:
    if not several:
        return Words(np.zeros(0, np.uint64), np.zeros(1, np.int64))
    hashes = np.concatenate([one.hashes for one in several])
    return Words(hashes, running(np.concatenate([np.diff(one.starts) for one in several])))


def _distinct(a: Places, b: Places, n: int) -> tuple[Places, Places]:
    """Unordered pairs, each once, and which of them each given pair is."""
    keys, inverse = np.unique(np.minimum(a, b) * n + np.maximum(a, b), return_inverse=True)
    return np.stack((keys // max(n, 1), keys % max(n, 1)), axis=1), inverse


def relations(sets: Sets, a: Places, b: Places, threshold: float) -> pa.Table:
    """Which pairs of rows are near-duplicates, and which contradict each other.

    Args:
        a, b: indices of rows in ``sets``.
        threshold: the similarity that each of prompt, chosen and rejected must have.

    Returns:
        ``pair`` (index into ``a``), ``relation`` (``duplicate``: answers straight, ``contradiction``: swapped) and
        ``similarity``, the least of the three. Where both hold, as chosen and rejected are alike themselves, the
        closer one counts, and straight if neither is.
    """
    prompt, chosen, rejected = sets.texts
    alike = sets.similarity(prompt[a], prompt[b], threshold)
    pair = np.flatnonzero(alike >= threshold)
    a, b, alike = a[pair], b[pair], alike[pair]
    both = []
    for x, y in (((chosen, chosen), (rejected, rejected)), ((chosen, rejected), (rejected, chosen))):
        first = sets.similarity(x[0][a], x[1][b], threshold)
        second = np.zeros(len(a))
        left = np.flatnonzero(first >= threshold)
        second[left] = sets.similarity(y[0][a[left]], y[1][b[left]], threshold)
        both.append(np.minimum(first, second))
    straight, swapped = both
    near = np.flatnonzero(np.maximum(straight, swapped) >= threshold)
    duplicate = straight[near] >= swapped[near]
    return pa.table(
        {
            "pair": pa.array(pair[near]),
            "relation": pc.if_else(pa.array(duplicate), "duplicate", "contradiction"),
            "similarity": pa.array(np.minimum(alike, np.maximum(straight, swapped))[near]),
        }
    )
