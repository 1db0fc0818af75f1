"""What the data's report is made of, read off a night's session."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from infra.store import Store
from tasks.contracts import Shard, Snapshot
from tasks.data.accepted import Accepted, object_names
from tasks.data.arrow import compute as pc
from tasks.data.checks import CHECKS
from tasks.data.drift import DriftFigure, Marginals, drift, marginals
from tasks.data.findings import Findings
from tasks.data.judge_profile import Finding
from tasks.data.keys import below
from tasks.data.page_records import SAMPLES, DataReport, DriftAgainst, Flow, Leaked, Reason, Sample, Source
from tasks.data.served import Served
from tasks.data.session import Session
from tasks.data.shards import taken
from tasks.data.style import BiasFigure, bias
from tasks.data_spec import DataSpec

SAMPLED_SHARDS, SAMPLED_ROWS = 10, 20_000
_LOOKED_AT = ("kind", "source", "prompt_text", "chosen_text", "rejected_text", "chosen_model", "rejected_model")
_SHOWN = ("id", "source", "line", "builder", "error", "raw", "prompt_text", "chosen_text", "rejected_text")


class Looked(NamedTuple):
    """Figures of a sample of the rows that passed: rows of some shards, spread over all of them."""

    bias: tuple[BiasFigure, ...]
    marginals: Marginals
    drift: tuple[DriftFigure, ...]  # from the last accepted snapshot
    from_served: tuple[DriftFigure, ...] = ()  # from what is asked in service


class Judged(NamedTuple):
    """What validate found: expectations, a sample's figures, findings among all rows, and what it compares with."""

    expectations: tuple[Finding, ...]
    looked: Looked
    found: Findings
    before: Accepted | None
    served: Served | None
    n_house: int


def told(
    session: Session, snapshot: Snapshot, data: DataSpec, judged: Judged, night: str, recipe: str, store: Store
) -> DataReport:
    """The night's data, as its report shows it."""
    found, looked = judged.found, judged.looked
    return DataReport(
        night=night,
        recipe=recipe,
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=sources(snapshot, judged.before),
        flows=flows(session, data.holdout, judged.n_house),
        reasons=reasons(session),
        samples=samples(session, snapshot.shards, found, store),
        expectations=judged.expectations,
        bias=looked.bias,
        drift=tuple(_drifts(judged)),
        agreement=found.agreement if found.agreement.units else None,
        leaked_items=tuple(Leaked(**one) for one in found.leaked_items),
        common=found.common,
        skipped=found.skipped,
    )


def _drifts(judged: Judged) -> Iterator[DriftAgainst]:
    if judged.looked.drift:
        yield DriftAgainst(against="the last accepted snapshot", figures=judged.looked.drift)
    served = judged.served
    if served is not None:
        unread = f"; {served.unread:,} records hold none" if served.unread else ""
        against = f"what is asked in service: {served.marginals.rows:,} prompts of {served.path}{unread}"
        yield DriftAgainst(against=against, figures=judged.looked.from_served)


def look(rows: pa.Table, before: Marginals | None, served: Marginals | None) -> Looked:
    """Bias of the pairs and drift of all rows that passed.

    Args:
        rows: see ``sample``.
        before, served: of the last accepted snapshot and of what is asked in service, where drift is measured from
            them.
    """
    pairs = rows.filter(pc.equal(rows["kind"], "pair"))
    now = marginals(rows)
    return Looked(
        bias(pairs),
        now,
        drift(now, before) if before is not None else (),
        drift(now, served) if served is not None else (),
    )


def sample(session: Session, shards: Sequence[Shard], store: Store) -> pa.Table:
    """Some sound rows of some shards that are spread over all.

    Returns:
        what is looked at, ``row``, and ``drawn``: a random number each, the same every night.
    """
    numbers = sorted({round(one) for one in np.linspace(0, len(shards) - 1, min(SAMPLED_SHARDS, len(shards)))})
    most = -(-SAMPLED_ROWS // len(numbers))
    tables = []
    for number in numbers:
        places, drawn = session.sound_places(number), np.random.default_rng(number).random(shards[number].n_rows)
        places = np.sort(places[np.argsort(drawn[places], kind="stable")[:most]])
        rows = taken(shards[number], store, places, list(_LOOKED_AT))
        rows = rows.append_column("row", pa.array(session.first[number] + places, pa.int64()))
        tables.append(rows.append_column("drawn", pa.array(drawn[places])))
    return pa.concat_tables(tables)


def sources(snapshot: Snapshot, before: Accepted | None) -> tuple[Source, ...]:
    """What each source gave, those that are gone since among them."""
    known = frozenset(before.objects) if before is not None else frozenset[str]()
    was = before.rows if before is not None else {}
    found: dict[str, dict[str, Any]] = {}
    for file, name in zip(snapshot.files, object_names(snapshot), strict=True):
        one = found.setdefault(
            file.source, {"name": file.source, "kind": file.kind, "objects": 0, "rows": 0, "new_rows": 0, "bytes": 0}
        )
        one["objects"] += 1
        one["rows"] += file.rows
        one["bytes"] += file.size
        one["new_rows"] += 0 if name in known else file.rows
    gone = {name: {"name": name, "kind": "", "objects": 0, "rows": 0, "new_rows": 0, "bytes": 0} for name in was}
    merged = gone | found
    return tuple(Source(**one, rows_before=was.get(name, 0) if was else None) for name, one in merged.items())


def flows(session: Session, holdout: float, n_house: int) -> tuple[Flow, ...]:
    """Where the rows of each kind went."""
    rows = session.raw.execute(
        """SELECT kind, count(*), count(*) FILTER (fails), count(*) FILTER (NOT fails AND prompt_key < ?)
        FROM flagged GROUP BY kind ORDER BY kind""",
        [below(holdout)],
    ).fetchall()
    found = []
    for kind, count, quarantined, held in rows:
        to_train = 0 if kind == "document" else count - quarantined - held
        house = min(n_house, held) if kind == "pair" else 0
        found.append(
            Flow(kind=kind, rows=count, quarantined=quarantined, held_out=held, house=house, to_train=to_train)
        )
    return tuple(found)


def reasons(session: Session) -> tuple[Reason, ...]:
    """How many rows each check flagged."""
    columns = ", ".join(f'count(*) FILTER ("{name}")' for name in CHECKS)
    (counts,) = session.raw.execute(f"SELECT {columns} FROM flagged").fetchall()
    return tuple(Reason(name=name, rows=count) for name, count in zip(CHECKS, counts, strict=True) if count)


def samples(session: Session, shards: Sequence[Shard], found: Findings, store: Store) -> tuple[Sample, ...]:
    """The first few rows of each reason."""
    first = {
        name: [
            row
            for (row,) in session.raw.execute(
                f'SELECT row FROM flagged WHERE "{name}" ORDER BY row LIMIT {SAMPLES}'
            ).fetchall()
        ]
        for name in CHECKS
    }
    shown = _shown({row for rows in first.values() for row in rows}, session, shards, store)
    return tuple(
        Sample(reason=name, because=found.why(row, session), **shown[row])
        for name, rows in first.items()
        for row in rows
    )


def _shown(rows: set[int], session: Session, shards: Sequence[Shard], store: Store) -> dict[int, dict[str, Any]]:
    """What a sample shows of these rows; each shard is read once."""
    places: dict[int, dict[int, int]] = {}
    for row in sorted(rows):
        number, place = session.shard_of(row)
        places.setdefault(number, {})[place] = row
    return {
        of[place]: _values(one)
        for number, of in places.items()
        for place, one in zip(of, taken(shards[number], store, list(of), list(_SHOWN)).to_pylist(), strict=True)
    }


def _values(values: dict[str, Any]) -> dict[str, Any]:
    texts = {part: values.pop(f"{part}_text") for part in ("prompt", "chosen", "rejected")}
    error, raw = values.pop("error"), values.pop("raw")
    return values | texts | ({"error": error, "raw": raw} if error is not None else {})
