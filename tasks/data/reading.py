"""Read one group of objects into shards. Runs in a process of its own where there is much to read."""

from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from infra.settings import Settings
from tasks.data.forget import Forgotten
from tasks.data.kinds import build
from tasks.data.records import Broken, Record
from tasks.data.rows import Rows
from tasks.data.sources import Caps, SourceObject, identity, read_object
from tasks.recipe import SourceSpec

SHARD_ROWS = 20_000
SHARD_BYTES = 64 << 20  # of raw records, so that a worker's memory doesn't grow with their size


class Group(NamedTuple):
    """What one worker reads, and where it leaves its shards (``folder``)."""

    objects: tuple[SourceObject, ...]
    spec: SourceSpec
    tenant: str
    caps: Caps
    settings: Settings
    forgotten: Forgotten
    folder: str


class Read(NamedTuple):
    """What was read: rows of each object, and each shard's file with its rows."""

    objects: tuple[SourceObject, ...]
    rows: tuple[int, ...]
    shards: tuple[tuple[str, int], ...]


def read_group(group: Group) -> Read:
    """Rows of all objects of a group, in order.

    Raises:
        SourceError: an object can't be reached.
    """
    folder = Path(group.folder)
    folder.mkdir(parents=True)
    tenant = group.spec.tenant or group.tenant
    rows, counts, shards = Rows(tenant), [], []

    def close() -> None:
        nonlocal rows
        table = group.forgotten.filter(rows.table())
        if table.num_rows:
            path = folder / f"{len(shards)}.parquet"
            # level 1: half the time of the default, for a tenth more bytes
            pq.write_table(table, path, compression="zstd", compression_level=1)
            shards.append((str(path), table.num_rows))
        rows = Rows(tenant)

    for one in group.objects:
        version, count = identity(one), 0
        for record in read_object(one, group.caps, group.settings):
            count += _add(rows, record, group.spec, one.name, version)
            if len(rows) >= SHARD_ROWS or rows.bytes >= SHARD_BYTES:
                close()
        counts.append(count)
    if len(rows):
        close()
    return Read(group.objects, tuple(counts), tuple(shards))


def _add(rows: Rows, record: Record | Broken, spec: SourceSpec, name: str, version: str) -> int:
    """The rows that a record makes; one that can't be read as its kind is a row with its error: nothing is lost."""
    if isinstance(record, Broken):
        rows.add_broken(record, name, version)
        return 1
    try:
        built = build(spec.kind, spec.form, record)
    except ValueError as error:
        rows.add_broken(Broken(record.raw, record.line, str(error)), name, version)
        return 1
    for number, one in enumerate(built):
        # rows of one record have its id, and are told apart
        rows.add(one, record, name, version, part=number if len({other.id for other in built}) < len(built) else 0)
    return len(built)
