"""An append-only, hash-chained file of decisions: one JSON object a line, each bound to the line before it.

An edited, removed or re-ordered line breaks the chain and is named. The file's own end can't be protected by a chain:
whoever knows how many lines there must be has to say so (judge compares with the registry's versions).
"""

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from infra.digest import Digest, digest_of
from infra.errors import LedgerError

# the first line is bound to this
GENESIS: Digest = digest_of("nightshift ledger")

# clocks of machines that share a ledger differ by a little
TOLERANCE = timedelta(seconds=5)


class Entry(NamedTuple):
    """One line. ``digest`` is of all the rest, ``previous`` the digest of the line before."""

    seq: int
    at: str  # ISO time, UTC
    kind: str
    body: Mapping[str, Any]
    previous: Digest
    digest: Digest


def ledger_path(home: Path, name: str) -> Path:
    """Where a recipe's ledger lies."""
    return home / "ledger" / f"{name}.jsonl"


def read_ledger(path: Path) -> tuple[Entry, ...]:
    """All entries, the chain checked; none where there is no file.

    A last line without its line feed was cut by a crash before anybody relied on it, and is left out.

    Raises:
        LedgerError: names the first line that doesn't fit.
    """
    if not path.exists():
        return ()
    lines = path.read_bytes().split(b"\n")[:-1]
    entries: list[Entry] = []
    for number, line in enumerate(lines, 1):
        entries.append(_parsed(line, entries[-1] if entries else None, f"{path}:{number}"))
    return tuple(entries)


def append(path: Path, kind: str, body: Mapping[str, Any], now: datetime) -> Entry:
    """Add a line, on disk before this returns; one writer at a time.

    Raises:
        LedgerError: the chain is broken, or ``now`` lies before the last line: a clock runs backwards.
        OSError: the line can't be written; nothing was added then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        entries = read_ledger(path)
        last = entries[-1] if entries else None
        check_clock(entries, now, path)
        entry = _made(last, kind, body, now)
        _cut_torn_line(file)
        line = json.dumps(entry._asdict(), ensure_ascii=False, allow_nan=False).encode() + b"\n"
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    return entry


def check_clock(entries: Sequence[Entry], now: datetime, path: Path) -> None:
    """Refuse a time before the last line's.

    Raises:
        LedgerError: a clock runs backwards.
    """
    if entries and now < datetime.fromisoformat(entries[-1].at) - TOLERANCE:
        raise LedgerError(
            f"the clock runs backwards: it is {now.isoformat(timespec='seconds')}, "
            f"and the last line of {path} was written at {entries[-1].at}",
            do="set this machine's clock, then run the night again",
        )


def _made(last: Entry | None, kind: str, body: Mapping[str, Any], now: datetime) -> Entry:
    seq, previous = (last.seq + 1, last.digest) if last else (1, GENESIS)
    at = now.astimezone(UTC).isoformat(timespec="milliseconds")
    return Entry(seq, at, kind, body, previous, _digest(seq, at, kind, body, previous))


def _digest(seq: int, at: str, kind: str, body: Mapping[str, Any], previous: Digest) -> Digest:
    return digest_of([seq, at, kind, dict(body), previous])


def _parsed(line: bytes, last: Entry | None, where: str) -> Entry:
    try:
        entry = Entry(**json.loads(line))
        whole = entry.digest == _digest(*entry[:5])
    except (ValueError, TypeError) as error:
        raise _broken(f"{where} can't be read: {error}") from error
    if not whole:
        raise _broken(f"{where} was edited: its digest doesn't match what it says")
    seq, previous = (last.seq + 1, last.digest) if last else (1, GENESIS)
    if entry.seq != seq or entry.previous != previous:
        raise _broken(f"{where} does not follow the line before it: a line was removed, added or moved")
    return entry


def _broken(what: str) -> LedgerError:
    return LedgerError(
        f"the ledger is broken: {what}", do="find out who changed it and put back a copy; nothing is judged until then"
    )


def _cut_torn_line(file: BinaryIO) -> None:
    """Remove what a crash left of a line behind the last line feed."""
    file.seek(0)
    data = file.read()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        file.truncate(whole)
