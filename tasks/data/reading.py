"""Read one group of objects into shards. Runs in a process of its own where there is much to read."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from infra.settings import Settings
from tasks.data.forget import Forgotten
from tasks.data.kinds.build import build
from tasks.data.records import Broken, Record
from tasks.data.rows import Rows
from tasks.data.sources.listing import fresh
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.opening import identity
from tasks.data.sources.reading import TRIES, read_objects
from tasks.errors import SourceChanged, SourceError
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
    """What was read: each object's version and rows, and each shard's file with its rows."""

    objects: tuple[SourceObject, ...]
    versions: tuple[str, ...]
    rows: tuple[int, ...]
    shards: tuple[tuple[str, int], ...]


def read_group(group: Group) -> Read:
    """Rows of all objects of a group, in order, each object in one state: where one changes meanwhile, all is read anew.

    Raises:
        SourceError: an object can't be reached, or never holds still.
    """
    objects = group.objects
    for attempt in range(1, TRIES + 1):
        try:
            return _read(group, objects)
        except SourceChanged as error:
            if attempt == TRIES:
                raise SourceError(
                    f"{group.spec.path} changed each of the {TRIES} times that it was read ({error.what})",
                    do="let its writer finish, or write to another name and rename it when it is whole",
                ) from error
            shutil.rmtree(group.folder)
        objects = tuple(fresh(one, group.settings) for one in objects)
    raise AssertionError("unreachable")


def _read(group: Group, objects: tuple[SourceObject, ...]) -> Read:
    shards = _Shards(Path(group.folder), group.spec.tenant or group.tenant, group.forgotten)
    counts, versions = [], []
    for one, records in read_objects(objects, group.caps, group.settings):
        version, count = identity(one), 0
        for record in records:
            count += _add(shards.rows, record, group.spec, one.name, version)
            shards.close_if_full()
        counts.append(count)
        versions.append(version)
    return Read(objects, tuple(versions), tuple(counts), shards.close())


class _Shards:
    """Files of rows, a new one when one is full."""

    def __init__(self, folder: Path, tenant: str, forgotten: Forgotten) -> None:
        folder.mkdir(parents=True)
        self._folder, self._tenant, self._forgotten = folder, tenant, forgotten
        self._written: list[tuple[str, int]] = []
        self.rows = Rows(tenant)

    def close_if_full(self) -> None:
        if len(self.rows) >= SHARD_ROWS or self.rows.bytes >= SHARD_BYTES:
            self.close()

    def close(self) -> tuple[tuple[str, int], ...]:
        table = self._forgotten.filter(self.rows.table())
        if table.num_rows:
            path = self._folder / f"{len(self._written)}.parquet"
            # level 1: half the time of the default, for a tenth more bytes
            pq.write_table(table, path, compression="zstd", compression_level=1)
            self._written.append((str(path), table.num_rows))
        self.rows = Rows(self._tenant)
        return tuple(self._written)


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
