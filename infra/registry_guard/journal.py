"""The ledger of the registry: every change asked for, how it ended, and every refusal, with its user.

``asked`` is on disk before MLflow makes the change, ``done`` after it. A crash between the two leaves an ``asked``
alone, and ``verify`` names it. Several server processes write the same file.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from infra.digest import Digest
from infra.ledger import Entry, append_to_tail, problems, read_on
from infra.registry_guard.changes import Change
from infra.registry_guard.facts import Facts, shortened
from infra.registry_guard.terms import User

T = TypeVar("T")


class Asking(NamedTuple):
    """A request as every line about it names it."""

    request: str
    user: User
    method: str
    route: str
    change: Change

    def body(self) -> dict[str, Any]:
        return {
            "request": self.request,
            "user": self.user.name,
            "role": self.user.role,
            "method": self.method,
            "route": self.route,
            "change": change_body(self.change),
        }


class Head(NamedTuple):
    """How far a ledger went when somebody kept it elsewhere: the end a chain can't protect itself."""

    seq: int
    digest: Digest


def journal_path(home: Path) -> Path:
    return home / "guard" / "registry.jsonl"


def utc_now() -> datetime:
    return datetime.now(UTC)


class Journal:
    """One ledger file, and the facts in it so far."""

    def __init__(self, path: Path, clock: Callable[[], datetime] = utc_now) -> None:
        self.path = path
        self._clock = clock
        self._facts = Facts()
        self._offset = 0
        self._last: Entry | None = None
        self._lock = threading.Lock()

    def look(self, at: Callable[[Facts], T]) -> T:
        """What all lines up to now say, those of other processes too.

        Raises:
            LedgerError: the chain is broken; nothing may be judged by it.
        """
        with self._lock:
            entries, offset = read_on(self.path, self._offset, self._last)
            for entry in entries:
                self._facts.add(entry)
                self._last = entry
            self._offset = offset
            return at(self._facts)

    def asked(self, asking: Asking, before: Mapping[str, Any], ours: bool) -> None:
        """On disk when this returns; only then may the change be made."""
        self._append("asked", {**asking.body(), "ours": ours, "before": _kept(before)})

    def done(self, asking: Asking, status: int, after: Mapping[str, Any]) -> None:
        self._append("done", {**asking.body(), "status": status, "after": _kept(after)})

    def refused(self, asking: Asking, reason: str, status: int) -> None:
        self._append("refused", {**asking.body(), "status": status, "reason": reason})

    def _append(self, kind: str, body: Mapping[str, Any]) -> None:
        append_to_tail(self.path, kind, body, self._clock)


def change_body(change: Change) -> dict[str, Any]:
    """A change as the ledger keeps it: what doesn't apply is left out, long values are shortened."""
    fields = {name: value for name, value in change._asdict().items() if value or name == "kind"}
    # an empty value is a value
    if change.kind in {"set_version_tag", "set_model_tag"}:
        fields["value"] = change.value
    return _kept(fields)


def verify(path: Path, known: Head | None = None) -> list[str]:
    """A sentence for every line that was removed, edited, moved or cut off, and for every change that never ended.

    Args:
        known: how far the ledger went at some time, kept elsewhere; without it nobody sees that its end was removed.
    """
    entries, found = broken(path, known)
    return [*found, *(f"{path.name}: {one}" for one in _unpaired(entries))]


def broken(path: Path, known: Head | None = None) -> tuple[tuple[Entry, ...], list[str]]:
    """Any ledger's lines that can be read, and a sentence for each that was removed, edited, moved or cut off."""
    entries, found = problems(path)
    at = next((entry for entry in entries if entry.seq == known.seq), None) if known else None
    if known is not None and (at is None or at.digest != known.digest):
        found.append(f"{path.name}: entry {known.seq} is not the one that was kept elsewhere: the end was rewritten")
    return entries, found


def head(path: Path) -> Head | None:
    """How far the ledger goes now, to be kept elsewhere."""
    return head_of(problems(path)[0])


def head_of(entries: Sequence[Entry]) -> Head | None:
    return Head(entries[-1].seq, entries[-1].digest) if entries else None


def _unpaired(entries: tuple[Entry, ...]) -> list[str]:
    asked: dict[str, Entry] = {}
    found = []
    for entry in entries:
        request = entry.body.get("request", "")
        if entry.kind == "asked":
            asked[request] = entry
        elif entry.kind == "done" and asked.pop(request, None) is None:
            found.append(f"entry {entry.seq} says how request {request} ended, and no line before asked for it")
    return found + [
        f"entry {entry.seq}: {entry.body.get('user')} asked for {_said(entry)} at {entry.at}, and no line says how it "
        "ended; look in MLflow whether it was made"
        for entry in asked.values()
    ]


def _said(entry: Entry) -> str:
    change = entry.body.get("change", {})
    parts = [change.get(name) for name in ("kind", "model", "version", "alias", "key", "value")]
    return " ".join(str(part) for part in parts if part)


def _kept(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _keep(value) for name, value in values.items()}


def _keep(value: Any) -> Any:
    if isinstance(value, str):
        return shortened(value)
    return _kept(value) if isinstance(value, Mapping) else value
