"""One night at a time on one machine's state; the kernel frees the lock of a killed night."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from infra.errors import NightLocked


@contextmanager
def night_lock(home: Path, holder: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Hold the lock; yields the holder before that never let go (it was killed), or None.

    Args:
        holder: what the next night must know of this one if it is killed, as JSON.

    Raises:
        NightLocked: a night is running; names its process.
    """
    path = home / "night.lock"
    home.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise NightLocked(
                f"a night is running already: {file.read().strip() or 'just started'}",
                do="wait for it, or stop that process",
            ) from None
        file.seek(0)
        before = _holder(file.read())
        _write(file, json.dumps({**holder, "pid": os.getpid()}))
        try:
            yield before
        finally:
            _write(file, "")


def _holder(text: str) -> dict[str, Any] | None:
    return json.loads(text) if text.strip() else None


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()


@contextmanager
def folder_lock(folder: Path, what: str) -> Iterator[None]:
    """Hold a folder for this process alone.

    Raises:
        NightLocked: somebody holds it; ``what`` says who.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NightLocked(f"{what} ({folder / 'lock'} is held)", do="stop the other one first") from None
        yield
