"""What is found of rows in the light of all others: the preference graph, near-duplicates, and leakage.

Each gives marks, one boolean a row, which the set checks read (``tasks.data.checks``). Rows that fail a check of their
own take no part: they leave anyhow, and turn nobody else out.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from infra.digest import Digest, Record, digest_of, short
from infra.files import write_whole
from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data import graph, leakage, near
from tasks.data.agreement import Agreement
from tasks.data.arrow import compute as pc
from tasks.data.measure import feature_revision
from tasks.data.session import Session
from tasks.parts import PARQUET

_REVISION = 2  # of what makes two rows near: another one compares all with all
MARKS = ("relabelled", "cycle", "near_duplicate", "near_contradiction", "leaked", "leaked_house")
_GRAPH = {"relabelled": "relabelled", "contradiction": "cycle", "cycle": "cycle"}
_NEAR = {"duplicate": "near_duplicate", "contradiction": "near_contradiction"}


class Findings(NamedTuple):
    """All marks, and what a person should know beside them.

    Attributes:
        marks: ``row`` and ``MARKS``, of rows with one at least.
        because: row → the row it is near to, or in words the item that it leaks.
        agreement: of annotators.
        leaked_items: items of the gate that rows leak: ``suite``, ``item``, ``rows``.
        common: text of many items that rows share; no row leaves for it.
        skipped: comparisons of near-duplicates that were left out, in crowded bands.
    """

    marks: pa.Table
    because: dict[int, int | str]
    agreement: Agreement
    leaked_items: tuple[dict[str, Any], ...]
    common: tuple[leakage.Common, ...]
    skipped: int

    def why(self, row: int, session: Session) -> str:
        """For people."""
        found = self.because.get(row, "")
        return f"near {session.where(found)}" if isinstance(found, int) else found


class Kept(Record):
    """Near pairs of the shards of an earlier night: tomorrow compares what is new with all, and not all with all."""

    shards: tuple[Digest, ...]
    pairs: Blob  # Parquet: a_shard, a_place, b_shard, b_place, relation, similarity
    skipped: int


def find(
    session: Session, shards: Sequence[Shard], items: pa.Table, held_below: int, store: Store, near_pairs: Path
) -> Findings:
    """Marks of all rows.

    Args:
        near_pairs: folder where the recipe's near pairs are kept for tomorrow.
        items: texts of the gate's items, as ``leakage.find`` takes them, house items among them (suite ``house``).
        held_below: prompts with a key below are held out: their own house items they may hold.
    """
    marks: dict[int, set[str]] = {}
    because: dict[int, int | str] = {}
    judged = graph.judge(_edges(session))
    for row in judged.leaving.to_pylist():
        marks.setdefault(row["row"], set()).add(_GRAPH[row["reason"]])
    pairs, skipped = _near_pairs(session, shards, store, near_pairs)
    gone = pc.is_in(pairs["a"], judged.leaving["row"])
    gone = pc.or_(gone, pc.is_in(pairs["b"], judged.leaving["row"]))
    for one in near.leaving(_sound(session, pairs.filter(pc.invert(gone)))):
        marks.setdefault(one.row, set()).add(_NEAR[one.reason])
        because[one.row] = one.because
    leaks = leakage.find(session.raw, "grams", "texts", items)
    for row in _leaving(session, leaks.rows, held_below):
        marks.setdefault(row["row"], set()).add("leaked_house" if row["suite"] == "house" else "leaked")
        because[row["row"]] = f"{row['suite']} {row['item']} ({row['how']})"
    return Findings(
        marks=_table(marks),
        because=because,
        agreement=judged.agreement,
        leaked_items=tuple(one for one in leaks.items.to_pylist() if one["suite"] != "house"),
        common=tuple(leaks.common),
        skipped=skipped,
    )


def _table(marks: dict[int, set[str]]) -> pa.Table:
    rows = sorted(marks)
    columns = {name: pa.array([name in marks[row] for row in rows], pa.bool_()) for name in MARKS}
    return pa.table({"row": pa.array(rows, pa.int64()), **columns})


def _edges(session: Session) -> pa.Table:
    """Pairs of prompts that more than one row judges: the others can't contradict anybody."""
    return session.raw.sql(
        """SELECT row, prompt_key AS prompt, chosen_key AS better, rejected_key AS worse, "at" AS time, annotator
        FROM sound WHERE kind = 'pair' AND prompt_key IN (
            SELECT prompt_key FROM sound WHERE kind = 'pair' GROUP BY prompt_key HAVING count(*) > 1)
        ORDER BY row"""
    ).to_arrow_table()


def _sound(session: Session, pairs: pa.Table) -> pa.Table:
    """Of near pairs, those of two rows that pass their own checks."""
    session.raw.register("found_pairs", pairs)
    try:
        return session.raw.sql(
            """SELECT p.* FROM found_pairs p
            JOIN sound x ON x.row = p.a JOIN sound y ON y.row = p.b ORDER BY p.a, p.b"""
        ).to_arrow_table()
    finally:
        session.raw.unregister("found_pairs")


def _leaving(session: Session, leaked: pa.Table, held_below: int) -> list[dict[str, Any]]:
    """Of rows that leak, those that leave: a held-out row may say what its own house item does."""
    session.raw.register("leaked_rows", leaked)
    try:
        return (
            session.raw.sql(
                """SELECT l.* FROM leaked_rows l JOIN facts f USING (row)
                WHERE l.suite != 'house' OR f.prompt_key >= ? ORDER BY l.row, l.suite, l.item""",
                params=[held_below],
            )
            .to_arrow_table()
            .to_pylist()
        )
    finally:
        session.raw.unregister("leaked_rows")


def _near_pairs(session: Session, shards: Sequence[Shard], store: Store, kept: Path) -> tuple[pa.Table, int]:
    """Near pairs of all rows: those of earlier nights' shards as they were found, and what is new against all."""
    note = kept / f"{short(digest_of([feature_revision('signatures'), _REVISION]), 16)}.json"
    digests = [shard.rows.digest_ for shard in shards]
    known = _known(note, store)
    old = [number for number, one in enumerate(digests) if known is not None and one in set(known.shards)]
    if known is None or len(old) < len(known.shards):  # a shard is gone: what was near to its rows isn't known any more
        known, old = None, []
    new = [number for number in range(len(digests)) if number not in set(old)]
    pairs, skipped = near.PAIRS.empty_table(), 0
    if new:
        found = session.near(new, old)
        pairs, skipped = found.pairs, found.skipped
    if known is not None:
        pairs = pa.concat_tables([_numbered(known, digests, session, store).cast(near.PAIRS), pairs])
        skipped += known.skipped
    _note(note, digests, pairs, skipped, session, store)
    return pairs, skipped


def _known(note: Path, store: Store) -> Kept | None:
    try:
        known = Kept.model_validate_json(note.read_bytes())
    except (FileNotFoundError, ValueError):  # none, or half-written: all is compared with all
        return None
    return known if store.has(known.pairs.digest_) else None


def _numbered(known: Kept, digests: Sequence[Digest], session: Session, store: Store) -> pa.Table:
    """Kept pairs by tonight's row numbers."""
    place = {digest: number for number, digest in enumerate(digests)}
    first = [session.first[place[digest]] for digest in known.shards]
    table = pq.read_table(store.open_path(known.pairs.digest_))
    columns = {name: table[name].to_pylist() for name in table.column_names}
    one = [first[shard] + row for shard, row in zip(columns["a_shard"], columns["a_place"], strict=True)]
    other = [first[shard] + row for shard, row in zip(columns["b_shard"], columns["b_place"], strict=True)]
    return pa.table(
        {
            "a": pa.array(map(min, one, other), pa.int64()),
            "b": pa.array(map(max, one, other), pa.int64()),
            "relation": table["relation"],
            "similarity": table["similarity"],
        }
    )


def _note(note: Path, digests: Sequence[Digest], pairs: pa.Table, skipped: int, session: Session, store: Store) -> None:
    where = {side: [session.shard_of(row) for row in pairs[side].to_pylist()] for side in ("a", "b")}
    columns = {
        f"{side}_{name}": pa.array([one[part] for one in where[side]], pa.int64())
        for side in ("a", "b")
        for part, name in enumerate(("shard", "place"))
    }
    table = pa.table({**columns, "relation": pairs["relation"], "similarity": pairs["similarity"]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    blob = store.put_bytes(sink.getvalue().to_pybytes(), PARQUET)
    write_whole(note, Kept(shards=tuple(digests), pairs=blob, skipped=skipped).model_dump_json())
