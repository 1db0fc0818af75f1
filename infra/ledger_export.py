"""A ledger's lines kept elsewhere: numbered segments that are never rewritten, and a head that says how far they go.

A chain can't protect its own end, and whoever may write the file can write a whole new one. What was exported shows
both: lines that are removed, edited or moved are named, the last ones too.

The head is moved first (compare-and-swap), then its segment is written (only if absent). So of two exporters one takes
the next lines and no line is in two segments; who stops between the two writes leaves a segment to write, and the next
exporter writes it before it goes on.
"""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import Field, ValidationError

from infra.digest import Digest, Record, canonical_json, digest_bytes
from infra.errors import LedgerError, ObjectConflict
from infra.ledger import Entry, problems_in
from infra.objects import Objects, check_key

_LINES = 5_000  # of a segment, at most
_DIGITS = 12
_MEDIA = "application/x-ndjson"
_ATTEMPTS = 50  # other exporters that were faster


class ExportHead(Record):
    """How far the export goes. ``first`` to ``seq`` is its last segment, ``segment`` the digest of that one's bytes."""

    name: str
    first: int = Field(ge=1)
    seq: int = Field(ge=1)
    digest_: Digest  # of the entry ``seq``, as the ledger says it
    segment: Digest


class Exported(NamedTuple):
    """What an export did, and how far the ledger is kept now."""

    lines: int  # sent by this call
    head: ExportHead | None


class Line(NamedTuple):
    """A line as it stands in a file."""

    number: int
    seq: int | None  # None: it can't be read
    raw: bytes


def segment_key(name: str, first: int, last: int) -> str:
    return f"ledger/{name}/{first:0{_DIGITS}}-{last:0{_DIGITS}}.jsonl"


def head_key(name: str) -> str:
    return f"ledger/{name}/head.json"


def exported_head(objects: Objects, name: str) -> ExportHead | None:
    """How far the export goes, for ``verify`` of who keeps the ledger; None where nothing was exported."""
    return _head(objects, name)[0]


def export_ledger(path: Path, objects: Objects, name: str) -> Exported:
    """Send the lines that were not sent yet. Any number may do this at once, and stop at any moment.

    A last line without its line feed isn't sent.

    Raises:
        LedgerError: the ledger is broken, or no longer has what was exported: nothing is sent then.
        ObjectError: the place can't be written.
    """
    local = _local(path)
    sent = conflicts = 0
    while conflicts < _ATTEMPTS:
        head, etag = _head(objects, name)
        if head is not None:
            if head.seq > len(local.lines):
                local = _local(path)  # it grew since it was read
            _finish(objects, head, local)
        done = head.seq if head else 0
        part = local.lines[done : done + _LINES]
        if not part:
            return Exported(sent, head)
        wanted = _next_head(name, done, part, local)
        try:
            objects.put(
                head_key(name), canonical_json(wanted), absent=etag is None, match=etag, media="application/json"
            )
        except ObjectConflict:
            conflicts += 1  # another exporter was faster: see what is left
            continue
        _write_segment(objects, wanted, part)
        sent += len(part)
    raise LedgerError(
        f"the export of {path} found its head moved {conflicts} times", do="run it again when fewer exporters run"
    )


def compare_with_export(path: Path, objects: Objects, name: str) -> list[str]:
    """A sentence for every exported line that was removed, edited or moved since, and for what the export itself lacks.

    Lines behind the last exported one are not looked at: whether they are whole, the chain says (``ledger.problems``).
    """
    try:
        head, keys = _at_rest(objects, name)
    except LedgerError as error:
        return [error.what]
    if head is None:
        return []
    kept, found = _kept(objects, head, keys)
    whole = _whole_part(path)
    lines = [_line(number, raw) for number, raw in enumerate(whole.split(b"\n")[:-1], 1)]
    found += line_problems(kept, lines, path.name)
    if _is_pending(head, keys) and digest_bytes(b"".join(_raw(lines, head))) != head.segment:
        # the last segment isn't written yet; the head binds its lines all the same
        found.append(f"{path.name}: entries {head.first} to {head.seq} are not what they were when they were exported")
    return found


def line_problems(kept: Mapping[int, bytes], lines: Sequence[Line], name: str) -> list[str]:
    """What became of exported lines.

    Args:
        kept: the exported lines by their entry's number.
        lines: those of the ledger now.
        name: what to call the ledger.
    """
    claims: dict[int, list[Line]] = {}
    for line in lines:
        if line.seq is not None and line.seq in kept:
            claims.setdefault(line.seq, []).append(line)
    found = []
    standing: dict[int, int] = {}  # entry: line
    for seq, raw in sorted(kept.items()):
        claiming = claims.get(seq, [])
        same = next((line for line in claiming if line.raw == raw), None)
        if same is not None:
            standing[seq] = same.number
        elif claiming:
            standing[seq] = claiming[0].number
            found.append(f"entry {seq} was edited after it was exported (line {standing[seq]})")
        else:
            found.append(f"entry {seq} was removed after it was exported")
    found += [
        f"entry {seq} was moved after it was exported: it is line {number} now"
        for (seq, number), right in zip(standing.items(), sorted(standing.values()), strict=True)
        if number != right
    ]
    return [f"{name}: {one}" for one in [*found, *_added(lines, set(standing.values()), set(kept))]]


def _added(lines: Sequence[Line], known: set[int], kept: set[int]) -> list[str]:
    """Lines that stand among exported ones, or say to be one, and were never exported."""
    last = max(known, default=0)
    return [
        f"line {line.number} ({'unreadable' if line.seq is None else f'entry {line.seq}'}) was put among exported lines"
        for line in lines
        if line.number not in known and (line.number < last or line.seq in kept)
    ]


class _Local(NamedTuple):
    """The ledger as it is now: whole, its chain checked."""

    lines: list[bytes]  # with their line feeds
    entries: tuple[Entry, ...]


def _local(path: Path) -> _Local:
    whole = _whole_part(path)
    entries, found = problems_in(whole, path.name)
    if found:
        raise LedgerError(
            f"{found[0]} ({len(found)} such finding(s))", do="run `nightshift audit`; a broken ledger isn't exported"
        )
    return _Local([line + b"\n" for line in whole.split(b"\n")[:-1]], entries)


def _next_head(name: str, done: int, part: Sequence[bytes], local: _Local) -> ExportHead:
    last = done + len(part)
    segment = digest_bytes(b"".join(part))
    return ExportHead(name=name, first=done + 1, seq=last, digest_=local.entries[last - 1].digest, segment=segment)


def _finish(objects: Objects, head: ExportHead, local: _Local) -> None:
    """See that the ledger has what was exported, and write the head's segment if its exporter stopped before."""
    if head.seq > len(local.lines) or local.entries[head.seq - 1].digest != head.digest_:
        raise LedgerError(
            f"the ledger no longer has entry {head.seq} as it was exported to {objects.url}/{head_key(head.name)}",
            do="run `nightshift audit`: it names the lines that were removed, edited or moved",
        )
    if objects.head(_last_segment(head)) is None:
        _write_segment(objects, head, local.lines[head.first - 1 : head.seq])


def _write_segment(objects: Objects, head: ExportHead, lines: Sequence[bytes]) -> None:
    data = b"".join(lines)
    if digest_bytes(data) != head.segment:
        raise LedgerError(
            f"entries {head.first} to {head.seq} are not the lines that were to be exported",
            do="run `nightshift audit`; nothing was written",
        )
    try:
        objects.put(_last_segment(head), data, absent=True, media=_MEDIA)
    except ObjectConflict:
        if objects.digest(_last_segment(head)) != head.segment:
            raise  # others wrote other lines there: that is for a person


def _head(objects: Objects, name: str) -> tuple[ExportHead | None, str | None]:
    """The head and its etag.

    Raises:
        LedgerError: it can't be read, or is gone while there are segments.
    """
    key = head_key(check_key(name))
    where = f"{objects.url}/{key}"
    held = objects.get(key)
    if held is None:
        left = [one for one in objects.keys(f"ledger/{name}/") if one != key]
        held = objects.get(key) if left else None  # another exporter may have begun: its head is there before its lines
        if held is None and left:
            raise _bad_head(f"{where} was removed, and {len(left)} segment(s) are there")
    if held is None:
        return None, None
    try:
        head = ExportHead.model_validate_json(held.data)
    except ValidationError as error:
        raise _bad_head(f"{where} can't be read: {error.errors()[0]['msg']}") from error
    if head.name != name or head.first > head.seq:
        raise _bad_head(f"{where} is the head of {head.name!r:.100}, entries {head.first} to {head.seq}")
    return head, held.etag


def _bad_head(what: str) -> LedgerError:
    return LedgerError(what, do="find out who changed it, and put back a copy; nothing is exported until then")


def _at_rest(objects: Objects, name: str) -> tuple[ExportHead | None, list[str]]:
    """Head and segments while no exporter moves them."""
    head = _head(objects, name)[0]
    for _ in range(_ATTEMPTS):
        keys = [key for key in objects.keys(f"ledger/{name}/") if key != head_key(name)]
        before, head = head, _head(objects, name)[0]
        if head == before:
            return head, keys
    raise LedgerError(f"the export of {name} never came to rest", do="compare again when fewer exporters are running")


def _kept(objects: Objects, head: ExportHead, keys: Sequence[str]) -> tuple[dict[int, bytes], list[str]]:
    """The exported lines by entry, and what is wrong with the export itself."""
    where = f"{objects.url}/ledger/{head.name}"
    kept: dict[int, bytes] = {}
    found = []
    for key in keys:
        first, last = _bounds(key, head.name)
        held = objects.get(key)
        lines = held.data.split(b"\n")[:-1] if held else []
        if not 0 < first <= last <= head.seq or first in kept or len(lines) != last - first + 1:
            found.append(f"{objects.url}: {key} is not what an export wrote, it has {len(lines)} line(s)")
        else:
            kept.update(zip(range(first, last + 1), lines, strict=True))
    entries, broken = problems_in(b"".join(line + b"\n" for _, line in sorted(kept.items())), where)
    found += broken
    expected = head.first - 1 if _is_pending(head, keys) else head.seq
    if missing := [seq for seq in range(1, expected + 1) if seq not in kept]:
        found.append(f"{where}: {len(missing)} exported entries are missing, the first is {missing[0]}")
    elif expected == head.seq and not broken and entries[-1].digest != head.digest_:
        found.append(f"{where}: the last exported entry is not the one that head.json names")
    return kept, found


def _last_segment(head: ExportHead) -> str:
    return segment_key(head.name, head.first, head.seq)


def _is_pending(head: ExportHead, keys: Sequence[str]) -> bool:
    return _last_segment(head) not in keys


def _bounds(key: str, name: str) -> tuple[int, int]:
    """First and last entry of a segment, from its key; zeros where it is no segment's key."""
    match = re.fullmatch(r"(\d+)-(\d+)", key.rpartition("/")[2].removesuffix(".jsonl"), re.ASCII)
    first, last = (int(match[1]), int(match[2])) if match else (0, 0)
    return (first, last) if key == segment_key(name, first, last) else (0, 0)


def _raw(lines: Sequence[Line], head: ExportHead) -> list[bytes]:
    return [line.raw + b"\n" for line in lines[head.first - 1 : head.seq]]


def _whole_part(path: Path) -> bytes:
    """The ledger's lines that have their line feed; what a crash cut off counts for nothing."""
    data = path.read_bytes() if path.exists() else b""
    return data[: data.rfind(b"\n") + 1]


def _line(number: int, raw: bytes) -> Line:
    try:
        seq = json.loads(raw)["seq"]
    except (ValueError, TypeError, KeyError):
        seq = None
    return Line(number, seq if type(seq) is int else None, raw)
