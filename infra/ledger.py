"""An append-only, hash-chained file of decisions: one JSON object a line, each bound to the line before it.

An edited, removed or re-ordered line breaks the chain and is named. The file's own end can't be protected by a chain:
whoever knows how many lines there must be has to say so (judge compares with the registry's versions).
"""

import fcntl
import json
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from infra.digest import Digest, digest_of
from infra.errors import LedgerError, UnstableValue
from infra.files import sync_folder

# the first line is bound to this
GENESIS: Digest = digest_of("nightshift ledger")

# clocks of machines that share a ledger differ by a little
TOLERANCE = timedelta(seconds=5)

_BLOCK = 1 << 16


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
    return read_on(path, 0, None)[0]


def read_on(path: Path, offset: int, last: Entry | None) -> tuple[tuple[Entry, ...], int]:
    """The entries behind ``offset``, chained to ``last``, and the offset behind them: for who follows a growing file.

    Raises:
        LedgerError: names the first line that doesn't fit, or a file that became shorter.
    """
    if not path.exists():
        if offset:
            raise _broken(f"{path} is gone")
        return (), 0
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) < offset:
            raise _broken(f"{path} became shorter: lines at its end were removed")
        file.seek(offset)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    entries: list[Entry] = []
    for number, line in enumerate(whole.split(b"\n")[:-1], (last.seq if last else 0) + 1):
        entries.append(_parsed(line, entries[-1] if entries else last, f"{path}:{number}"))
    return tuple(entries), offset + len(whole)


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
        _write(file, entry)
    return entry


def append_to_tail(path: Path, kind: str, body: Mapping[str, Any], clock: Callable[[], datetime]) -> Entry:
    """``append`` for a file that grows without end: reads the last line only, however many there are.

    Lines before the last are not looked at: who relies on them reads them (``read_ledger``, ``problems``).

    Args:
        clock: asked while no other writes, so that who waits long for its turn doesn't bring an old time.

    Raises:
        LedgerError: the last line is broken, or the clock runs backwards.
        OSError: the line can't be written; nothing was added then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        line = _last_line(file)
        last = _alone(line, f"the last line of {path}") if line else None
        now = clock()
        check_clock([last] if last else [], now, path)
        entry = _made(last, kind, body, now)
        _write(file, entry)
        if last is None:
            sync_folder(path.parent)
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


def problems(path: Path) -> tuple[tuple[Entry, ...], list[str]]:
    """Every line that can be read, and a sentence for each that was removed, edited, moved, added or cut off.

    Unlike ``read_ledger`` it goes on after the first: an audit wants all of them.
    """
    return problems_in(path.read_bytes(), path.name) if path.exists() else ((), [])


def problems_in(data: bytes, name: str) -> tuple[tuple[Entry, ...], list[str]]:
    """``problems`` of a ledger's bytes, wherever they were kept.

    Args:
        name: what to call it in the sentences.
    """
    *lines, torn = data.split(b"\n")
    found: list[str] = []
    entries: list[Entry] = []
    unreadable: set[int] = set()
    for number, line in enumerate(lines, 1):
        try:
            entries.append(_entry(line, f"line {number}"))
        except LedgerError as error:
            found.append(f"{name}: {error.what.removeprefix(_BROKEN)}")
            unreadable.add(entries[-1].seq + 1 if entries else 1)
            continue
        if not _whole(entries[-1]):
            found.append(f"{name}: line {number} (entry {entries[-1].seq}) was edited: its digest doesn't match")
    found += [f"{name}: {one}" for one in _order_problems(entries, unreadable)]
    if torn:
        found.append(f"{name}: line {len(lines) + 1} is cut off: a crash stopped its writer")
    return tuple(entries), found


def _order_problems(entries: Sequence[Entry], unreadable: set[int]) -> list[str]:
    """What is missing, out of its place or bound to another line; each entry says itself where it belongs."""
    by_seq = {entry.seq: entry for entry in reversed(entries)}
    last = max(by_seq, default=0)
    found = [f"entry {seq} was removed" for seq in range(1, last) if seq not in by_seq and seq not in unreadable]
    highest = 0
    for entry in entries:
        if entry.seq <= highest:
            found.append(f"entry {entry.seq} was moved or copied: it stands behind entry {highest}")
        highest = max(highest, entry.seq)
        before = by_seq.get(entry.seq - 1)
        if entry.seq == 1 and entry.previous != GENESIS:
            found.append("entry 1 is not the first line of a ledger: it is bound to another line")
        elif before is not None and entry.previous != before.digest:
            found.append(f"entry {entry.seq} is not bound to entry {before.seq}: one of the two was replaced")
    return found


def _made(last: Entry | None, kind: str, body: Mapping[str, Any], now: datetime) -> Entry:
    seq, previous = (last.seq + 1, last.digest) if last else (1, GENESIS)
    at = now.astimezone(UTC).isoformat(timespec="milliseconds")
    return Entry(seq, at, kind, body, previous, _digest(seq, at, kind, body, previous))


def _write(file: BinaryIO, entry: Entry) -> None:
    _cut_torn_line(file)
    file.write(json.dumps(entry._asdict(), ensure_ascii=False, allow_nan=False).encode() + b"\n")
    file.flush()
    os.fsync(file.fileno())


def _digest(seq: int, at: str, kind: str, body: Mapping[str, Any], previous: Digest) -> Digest:
    return digest_of([seq, at, kind, dict(body), previous])


def _parsed(line: bytes, last: Entry | None, where: str) -> Entry:
    entry = _alone(line, where)
    seq, previous = (last.seq + 1, last.digest) if last else (1, GENESIS)
    if entry.seq != seq or entry.previous != previous:
        raise _broken(f"{where} does not follow the line before it: a line was removed, added or moved")
    return entry


def _alone(line: bytes, where: str) -> Entry:
    """A line that is what its digest says, wherever it stands."""
    entry = _entry(line, where)
    if not _whole(entry):
        raise _broken(f"{where} was edited: its digest doesn't match what it says")
    return entry


def _entry(line: bytes, where: str) -> Entry:
    try:
        entry = Entry(**json.loads(line))
        _digest(*entry[:5])
        if not isinstance(entry.seq, int):
            raise TypeError(f"seq is {entry.seq!r}")
    except (ValueError, TypeError, UnstableValue) as error:
        raise _broken(f"{where} can't be read: {error}") from error
    return entry


def _whole(entry: Entry) -> bool:
    return entry.digest == _digest(*entry[:5])


_BROKEN = "the ledger is broken: "


def _broken(what: str) -> LedgerError:
    return LedgerError(
        f"{_BROKEN}{what}", do="find out who changed it and put back a copy; nothing is judged until then"
    )


def _last_line(file: BinaryIO) -> bytes:
    """The last line that has its line feed, without it; read from the end."""
    end = file.seek(0, os.SEEK_END)
    data = b""
    while end > 0:
        start = max(0, end - _BLOCK)
        file.seek(start)
        data = file.read(end - start) + data
        end = start
        lines = data.split(b"\n")[:-1]  # the rest behind the last line feed was cut by a crash
        if len(lines) > 1:
            return lines[-1]
    return data.split(b"\n")[-2] if b"\n" in data else b""


def _cut_torn_line(file: BinaryIO) -> None:
    """Remove what a crash left of a line behind the last line feed."""
    size = end = file.seek(0, os.SEEK_END)
    keep = 0
    while end > 0 and not keep:
        start = max(0, end - _BLOCK)
        file.seek(start)
        feed = file.read(end - start).rfind(b"\n")
        keep = start + feed + 1 if feed >= 0 else 0
        end = start
    if keep != size:
        file.truncate(keep)
