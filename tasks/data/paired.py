"""Labels of a snapshot that become pairs: where one prompt has a good and a bad answer, whoever gave them and when."""

import json
from collections.abc import Sequence

import pyarrow as pa

from infra.store import Store
from tasks.contracts import Shard
from tasks.data.arrow import compute as pc
from tasks.data.kinds.labels_paired import Paired, pair_labels
from tasks.data.records import Record
from tasks.data.rows import Rows
from tasks.data.shards import rows_of, stored

_READ = (
    "id", "kind", "error", "prompt", "chosen", "rejected", "weight", "tenant", "annotator", "timestamp",
    "truth", "chosen_model", "rejected_model", "source", "version", "line",
)  # fmt: skip


def with_pairs_of_labels(shards: Sequence[Shard], store: Store) -> tuple[Shard, ...]:
    """The shards, with pairs in a last one, and without the labels that they were made of."""
    tables, places = [], []
    for number, shard in enumerate(shards):
        kinds = rows_of(shard, store, ["kind", "error"])
        label = pc.and_(pc.equal(kinds["kind"], "label"), pc.is_null(kinds["error"]))
        found = [place for place, one in enumerate(label.to_pylist()) if one]
        if found:
            tables.append(rows_of(shard, store, list(_READ)).take(pa.array(found, pa.int64())))
            places += [(number, place) for place in found]
    if not tables:
        return tuple(shards)
    labels = pa.concat_tables(tables)
    pairs = pair_labels(labels)
    if not pairs:
        return tuple(shards)
    used: dict[int, set[int]] = {}
    for pair in pairs:
        for number, place in (places[pair.good], places[pair.bad]):
            used.setdefault(number, set()).add(place)
    kept = [_without(shard, used.get(number, set()), store) for number, shard in enumerate(shards)]
    return (*(shard for shard in kept if shard.n_rows), stored(_rows(pairs, labels), store))


def _rows(pairs: Sequence[Paired], labels: pa.Table) -> pa.Table:
    """Rows of the pairs, from where their good answers are."""
    rows = Rows("default")
    origins = labels.select(["source", "version", "line", "tenant"]).take(pa.array([pair.good for pair in pairs]))
    ids = labels["id"]
    for pair, origin in zip(pairs, origins.to_pylist(), strict=True):
        raw = json.dumps({"good": ids[pair.good].as_py(), "bad": ids[pair.bad].as_py()}, ensure_ascii=False)
        rows.add(pair.built, Record({}, raw.encode(), origin["line"]), origin["source"], origin["version"])
    return rows.table()


def _without(shard: Shard, places: set[int], store: Store) -> Shard:
    if not places:
        return shard
    rows = rows_of(shard, store)
    left = [place for place in range(rows.num_rows) if place not in places]
    return stored(rows.take(pa.array(left, pa.int64())), store)
