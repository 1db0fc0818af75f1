"""Read one group of objects into shards. Runs in a process of its own where there is much to read."""

import json
import shutil
from pathlib import Path
from typing import NamedTuple

from infra.settings import Settings
from tasks.data.documents.sidecar import pair_up
from tasks.data.forget import Forgotten
from tasks.data.kinds.build import build
from tasks.data.kinds.documents import build_document
from tasks.data.records import Broken, Record
from tasks.data.rows import Built, Rows
from tasks.data.shards import write_rows
from tasks.data.sources.listing import fresh
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.opening import identity
from tasks.data.sources.parts import Part, read_part
from tasks.data.sources.reading import TRIES, read_bytes, read_objects
from tasks.data_spec import SourceSpec
from tasks.errors import SourceChanged, SourceError

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
    part: Part | None = None  # of the only object
    version: str = ""  # of that object, as its bytes were read before


class Read(NamedTuple):
    """What was read: each object's version and rows, and each shard's file with its rows."""

    objects: tuple[SourceObject, ...]
    versions: tuple[str, ...]
    rows: tuple[int, ...]
    shards: tuple[tuple[str, int], ...]


def read_group(group: Group) -> Read:
    """Rows of all objects of a group, in order, each in one state: where one changes meanwhile, all is read anew.

    Raises:
        SourceError: an object can't be reached, or never holds still.
    """
    objects = group.objects
    if group.part is not None:
        return _read_part(group, objects[0], group.part)
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
    if group.spec.kind == "documents":
        return _read_documents(group, objects)
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


def _read_part(group: Group, obj: SourceObject, part: Part) -> Read:
    shards = _Shards(Path(group.folder), group.spec.tenant or group.tenant, group.forgotten)
    count = 0
    for record in read_part(obj, part, group.caps):
        count += _add(shards.rows, record, group.spec, obj.name, group.version)
        shards.close_if_full()
    return Read((obj,), (group.version,), (count,), shards.close())


def _read_documents(group: Group, objects: tuple[SourceObject, ...]) -> Read:
    """Documents are read as wholes, each with the file of its questions."""
    shards = _Shards(Path(group.folder), group.spec.tenant or group.tenant, group.forgotten)
    by_name = {one.name: one for one in objects}
    versions = {one.name: identity(one) for one in objects}
    counts = dict.fromkeys(by_name, 0)
    documents, orphans = pair_up(by_name)

    def add(name: str, found: list[Built | Broken]) -> None:
        for one in found:
            if isinstance(one, Broken):
                shards.rows.add_broken(one, name, versions[name])
            else:
                shards.rows.add(one, _cited(one), name, versions[name])
            shards.close_if_full()
        counts[name] += len(found)

    for name, why in orphans.items():
        add(name, [Broken(b"", 0, f"a file of questions: {why}")])
    for name, sidecar in documents.items():
        data = read_bytes(by_name[name], group.caps, group.settings)
        asked = read_bytes(by_name[sidecar], group.caps, group.settings) if sidecar else None
        add(name, [one for one in (data, asked) if isinstance(one, Broken)])
        if isinstance(data, bytes):
            questions = asked if isinstance(asked, bytes) else None
            add(name, build_document(name, data, questions, form=group.spec.form, tenant=group.spec.tenant))
    order = [one.name for one in objects]
    rows = tuple(counts[name] for name in order)
    return Read(objects, tuple(versions[name] for name in order), rows, shards.close())


def _cited(built: Built) -> Record:
    """A document's row has no record: what it came from is its question and the place that is cited."""
    citation = json.loads(built.citation or "{}")
    raw = json.dumps({"question": built.prompt[-1]["content"], "citation": citation}, ensure_ascii=False)
    begins = citation.get("lines") or citation.get("pages") or [0]  # of JSON: a pointer, which the citation has
    return Record({}, raw.encode(errors="surrogatepass"), int(begins[0]))


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
            write_rows(table, path)
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
