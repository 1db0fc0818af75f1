"""Labels become a pair where one prompt has a good and a bad answer. Set-level: over all labels of a snapshot."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from tasks.data.rows import Built

BUILDER = "labels/paired"


class Paired(NamedTuple):
    """A pair and the places of its two labels in the table: as labels these rows leave."""

    built: Built
    good: int
    bad: int


def pair_labels(table: pa.Table) -> list[Paired]:
    """Pair the labels of each prompt (and tenant): its best good answer with its best bad one, the next with the next.

    Of several labels that say the same of the same answer one is taken; an answer that is called both good and bad is
    left as it is, for nobody knows which. Each label is used once at most, and what is left over stays a label. The
    result depends on the labels' ids, not on their order. Time is n log n in the labels.

    Args:
        table: rows of kind ``label``: columns ``id``, ``prompt``, ``chosen``, ``rejected`` as in ``rows.COLUMNS``;
            where they are there also ``weight`` (the larger goes first), ``tenant``, ``annotator``, ``timestamp``,
            ``truth``, ``chosen_model`` and ``rejected_model``.
    """
    if table.num_rows == 0:
        return []
    keys, answers, good = _keys(table)
    usable = _usable(keys, answers, good, _order(table))
    # the k-th good and the k-th bad label of a prompt: behind each other, once sorted by prompt, rank, side
    rank = _rank_within(keys[usable], good[usable])
    order = np.lexsort((~good[usable], rank, keys[usable]))
    rows, ranks = usable[order], rank[order]
    met = np.flatnonzero((keys[rows[:-1]] == keys[rows[1:]]) & (ranks[:-1] == ranks[1:]))
    return list(_pairs(table, rows[met], rows[met + 1]))


def _usable(keys: np.ndarray, answers: np.ndarray, good: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Places of the labels that may be paired, in ``order``: one a prompt and answer, none that is contradicted."""
    _, of = np.unique(np.stack((keys, answers)), axis=1, return_inverse=True)
    of = of.reshape(-1)
    ups, downs = (np.bincount(of, weights=side) for side in (good, ~good))
    _, first = np.unique(of[order], return_index=True)
    clear = ((ups == 0) | (downs == 0))[of]
    kept = order[np.sort(first)]
    return kept[clear[kept]]


def _rank_within(keys: np.ndarray, good: np.ndarray) -> np.ndarray:
    """The how many-th of its prompt and side each label is, from 0, in the order they come in."""
    order = np.lexsort((np.arange(len(keys)), good, keys))
    new = np.ones(len(keys), bool)
    new[1:] = (keys[order][1:] != keys[order][:-1]) | (good[order][1:] != good[order][:-1])
    place = np.arange(len(keys))
    start = np.maximum.accumulate(np.where(new, place, 0))
    rank = np.empty(len(keys), np.int64)
    rank[order] = place - start
    return rank


def _order(table: pa.Table) -> np.ndarray:
    """Places by weight, heaviest first, then by id."""
    weight = table["weight"] if "weight" in table.column_names else pa.array(np.ones(table.num_rows))
    by = pa.table({"weight": weight, "id": table["id"], "place": pa.array(np.arange(table.num_rows))})
    return by.sort_by([("weight", "descending"), ("id", "ascending"), ("place", "ascending")])["place"].to_numpy()


def _keys(table: pa.Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hashes of each row's (tenant, prompt) and of its answer, and whether it is a good one."""
    prompts, answers, good = [], [], []
    columns = [name for name in ("tenant", "prompt", "chosen", "rejected") if name in table.column_names]
    for batch in table.select(columns).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            is_good = row["chosen"] != "[]"
            prompts.append(_hash(f"{row.get('tenant') or ''}\0{row['prompt']}"))
            answers.append(_hash(row["chosen"] if is_good else row["rejected"]))
            good.append(is_good)
    return np.array(prompts, np.int64), np.array(answers, np.int64), np.array(good, bool)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), signed=True)


def _pairs(table: pa.Table, good: np.ndarray, bad: np.ndarray) -> Iterator[Paired]:
    for begin in range(0, len(good), 10_000):
        part = slice(begin, begin + 10_000)
        ones, others = (table.take(pa.array(rows[part])).to_pylist() for rows in (good, bad))
        for one, other, row, other_row in zip(ones, others, good[part].tolist(), bad[part].tolist(), strict=True):
            if one["prompt"] == other["prompt"]:  # two prompts of one hash stay labels
                yield Paired(_built(one, other), row, other_row)


def _built(one: dict[str, Any], other: dict[str, Any]) -> Built:
    times = [time for time in (one.get("timestamp"), other.get("timestamp")) if time is not None]
    annotator = one.get("annotator")
    truths = {truth for truth in (one.get("truth"), other.get("truth")) if truth is not None}
    return Built(
        json.loads(one["prompt"]),
        json.loads(one["chosen"]),
        json.loads(other["rejected"]),
        id=f"{one['id']}+{other['id']}",
        weight=min(row.get("weight") or 1.0 for row in (one, other)),
        builder=BUILDER,
        annotator=annotator if annotator == other.get("annotator") else None,
        chosen_model=one.get("chosen_model"),
        rejected_model=other.get("rejected_model"),
        timestamp=max(times, default=None),
        tenant=one.get("tenant"),
        truth=truths.pop() if len(truths) == 1 else None,  # of two that differ nobody knows which
    )
