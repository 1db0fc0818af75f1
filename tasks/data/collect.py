"""collect: read the recipe's sources into one immutable, content-addressed snapshot of Parquet shards."""

import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from infra.digest import Digest, code_revision, digest_of
from infra.settings import ROOT, Settings
from infra.store import Store
from tasks.contracts import Shard, Snapshot, SourceFile
from tasks.data.batches import (
    BATCH_BYTES,
    BATCH_OBJECTS,
    Batch,
    batches_file,
    read_batches,
    reusable,
    write_batches,
)
from tasks.data.forget import Forgotten
from tasks.data.paired import with_pairs_of_labels
from tasks.data.reading import Group, Read, read_group
from tasks.data.shards import rows_of, stored
from tasks.data.sources.listing import list_objects
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.opening import identity
from tasks.data.sources.parts import parts_of
from tasks.data.sources.reading import settled
from tasks.data.workers import each
from tasks.data_spec import SourceSpec
from tasks.errors import SourceError
from tasks.parts import PARQUET

_UNPACKED = 5  # times its size that a compressed object of text may come to


class Place(NamedTuple):
    """Where collect works.

    Attributes:
        root: what relative paths are relative to.
        kept: folder of what was read before.
        tenant: whose records they are where neither they nor their source say so.
    """

    root: Path
    kept: Path
    store: Store
    settings: Settings
    tenant: str


def make_snapshot(sources: tuple[SourceSpec, ...], place: Place, caps: Caps, forgotten: Forgotten) -> Snapshot:
    """The rows of all sources, oldest first: what earlier nights read, then what is new.

    Raises:
        SourceError: a source is missing or unreadable, or all of them together hold no row.
    """
    begun = time.time()
    read = [batch for spec in sources for batch in _batches(spec, place, caps, forgotten, begun)]
    # across sources too: of two equal rows the older one stays
    batches = sorted(read, key=lambda batch: batch.read_at)
    shards = [shard for batch in batches for shard in batch.shards]
    if any(spec.kind != "documents" for spec in sources):
        shards = with_pairs_of_labels(shards, place.store)
    total = sum(shard.n_rows for shard in shards)
    if total == 0:
        raise SourceError(
            f"the sources {[one.path for one in sources]} hold no rows", do="check that the day's export ran"
        )
    return Snapshot(shards=tuple(shards), n_rows=total, files=tuple(file for batch in batches for file in batch.files))


def fingerprint(sources: tuple[SourceSpec, ...], place: Place, forgotten: Forgotten) -> Digest:
    """What decides a snapshot: names and versions of all objects, and what was to be forgotten.

    The same bytes are the same night, whatever the folder they lie in.
    """
    said = [[_said(spec), _wanted(spec, place)[1], _gone(spec, place)] for spec in sources]
    return digest_of([said, forgotten.digest])


def _said(spec: SourceSpec) -> list[str | None]:
    return [spec.kind, spec.form, spec.tenant, *([spec.topic] if spec.topic else [])]


def _gone(spec: SourceSpec, place: Place) -> list[list[str]]:
    """Objects that are read no more, and whose rows stay."""
    if not spec.keep:
        return []
    here = _wanted(spec, place)[1]
    files = (one for batch in read_batches(batches_file(place.kept, spec, place.tenant)) for one in batch.files)
    return sorted([one.name, one.version] for one in files if one.name not in here)


def _wanted(spec: SourceSpec, place: Place) -> tuple[dict[str, SourceObject], dict[str, str]]:
    """A source's objects and their versions, by name."""
    objects = list_objects(spec, place.root, place.settings)
    return {one.name: one for one in objects}, {one.name: settled(one, place.settings, identity) for one in objects}


def _batches(spec: SourceSpec, place: Place, caps: Caps, forgotten: Forgotten, begun: float) -> list[Batch]:
    """Batches of one source, oldest first; what is read here is noted for the nights to come."""
    objects, versions = _wanted(spec, place)
    revision = importer_revision(caps)
    path = batches_file(place.kept, spec, place.tenant)
    good = reusable(read_batches(path), versions, spec.keep, revision, place.store)
    good = [_without(batch, forgotten, place.store) for batch in good]
    if spec.kind == "documents" and {one.name for batch in good for one in batch.files} != set(objects):
        good = []  # a document and the file of its questions are read together
    known = {one.name for batch in good for one in batch.files}
    fresh = [one for name, one in objects.items() if name not in known]
    with tempfile.TemporaryDirectory() as folder:
        groups = [
            group._replace(folder=str(Path(folder) / f"{number}"))
            for number, group in enumerate(_groups(fresh, versions, spec, place, caps, forgotten))
        ]
        heavy = sum(one.size for one in fresh) > BATCH_BYTES
        for read in _whole(zip(groups, each(read_group, groups, heavy=heavy), strict=True)):
            good.append(_batch(read, spec, place.store, revision, forgotten, begun))
    write_batches(path, good)
    return good


def _groups(
    fresh: list[SourceObject],
    versions: dict[str, str],
    spec: SourceSpec,
    place: Place,
    caps: Caps,
    forgotten: Forgotten,
) -> Iterator[Group]:
    """What is read together: documents, small objects, one object, or a part of a large one."""
    common = (spec, place.tenant, caps, place.settings, forgotten, "")
    if spec.kind == "documents":
        if fresh:
            yield Group(tuple(fresh), *common)
        return
    for objects in _grouped(fresh):
        parts = parts_of(objects[0]) if len(objects) == 1 else []
        if parts:
            yield from (Group(tuple(objects), *common, part, versions[objects[0].name]) for part in parts)
        else:
            yield Group(tuple(objects), *common)


def _whole(read: Iterable[tuple[Group, Read]]) -> Iterator[Read]:
    """Parts of one object put together."""
    shards: tuple[tuple[str, int], ...] = ()
    rows = 0
    for group, one in read:
        if group.part is None:
            yield one
            continue
        shards, rows = (*shards, *one.shards), rows + one.rows[0]
        if group.part.last:
            yield one._replace(shards=shards, rows=(rows,))
            shards, rows = (), 0


def _batch(read: Read, spec: SourceSpec, store: Store, revision: Digest, forgotten: Forgotten, begun: float) -> Batch:
    shards = tuple(Shard(rows=store.put_file(Path(name), PARQUET), n_rows=count) for name, count in read.shards)
    files = tuple(
        SourceFile(
            source=spec.path,
            kind=spec.kind,
            url=one.url,
            name=one.name,
            version=version,
            size=one.size,
            rows=count,
        )
        for one, version, count in zip(read.objects, read.versions, read.rows, strict=True)
    )
    return Batch(files=files, shards=shards, revision=revision, forgotten=forgotten.digest, read_at=begun)


def _grouped(objects: Iterable[SourceObject]) -> Iterator[list[SourceObject]]:
    """Small objects together, a large one alone."""
    group: list[SourceObject] = []
    size = 0
    for one in objects:
        expected = one.size * (_UNPACKED if one.codec or one.form == "parquet" else 1)
        if group and (size + expected > BATCH_BYTES or len(group) == BATCH_OBJECTS):
            yield group
            group, size = [], 0
        group.append(one)
        size += expected
    if group:
        yield group


def _without(batch: Batch, forgotten: Forgotten, store: Store) -> Batch:
    """The batch less the rows that are to be forgotten by now; its shards anew where they hold such rows."""
    if batch.forgotten == forgotten.digest:
        return batch
    shards = tuple(_shard_without(shard, forgotten, store) for shard in batch.shards)
    return batch.model_copy(update={"shards": shards, "forgotten": forgotten.digest})


def _shard_without(shard: Shard, forgotten: Forgotten, store: Store) -> Shard:
    rows = rows_of(shard, store)
    left = forgotten.filter(rows)
    return shard if left.num_rows == rows.num_rows else stored(left, store)


def importer_revision(caps: Caps) -> Digest:
    """Of the code that makes rows of objects, and of its caps: another one reads every object anew."""
    here = ROOT / "tasks" / "data"
    names = ("sources", "kinds", "documents", "reading.py", "records.py", "rows.py", "keys.py")
    return digest_of([code_revision(*(here / name for name in names)), caps])
