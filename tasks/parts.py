"""Lines that lie in one object, or in many: a night that adds to a million pairs writes its own part only."""

from collections.abc import Iterable, Iterator

from pydantic import TypeAdapter

from infra.store import Blob, Store

MEDIA = "application/vnd.nightshift.parts+json"
LINES = "application/jsonl"
PARQUET = "application/vnd.apache.parquet"
_PARTS = TypeAdapter(tuple[Blob, ...])


def joined(parts: Iterable[Blob], store: Store) -> Blob:
    """One reference to all parts: to the only one itself, or to the list of them; of a list among them to its parts."""
    listed = tuple(part for given in parts for part in parts_of(given, store) if part.size)
    if len(listed) == 1:
        return listed[0]
    if not listed:
        return store.put_bytes(b"", LINES)
    return store.put_bytes(_PARTS.dump_json(listed), MEDIA)


def parts_of(blob: Blob, store: Store) -> tuple[Blob, ...]:
    """The parts.

    Raises:
        StoreError: the list is missing or was changed.
    """
    return _PARTS.validate_json(store.read_bytes(blob)) if blob.media == MEDIA else (blob,)


def lines_of(blob: Blob, store: Store) -> Iterator[bytes]:
    """Every line that isn't blank, of all parts in their order; one part at a time is in memory.

    Raises:
        StoreError: a part is missing or was changed.
    """
    for part in parts_of(blob, store):
        with store.open_path(part.digest_).open("rb") as file:
            for line in file:
                if line.strip():
                    yield line.rstrip(b"\n")
