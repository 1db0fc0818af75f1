"""MinHash signatures of rows, cut into bands: rows that share a band may be near-duplicates or contradict each other.

A row has two signatures: of its prompt's shingles, and of its answers', whichever way round (a shingle in both
answers counts twice). So one search finds duplicates and swapped answers. A band is three places of the one and
three of the other: where the prompts and, straight or swapped, the answers each have a Jaccard similarity of at
least J, the answers together have it too, and rows meet in one of 21 bands at least with probability 1 − (1 − J⁶)²¹,
which is 0.998 at J = 0.8; rows that share only a canned answer, or only a long system prompt, seldom meet
(docs/design/near-duplicates.md). MinHash by similarity sketching (Dahlgaard et al. 2017), as rensa implements it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import rensa as compiled

from tasks.data.words import STEP, TEXTS, Hashes, Words, hash_sequences, mix, parts, pc, running, words_of

rensa: Any = compiled  # a checker sees nothing of it

COLUMNS = (*TEXTS, "error")
CODE, LIBRARIES = ("tasks/data/words.py",), ("rensa",)

BANDS = 21
WIDTH = 3  # places of a band in each of the two signatures
SEED = 20261126
EDGE = np.uint64(0x5EDC5EDC5EDC5EDD)  # stands before a text's first word and behind its last

SCHEMA = pa.schema(
    [
        pa.field("bands", pa.list_(pa.int64(), BANDS)),
        pa.field("words", pa.int64()),
        pa.field("side", pa.bool_()),
        pa.field("prompt_size", pa.int64()),
        pa.field("answers_size", pa.int64()),
    ]
)


def compute(rows: pa.Table) -> pa.Table:
    """Signatures of rows, in their order; null where a row is unreadable.

    Returns:
        ``bands``: ``BANDS`` int64; ``words``: hash of the words of the prompt and of both answers, whichever way round:
        equal where rows differ in case, spaces and punctuation only; ``side``: which of the answers has the larger
        hash: rows with equal ``words`` and different ``side`` have their answers swapped; ``prompt_size``,
        ``answers_size``: shingles of the prompt, and of both answers with those in both counted twice.
    """
    tables = [_compute(part) for part in parts(rows)]
    return pa.concat_tables(tables) if tables else SCHEMA.empty_table()


def shingles(words: Words) -> Words:
    """Pairs of neighbouring words, with a mark before a text's first and behind its last: one more than words."""
    counts = np.diff(words.starts)
    line = np.full(len(words.hashes) + len(counts) + 1, EDGE)
    line[np.arange(len(words.hashes)) + np.repeat(np.arange(1, len(counts) + 1), counts)] = words.hashes
    return Words(mix(line[:-1] * STEP + line[1:]), running(counts + 1))


def _compute(rows: pa.Table) -> pa.Table:
    texts = [words_of(rows[name], symbols=True) for name in TEXTS]
    bands = np.zeros((len(rows), BANDS), np.uint64)
    sizes = []
    for tokens, starts in _tokens([shingles(words) for words in texts]):
        matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(tokens, starts, BANDS * WIDTH, SEED)
        slots = np.array(matrix.to_rows(), np.uint64).reshape(len(rows), BANDS, WIDTH)
        for place in range(WIDTH):
            bands = mix(bands * STEP + slots[:, :, place])
        sizes.append(pa.array(np.diff(starts).astype(np.int64)))
    prompt, chosen, rejected = (hash_sequences(words) for words in texts)
    unreadable = rows["error"].is_valid().combine_chunks()
    columns = [
        pa.FixedSizeListArray.from_arrays(pa.array(bands.view(np.int64).ravel()), BANDS),
        pa.array(mix(prompt * STEP + (chosen + rejected)).view(np.int64)),
        pa.array(chosen > rejected),
        *sizes,
    ]
    return pa.table([pc.if_else(unreadable, pa.scalar(None, one.type), one) for one in columns], schema=SCHEMA)


def _tokens(texts: list[Words]) -> Iterator[tuple[Hashes, Hashes]]:
    """Each row's distinct shingles, of its prompt and then of its answers, and where each row's begin.

    A row's number (10 bits), 53 bits of the shingle's hash and which answer (1) make a key of 64 bits, so that one sort
    groups the rows, drops what repeats and finds what both answers share.
    """
    for sides in (texts[:1], texts[1:]):
        keys = [
            (np.repeat(np.arange(len(words.starts) - 1, dtype=np.uint64), np.diff(words.starts)) << np.uint64(54))
            | (words.hashes >> np.uint64(11) << np.uint64(1))
            | np.uint64(side)
            for side, words in enumerate(sides)
        ]
        ordered = np.sort(np.concatenate(keys))
        ordered = ordered[np.append(True, ordered[1:] != ordered[:-1])]
        shingle = ordered >> np.uint64(1)
        again = np.append(False, shingle[1:] == shingle[:-1])
        firsts = np.arange(len(texts[0].starts) - 1, dtype=np.uint64) << np.uint64(54)
        starts = np.append(np.searchsorted(ordered, firsts), len(ordered))
        yield mix(mix(shingle & np.uint64((1 << 53) - 1)) + again.astype(np.uint64)), starts.astype(np.uint64)
