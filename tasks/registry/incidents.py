"""Incidents: one file a finding, one line an event, chained. The same finding doesn't open a second one.

``opened`` and ``seen`` come from audits, ``gone`` when a later audit finds it no more, ``told`` when people were told,
``closed`` from a person, with a name and a reason. Closing accepts exactly this finding: while it goes on to be so it
is listed, and fails no audit. When it was gone and comes back, it opens again.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import ValidationError

from infra.errors import LedgerError
from infra.ledger import Entry, append_to_tail, read_ledger
from tasks.errors import RegistryError
from tasks.registry.findings import Finding

State = Literal["open", "accepted", "gone", "closed"]


class Incident(NamedTuple):
    """As its lines leave it."""

    id: str
    finding: Finding
    opened: str
    seen: int  # times, since it opened (again)
    state: State
    told: bool
    closed_by: str = ""
    reason: str = ""


def incidents_path(home: Path, id_: str) -> Path:
    return home / "incidents" / f"{id_}.json"


def folded(entries: Sequence[Entry]) -> Incident | None:
    """One incident from its lines. Pure."""
    found: Incident | None = None
    for entry in entries:
        body = entry.body
        if entry.kind == "opened":
            finding = Finding.model_validate(body["finding"])
            found = Incident(finding.id, finding, entry.at, 1, "open", told=False)
        elif found is None:
            return None
        elif entry.kind == "seen":
            found = found._replace(seen=found.seen + 1, state="open" if found.state == "gone" else found.state)
        elif entry.kind == "gone":
            # what was closed while it was so, and is so no more, must open anew when it comes back
            found = found._replace(state="closed" if found.state in {"accepted", "closed"} else "gone")
        elif entry.kind == "told":
            found = found._replace(told=True)
        elif entry.kind == "closed":
            state: State = "closed" if found.state == "gone" else "accepted"
            found = found._replace(state=state, closed_by=body["by"], reason=body["reason"])
    return found


def read_incident(home: Path, id_: str) -> Incident | None:
    """One incident, or None where there is none of that id.

    Raises:
        LedgerError: its file was edited.
    """
    return folded(read_ledger(incidents_path(home, id_)))


def read_incidents(home: Path) -> tuple[dict[str, Incident], dict[str, str]]:
    """All that can be read, and by id a sentence for each that can't."""
    found: dict[str, Incident] = {}
    damaged: dict[str, str] = {}
    for path in sorted((home / "incidents").glob("*.json")):
        try:
            one = read_incident(home, path.stem)
        except (LedgerError, KeyError, ValidationError) as error:
            damaged[path.stem] = (
                error.what if isinstance(error, LedgerError) else f"{path} can't be read: {error!r:.200}"
            )
            continue
        if one is None or one.id != path.stem:
            damaged[path.stem] = f"{path} is no incident of that name"
        else:
            found[one.id] = one
    return found, damaged


class Noted(NamedTuple):
    """What an audit's findings mean for the incidents."""

    opened: tuple[str, ...]
    accepted: frozenset[str]
    gone: tuple[str, ...]


def note(
    home: Path, findings: Iterable[Finding], known: dict[str, Incident], damaged: Iterable[str] = (), *, only: str = ""
) -> Noted:
    """Open, count and mark as gone.

    Args:
        damaged: ids whose file can't be read: it is left as it is, and the finding stays critical.
        only: the model that was looked at; incidents of others stay as they are.
    """
    now = {one.id: one for one in findings if one.id not in set(damaged)}
    opened = [id_ for id_ in now if id_ not in known or known[id_].state == "closed"]
    accepted = {id_ for id_ in now if id_ in known and known[id_].state == "accepted"}
    gone = [one.id for one in known.values() if one.id not in now and one.state in {"open", "accepted"}]
    gone = [id_ for id_ in gone if only in {"", known[id_].finding.name}]
    for id_ in opened:
        _add(home, id_, "opened", {"finding": now[id_].model_dump(mode="json")})
    for id_ in now.keys() - set(opened) - accepted:
        _add(home, id_, "seen", {})
    for id_ in gone:
        _add(home, id_, "gone", {})
    return Noted(tuple(opened), frozenset(accepted), tuple(gone))


def mark_told(home: Path, ids: Iterable[str]) -> None:
    for id_ in ids:
        _add(home, id_, "told", {})


def close(home: Path, id_: str, who: str, reason: str) -> Incident:
    """Close an incident, by name and reason.

    Raises:
        RegistryError: there is no such incident, no reason, or it is closed already.
    """
    if not reason.strip():
        raise RegistryError(f"incident {id_} can't be closed without a reason", do="say why: --reason '...'")
    found = read_incident(home, id_) if id_.isalnum() else None
    if found is None:
        known = ", ".join(sorted(read_incidents(home)[0])) or "none"
        raise RegistryError(f"there is no incident {id_}; there are: {known}", do="name one of these")
    if found.state in {"closed", "accepted"}:
        raise RegistryError(
            f"incident {id_} was closed already by {found.closed_by}: {found.reason}", do="nothing is left to do"
        )
    _add(home, id_, "closed", {"by": who, "reason": reason.strip()})
    return found


def _add(home: Path, id_: str, kind: str, body: dict[str, Any]) -> None:
    append_to_tail(incidents_path(home, id_), kind, body, lambda: datetime.now(UTC))
