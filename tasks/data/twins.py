"""Training twins that share text with the gate's items are left out: as strict as for rows of the sources."""

import heapq
import json
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import pyarrow as pa

from infra.digest import digest_bytes
from infra.jsonl import dump_lines, load_lines
from infra.store import Store
from tasks.contracts import Preferences, Suites, TwinRows
from tasks.data.features import ngrams
from tasks.data.leakage import find
from tasks.data.words import TEXTS
from tasks.parts import LINES, joined, lines_of

_ITEM = pa.schema(
    [
        pa.field("suite", pa.string()),
        pa.field("item", pa.string()),
        pa.field("text", pa.string()),
        pa.field("is_prompt", pa.bool_()),
    ]
)


def clean(twins: TwinRows, suites: Suites, store: Store) -> TwinRows:
    """The twins without those that share a run of 13 words, or a whole prompt, with an item judged or sealed."""
    rows = load_lines(store.read_bytes(twins.rows))
    leaking = leaking_rows(rows, json.loads(store.read_bytes(suites.guarded)))
    if not leaking:
        return twins
    kept = [row for number, row in enumerate(rows) if number not in leaking]
    blob = store.put_bytes(dump_lines(kept), LINES)
    return twins.model_copy(update={"rows": blob, "n": len(kept), "left_out": twins.left_out + len(leaking)})


def mixed(twins: TwinRows, preferences: Preferences, share: float, seed: int, store: Store) -> TwinRows:
    """The twins with so many of the night's preferences that these are ``share`` of all: trained on twins alone, a
    candidate unlearns what it was made for (docs/design/harden.md).

    Which ones depends on the seed and on each line alone.
    """
    wanted = round(twins.n * share / (1 - share))
    lines = lines_of(preferences.train, store)
    taken = heapq.nsmallest(wanted, lines, key=lambda line: digest_bytes(b"%d %s" % (seed, line)))
    if not taken:
        return twins
    beside = store.put_bytes(b"".join(line + b"\n" for line in taken), LINES)
    return twins.model_copy(update={"rows": joined((twins.rows, beside), store), "mixed": len(taken)})


def leaking_rows(rows: Sequence[Mapping[str, Any]], guarded: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """Places of rows that leak an item.

    Args:
        rows: lines of training data, each with a conversation as ``prompt``, ``chosen`` and ``rejected``.
        guarded: ``suite``, ``item``, ``text`` and ``is_prompt`` of all that must not be trained on.
    """
    spoken = [[_said(row[part]) for part in ("prompt", "chosen", "rejected")] for row in rows]
    columns = {name: pa.array([one[at] for one in spoken], pa.string()) for at, name in enumerate(TEXTS)}
    numbers = pa.array(range(len(rows)), pa.int64())
    texts = pa.table({"row": numbers, **columns, "error": pa.nulls(len(rows), pa.string())})
    with duckdb.connect() as connection:
        connection.register("twin_texts", texts)
        connection.register("twin_prints", ngrams.compute(texts).append_column("row", numbers))
        found = find(connection, "twin_prints", "twin_texts", pa.Table.from_pylist(list(guarded), _ITEM))
    return frozenset(found.rows["row"].to_pylist())


def _said(messages: Sequence[Mapping[str, str]]) -> str:
    return "\n".join(message["content"] for message in messages)
