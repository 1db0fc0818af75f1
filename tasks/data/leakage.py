"""Training rows that share text with what the gate asks: a model that has read the items is judged by its memory.

A row leaks where a run of 13 words of its prompt or of an answer stands in an item's text too, or where its prompt
is an item's, word by word. Candidates are found by fingerprints (``features.ngrams``), then every run of their texts
is looked up. What stands in more than ten items (an instruction in front of all of them) says nothing about an item:
it is named, and no row leaves for it.
"""

from collections import Counter
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tasks.data.connection import Connection
from tasks.data.features.ngrams import RUN, winnowed
from tasks.data.words import (
    TEXTS,
    Flags,
    Hashes,
    Places,
    Words,
    hash_sequences,
    parts,
    runs_of,
    spell,
    spread,
    words_of,
)

COMMON = 10  # items: as Brown et al. (2020) ignore n-grams of more than ten training documents
MOST_NAMED = 20
LEAKED = pa.schema(
    [
        pa.field("row", pa.int64()),
        pa.field("suite", pa.string()),
        pa.field("item", pa.string()),
        pa.field("how", pa.string()),
    ]
)
ITEMS = pa.schema([pa.field("suite", pa.string()), pa.field("item", pa.string()), pa.field("rows", pa.int64())])


class Common(NamedTuple):
    """Text of many items that rows share: items that have all of it or part of it, at most; rows that have some of
    it.
    """

    text: str
    items: int
    rows: int


class Leaks(NamedTuple):
    """What training rows and items share.

    Attributes:
        rows: ``row``, ``suite``, ``item``, ``how`` (``run``: 13 words or more; ``prompt``: the same prompt, of fewer).
        items: ``suite``, ``item``, ``rows``: how many rows leak it; the most leaked first.
        common: common text that rows share, the most frequent first; at most ``MOST_NAMED``.
        common_rows: rows that share common text and leak nothing else: they stay.
        candidates: rows whose texts were looked up.
    """

    rows: pa.Table
    items: pa.Table
    common: list[Common]
    common_rows: int
    candidates: int


class _Index(NamedTuple):
    """Where the runs of the items' texts stand.

    Attributes:
        runs: each run once, sorted.
        starts: where its items begin in ``items``; the last is the number of all.
        items: numbers of items, none twice for a run.
    """

    runs: Hashes
    starts: Places
    items: Places


def find(connection: Connection, rows: str, texts: str, items: pa.Table, *, common: int = COMMON) -> Leaks:
    """Rows that share text with items.

    Args:
        rows: name of a table or view with ``row`` and what ``features.ngrams`` computes.
        texts: name of a table or view with ``row`` and the three texts.
        items: a text each: ``suite``, ``item`` (its id), ``text``, and ``is_prompt``: whether a row with that prompt
            leaks it.
        common: in how many items a text may stand and still tell of each.
    """
    names = list(zip(items["suite"].to_pylist(), items["item"].to_pylist(), strict=True))
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    owners = np.array([numbers[name] for name in names], np.int64)
    portions = [words_of(items["text"].slice(start, 1024)) for start in range(0, len(items), 1024)]
    index = _index(portions, owners)
    prints = [winnowed(words).hashes for words in portions]
    found, shared, candidates = _runs(connection, rows, texts, prints, index, common)
    keys = np.concatenate([hash_sequences(words) for words in portions] or [np.zeros(0, np.uint64)])
    prompts = _prompts(connection, rows, keys, owners, items["is_prompt"].to_numpy(zero_copy_only=False))
    by_run = set(map(tuple, found.tolist()))
    by_prompt = set(map(tuple, prompts.tolist())) - by_run
    listed = [*((row, item, "run") for row, item in by_run), *((row, item, "prompt") for row, item in by_prompt)]
    known = list(numbers)
    leaked = [{"row": row, "suite": known[i][0], "item": known[i][1], "how": how} for row, i, how in sorted(listed)]
    times = Counter((one["suite"], one["item"]) for one in leaked)
    ordered = sorted(times.items(), key=lambda one: (-one[1], one[0]))
    leaking = np.array(sorted({one["row"] for one in leaked}), np.int64)
    return Leaks(
        pa.Table.from_pylist(leaked, LEAKED),
        pa.Table.from_pylist([{"suite": suite, "item": item, "rows": n} for (suite, item), n in ordered], ITEMS),
        _named(shared, index, items["text"], owners),
        len(np.setdiff1d(shared[:, 0], leaking)),
        candidates,
    )


def _index(portions: list[Words], owners: Places) -> _Index:
    runs = [runs_of(words, RUN) for words in portions]
    hashes = np.concatenate([one.hashes for one in runs] or [np.zeros(0, np.uint64)])
    counts = np.concatenate([np.diff(one.starts) for one in runs] or [np.zeros(0, np.int64)])
    items = np.repeat(owners, counts)
    order = np.lexsort((items, hashes))
    hashes, items = hashes[order], items[order]
    new = np.append(True, (hashes[1:] != hashes[:-1]) | (items[1:] != items[:-1]))[: len(hashes)]
    distinct, firsts = np.unique(hashes[new], return_index=True)
    return _Index(distinct, np.append(firsts, int(new.sum())), items[new])


def _runs(
    connection: Connection, rows: str, texts: str, prints: list[Hashes], index: _Index, common: int
) -> tuple[Places, Places, int]:
    """Pairs (row, item) that share a run, pairs (row, run) of common runs, and how many rows were looked at."""
    grams = np.unique(np.concatenate(prints or [np.zeros(0, np.uint64)])).view(np.int64)
    connection.register("leak_grams", pa.table({"gram": grams}))
    leaks, shared, candidates = [np.zeros((0, 2), np.int64)], [np.zeros((0, 2), np.int64)], 0
    try:
        batches = connection.sql(
            f"""SELECT row, {", ".join(TEXTS)} FROM {texts} WHERE row IN (SELECT row FROM (
            SELECT row, unnest(grams) AS gram FROM {rows}) WHERE gram IN (SELECT gram FROM leak_grams))"""
        ).to_arrow_reader(10_000)
        for part in (part for batch in batches for part in parts(pa.Table.from_batches([batch]))):
            candidates += len(part)
            found, common_ones = _looked_up(part, index, common)
            leaks.append(found)
            shared.append(common_ones)
    finally:
        connection.unregister("leak_grams")
    return np.unique(np.concatenate(leaks), axis=0), np.concatenate(shared), candidates


def _looked_up(part: pa.Table, index: _Index, common: int) -> tuple[Places, Places]:
    """Of some rows: pairs (row, item) that share a run, and pairs (row, run) of common runs; each once."""
    hits = []
    for name in TEXTS:
        runs = runs_of(words_of(part[name]), RUN)
        row = np.repeat(np.arange(len(part)), np.diff(runs.starts))
        place = np.searchsorted(index.runs, runs.hashes)
        there = place < len(index.runs)
        there[there] = index.runs[place[there]] == runs.hashes[there]
        hits.append(np.stack((row[there], place[there]), axis=1))
    row, run = np.unique(np.concatenate(hits), axis=0).T
    row = part["row"].to_numpy()[row]
    counts = (index.starts[1:] - index.starts[:-1])[run]
    told = counts <= common
    items = index.items[spread(index.starts[run[told]], counts[told])]
    found = np.stack((np.repeat(row[told], counts[told]), items), axis=1)
    return np.unique(found, axis=0), np.stack((row[~told], run[~told]), axis=1)


def _prompts(connection: Connection, rows: str, keys: Hashes, owners: Places, asked: Flags) -> Places:
    """Pairs (row, item) of one prompt."""
    connection.register("leak_prompts", pa.table({"prompt": keys[asked].view(np.int64), "item": owners[asked]}))
    try:
        query = f"SELECT DISTINCT row, item FROM {rows} JOIN leak_prompts USING (prompt)"
        found = connection.sql(query).to_arrow_table()
    finally:
        connection.unregister("leak_prompts")
    return np.stack((found["row"].to_numpy(), found["item"].to_numpy()), axis=1)


def _named(shared: Places, index: _Index, texts: pa.ChunkedArray, owners: Places) -> list[Common]:
    """Passages made of common runs that follow each other in an item, from the most frequent run on."""
    rows_of: dict[int, set[int]] = {}
    for row, run in shared.tolist():
        rows_of.setdefault(run, set()).add(row)
    named: list[Common] = []
    left = dict(sorted(rows_of.items(), key=lambda one: (-len(one[1]), one[0])))
    while left and len(named) < MOST_NAMED:
        run = next(iter(left))
        item = int(index.items[index.starts[run]])
        for text in np.flatnonzero(owners == item).tolist():
            runs = runs_of(words_of(texts.slice(text, 1)), RUN).hashes
            places = np.flatnonzero(runs == index.runs[run])
            if not len(places):
                continue
            at = np.searchsorted(index.runs, runs)
            first = last = int(places[0])
            while first > 0 and int(at[first - 1]) in rows_of:
                first -= 1
            while last + 1 < len(at) and int(at[last + 1]) in rows_of:
                last += 1
            passage = sorted(set(at[first : last + 1].tolist()))
            words = spell(texts[text].as_py())[first : last + RUN]
            n_items = max(int(index.starts[one + 1] - index.starts[one]) for one in passage)
            named.append(Common(" ".join(words), n_items, len(set().union(*(rows_of[one] for one in passage)))))
            for one in passage:
                left.pop(one, None)
            break
    return named
