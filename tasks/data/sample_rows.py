"""Where sampled pairs meet the snapshot's rows. Pure, on one Arrow table: a snapshot's, or a shard's.

The table has the snapshot's columns and those of ``Built`` (``kind``, ``builder``, ``rejected_model``, ``citation`` …).
"""

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from tasks.data.keys import answer_key
from tasks.data.rows import Built

_KEPT = ("id", "builder", "annotator", "chosen_model", "citation", "timestamp", "tenant")


def questions_in(rows: pa.Table) -> tuple[list[int], list[Built]]:
    """The readable rows that are a document's question without a rejected answer: their places, and what they ask."""
    columns = zip(rows["kind"].to_pylist(), rows["error"].to_pylist(), rows["rejected"].to_pylist(), strict=True)
    places = [place for place, found in enumerate(columns) if found == ("document", None, "[]")]
    return places, [_question(row) for row in _taken(rows, places).to_pylist()]


def _question(row: dict[str, Any]) -> Built:
    kept = {name: row[name] for name in _KEPT if row.get(name) is not None}
    return Built(
        prompt=json.loads(row["prompt"]), chosen=json.loads(row["chosen"]), rejected=[], kind="document", **kept
    )


def with_pairs(rows: pa.Table, places: Sequence[int], pairs: Sequence[Built | None]) -> pa.Table:
    """The table with each question's row as its pair, in its place; without the rows of those that have none."""
    made = dict(zip(places, pairs, strict=True))
    if not made:
        return rows
    gone = {place for place, pair in made.items() if pair is None}
    left = [place for place in range(rows.num_rows) if place not in made]
    changed = [place for place in made if place not in gone]
    answers = [pair for pair in pairs if pair is not None]
    answered = [_paired(row, pair) for row, pair in zip(_taken(rows, changed).to_pylist(), answers, strict=True)]
    whole = pa.concat_tables([_taken(rows, left), pa.Table.from_pylist(answered, rows.schema)])
    order = [*left, *changed]
    return _taken(whole, sorted(range(len(order)), key=order.__getitem__))


def _taken(rows: pa.Table, places: Sequence[int]) -> pa.Table:
    return rows.take(pa.array(places, pa.int64()))  # of no places, Arrow would not know the type


def _paired(row: dict[str, Any], pair: Built) -> dict[str, Any]:
    parts = (pair.prompt, pair.chosen, pair.rejected)
    rejected = "\n".join(message["content"] for message in pair.rejected)
    return row | {
        "kind": pair.kind,
        "rejected": json.dumps(pair.rejected, ensure_ascii=False),
        "rejected_text": rejected,
        "rejected_key": answer_key(rejected),
        "roles": "|".join(">".join(message["role"] for message in part) for part in parts),
        "builder": pair.builder,
        "rejected_model": pair.rejected_model,
        "citation": pair.citation,
    }
