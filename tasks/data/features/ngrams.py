"""Fingerprints of rows, by which text that they share with the gate's items is found.

Winnowing (Schleimer, Wilkerson & Aiken 2003): of every ``WINDOW`` neighbouring ``GRAM``-word runs the smallest hash
is kept. Who shares a run of ``RUN`` words shares all the runs of a window, and so its smallest: no such run is
missed. Text in another order, or reworded more often than every ``RUN`` words, is not found.
"""

import numpy as np
import pyarrow as pa

from tasks.data.words import TEXTS, Words, hash_sequences, parts, pc, running, runs_of, spread, words_of

COLUMNS = (*TEXTS, "error")
CODE, LIBRARIES = ("tasks/data/words.py",), ()

RUN = 13  # words: what counts as shared text (Brown et al. 2020, appendix C)
GRAM = 8
WINDOW = RUN - GRAM + 1

SCHEMA = pa.schema([pa.field("grams", pa.list_(pa.int64())), pa.field("prompt", pa.int64())])


def compute(rows: pa.Table) -> pa.Table:
    """Fingerprints of rows, in their order; null where a row is unreadable.

    Returns:
        ``grams``: of prompt, chosen and rejected; ``prompt``: hash of the prompt's words, which equal prompts share.
    """
    tables = [_compute(part) for part in parts(rows)]
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def winnowed(words: Words) -> Words:
    """Fingerprints of each text; one of fewer than ``RUN`` words has none."""
    grams = runs_of(words, GRAM)
    n = max(len(grams.hashes) - WINDOW + 1, 0)
    smallest = grams.hashes[:n].copy()
    for place in range(1, WINDOW):
        np.minimum(smallest, grams.hashes[place : place + n], out=smallest)
    counts = np.maximum(np.diff(grams.starts) - WINDOW + 1, 0)
    smallest = smallest[spread(grams.starts[:-1], counts)]
    texts = np.repeat(np.arange(len(counts)), counts)
    new = np.append(True, (smallest[1:] != smallest[:-1]) | (texts[1:] != texts[:-1]))[: len(texts)]
    return Words(smallest[new], running(np.bincount(texts[new], minlength=len(counts))))


def _compute(rows: pa.Table) -> pa.Table:
    texts = [words_of(rows[name]) for name in TEXTS]
    prints = [winnowed(words) for words in texts]
    owners = np.concatenate([np.repeat(np.arange(len(rows)), np.diff(one.starts)) for one in prints])
    grams = np.concatenate([one.hashes for one in prints])[np.argsort(owners, kind="stable")]
    starts = running(np.bincount(owners, minlength=len(rows))).astype(np.int32)
    unreadable = rows["error"].is_valid().combine_chunks()
    columns = [
        pa.ListArray.from_arrays(pa.array(starts), pa.array(grams.view(np.int64))),
        pa.array(hash_sequences(texts[0]).view(np.int64)),
    ]
    return pa.table([pc.if_else(unreadable, pa.scalar(None, one.type), one) for one in columns], schema=SCHEMA)
