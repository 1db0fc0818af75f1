"""Notes of what was computed before: a small file that names an object of the store, under what decides the object."""

import os
from pathlib import Path

from infra.files import write_whole
from infra.store import Blob, Store


def noted(path: Path, store: Store) -> Blob | None:
    """The object that a note names; None where there is no note, or no such object any more: it is made again."""
    try:
        blob = Blob.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    if not store.has(blob.digest_):
        return None
    os.utime(path)  # notes are cleaned away by their age (tasks.retained)
    return blob


def note(path: Path, blob: Blob) -> None:
    """Write a note."""
    write_whole(path, blob.model_dump_json())
