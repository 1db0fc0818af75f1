"""One night at a time on one machine's state; the kernel frees the lock of a killed night."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from infra.errors import NightLocked

# the cleaning of a large store reads for minutes; a night that comes due meanwhile must not be lost by it
CLEANING_SECONDS = 3600.0
_LOOK_SECONDS = 1.0


@contextmanager
def night_lock(home: Path, holder: Mapping[str, Any]) -> Iterator[dict[str, Any] | None]:
    """Hold the lock; yields the holder before that never let go (it was killed), or None. A cleaning is waited for.

    Args:
        holder: what the next night must know of this one if it is killed, as JSON.

    Raises:
        NightLocked: a night is running; names its process.
    """
    with _lock_file(home) as file:
        _wait_for_cleaning(file)
        before = _holder(_text(file))
        _write(file, json.dumps({**holder, "pid": os.getpid()}))
        try:
            yield before
        finally:
            _write(file, "")


@contextmanager
def no_night(home: Path) -> Iterator[None]:
    """Inside, no night runs: one that begins waits. What a killed night left in the lock stays for the next one.

    Raises:
        NightLocked: a night is running; names its process.
    """
    with _lock_file(home) as file:
        _take(file)
        before = _holder(_text(file))
        _write(file, json.dumps({_CLEANING: os.getpid(), "before": before}))
        try:
            yield
        finally:
            _write(file, json.dumps(before) if before is not None else "")


_CLEANING = "cleaning"


@contextmanager
def _lock_file(home: Path) -> Iterator[TextIO]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "night.lock").open("a+") as file:
        yield file


def _take(file: TextIO) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = _text(file).strip()
        what = "the store is being cleaned" if _CLEANING in text else "a night is running already"
        raise NightLocked(f"{what}: {text or 'just started'}", do="wait for it, or stop that process") from None


def _wait_for_cleaning(file: TextIO) -> None:
    end = time.monotonic() + CLEANING_SECONDS
    while True:
        try:
            _take(file)
        except NightLocked:
            text = _text(file).strip()  # empty: whoever has just taken it, or lets go now, has not said who it is
            if (text and _CLEANING not in text) or time.monotonic() > end:
                raise
            time.sleep(_LOOK_SECONDS)
        else:
            return


def _text(file: TextIO) -> str:
    file.seek(0)
    return file.read()


def _holder(text: str) -> dict[str, Any] | None:
    """The night that is named; one that a cleaning found, where that was killed too."""
    found = json.loads(text) if text.strip() else None
    return found["before"] if found is not None and _CLEANING in found else found


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
