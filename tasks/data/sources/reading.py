"""An object into records and what is none; many objects in turn; an object that doesn't hold still, again."""

import io
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO, TypeVar

from infra.settings import Settings
from tasks.data.records import Broken, Record
from tasks.data.sources.columnar import parquet_records
from tasks.data.sources.delimited import csv_records
from tasks.data.sources.framing import as_utf8, framed
from tasks.data.sources.jsonl import json_records
from tasks.data.sources.listing import fresh
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.opening import LocalFile, Raw, changed, opened
from tasks.data.sources.unpacking import Damaged, unpacked
from tasks.errors import SourceChanged, SourceError

T = TypeVar("T")

TRIES = 5
_PAUSE_SECONDS = 0.5  # before the second try; each further one waits twice as long

_IN_MEMORY = 8 << 20  # a Parquet file that isn't a local one is kept on disk above this

# of S3: so many at once are read ahead, if they are no larger
_AHEAD = 8
_SMALL = 1 << 20


def read_object(obj: SourceObject, caps: Caps, settings: Settings) -> Iterator[Record | Broken]:
    """The object's records in their order, and a Broken for each place that is none: all of the state that was listed.

    Raises:
        SourceChanged: it isn't in that state any more; what came before may be of two states. See ``settled``.
        SourceError: the place can't be read.
    """
    if obj.refused:
        yield Broken(b"", 0, f"not read: {obj.refused}")
        return
    if obj.form is None:
        raise SourceError(f"{obj.url} holds no records, by its name's ending", do="is its source's `kind` right?")
    with opened(obj, settings) as raw:
        yield from _records(obj, raw, caps, settings)


def read_objects(
    objects: Iterable[SourceObject], caps: Caps, settings: Settings
) -> Iterator[tuple[SourceObject, Iterator[Record | Broken]]]:
    """Each object with its records, in order; small ones on S3 are fetched ahead, several at once.

    An object's records have to be taken before the next object's. They raise what ``read_object`` does.
    """
    with ThreadPoolExecutor(_AHEAD) as pool:
        waiting: deque[tuple[SourceObject, Future[bytes] | None]] = deque()
        left = iter(objects)
        while True:
            while len(waiting) < 2 * _AHEAD and (obj := next(left, None)) is not None:
                small = obj.on_s3 and obj.size <= _SMALL and not obj.refused
                waiting.append((obj, pool.submit(_fetched, obj, settings) if small else None))
            if not waiting:
                return
            obj, fetch = waiting.popleft()
            yield obj, _of_fetch(obj, fetch, caps, settings) if fetch else read_object(obj, caps, settings)


def read_bytes(obj: SourceObject, caps: Caps, settings: Settings) -> bytes | Broken:
    """A document: the object's bytes, unpacked.

    Raises:
        SourceChanged, SourceError: as ``read_object`` does.
    """
    if obj.refused:
        return Broken(b"", 0, f"not read: {obj.refused}")
    made = io.BytesIO()
    with opened(obj, settings) as raw:
        try:
            for chunk in _unpacked(obj, raw, caps):
                made.write(chunk)
                if made.tell() > caps.document_bytes:
                    return Broken(b"", 0, f"a document of more than {caps.document_bytes:,} bytes")
        except Damaged as error:
            raw.growing()
            return Broken(b"", 0, str(error))
        raw.growing()
    return made.getvalue()


def settled(obj: SourceObject, settings: Settings, use: Callable[[SourceObject], T]) -> T:
    """What ``use`` makes of the object, in one state: where it changes while it is read, all of it is made anew.

    Args:
        use: reads the object it is given and throws away what it had; it may raise SourceChanged.

    Raises:
        SourceError: the object is gone, or never holds still.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return use(obj)
        except SourceChanged as error:
            if attempt == TRIES:
                raise SourceError(
                    f"{obj.url} changed each of the {TRIES} times that it was read ({error.what})",
                    do="let its writer finish, or write to another name and rename it when it is whole",
                ) from error
        time.sleep(_PAUSE_SECONDS * 2 ** (attempt - 1))
        obj = fresh(obj, settings)
    raise AssertionError("unreachable")


def _records(obj: SourceObject, raw: Raw, caps: Caps, settings: Settings) -> Iterator[Record | Broken]:
    if obj.form == "parquet":
        yield from _parquet(obj, raw, caps, settings)
        return
    parts = framed(as_utf8(_unpacked(obj, raw, caps)), caps.line_bytes, raw.growing)
    yield from (csv_records if obj.form == "csv" else json_records)(parts, caps)


def _unpacked(obj: SourceObject, raw: Raw, caps: Caps) -> Iterator[bytes]:
    return unpacked(raw.chunks, obj.codec, caps) if obj.codec else raw.chunks()


def _parquet(obj: SourceObject, raw: Raw, caps: Caps, settings: Settings) -> Iterator[Record | Broken]:
    """Parquet is read from its end, so it has to be whole; a local file is read where it lies."""
    if isinstance(raw, LocalFile) and not obj.codec:
        raw.check_unchanged()
        yield from parquet_records(raw.file, obj.size, caps)
        raw.check_unchanged()
        return
    with _spool(obj, settings) as spool:
        damage = None
        try:
            for chunk in _unpacked(obj, raw, caps):
                spool.write(chunk)
        except Damaged as error:
            damage = str(error)
        if raw.growing():
            raise changed(obj, "was written while it was read")
        if damage is not None:
            yield Broken(b"", 0, damage)
            return
        size = spool.tell()
        spool.seek(0)
        yield from parquet_records(spool, size, caps)


@contextmanager
def _spool(obj: SourceObject, settings: Settings) -> Iterator[BinaryIO]:
    """A place for a file that isn't at hand: memory, or a nameless file in the state folder."""
    settings.home.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(settings.home)) as file:
            yield file  # pyright: ignore[reportReturnType]
    except OSError as error:
        raise SourceError(
            f"{obj.url} can't be kept in {settings.home} while it is read: {error.strerror or error}",
            do="free space there, or set NIGHTSHIFT_HOME to another folder",
        ) from error


class _Fetched:
    """An object that is here already."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def chunks(self) -> Iterator[bytes]:
        yield self.data

    def growing(self) -> bool:
        return False


def _fetched(obj: SourceObject, settings: Settings) -> bytes:
    with opened(obj, settings) as raw:
        return b"".join(raw.chunks())


def _of_fetch(obj: SourceObject, fetch: "Future[bytes]", caps: Caps, settings: Settings) -> Iterator[Record | Broken]:
    yield from _records(obj, _Fetched(fetch.result()), caps, settings)
