"""What Spark's Python workers run: texts to shingles, and the proof of candidates. Nothing of Spark is imported."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tasks.data.jaccard import Sets, relations, shingled
from tasks.data.words import TEXTS, Words, mix, parts

SHINGLED = (
    "row bigint, is_new boolean, prompt_size bigint, answers_size bigint, prompt array<bigint>, answers array<bigint>"
)
PROVEN = "a bigint, b bigint, relation string, similarity double"
_KEPT = ("row", "is_new", "prompt_size", "answers_size")


def shingle(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Rows with their texts → rows with the shingles of the prompt, and of both answers together (``SHINGLED``).

    A shingle in both answers stands for two, as in ``features.signatures``: then rows whose answers are alike, straight
    or swapped, are at least as much alike in both together.
    """
    for batch in batches:
        for part in parts(pa.Table.from_batches([batch])):
            prompt, chosen, rejected = (shingled(part[name])[1] for name in TEXTS)
            columns = {name: part[name] for name in _KEPT}
            columns |= {"prompt": _lists(prompt), "answers": _lists(_together(chosen, rejected))}
            yield from pa.table(columns).combine_chunks().to_batches()


def prove(batches: Iterator[pa.RecordBatch], threshold: float) -> Iterator[pa.RecordBatch]:
    """Candidates with the texts of both rows → those that are near indeed (``PROVEN``).

    Args:
        batches: ``a``, ``b``, and ``a_…`` and ``b_…`` for each of the three texts.
    """
    for batch in batches:
        table = pa.Table.from_batches([batch])
        sides = [table.select([f"{side}_{name}" for name in TEXTS]).rename_columns(list(TEXTS)) for side in ("a", "b")]
        count = len(table)
        near = relations(Sets(sides), np.arange(count), count + np.arange(count), threshold)
        found = table.select(["a", "b"]).take(near["pair"])
        found = found.append_column("relation", near["relation"]).append_column("similarity", near["similarity"])
        yield from found.combine_chunks().to_batches()


def _together(one: Words, other: Words) -> Words:
    """Each text's shingles in one or the other, and those in both once more under another hash."""
    count = len(one.starts) - 1
    rows = np.concatenate([np.repeat(np.arange(count), np.diff(words.starts)) for words in (one, other)])
    hashes = np.concatenate((one.hashes, other.hashes))
    order = np.lexsort((hashes, rows))
    rows, hashes = rows[order], hashes[order]
    again = np.append(False, (rows[1:] == rows[:-1]) & (hashes[1:] == hashes[:-1]))
    return Words(mix(hashes) + again.astype(np.uint64), np.searchsorted(rows, np.arange(count + 1)))


def _lists(words: Words) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(words.starts, pa.int32()), pa.array(words.hashes.view(np.int64)))
