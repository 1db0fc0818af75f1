"""An audit: look at the registry, its records and the files, name what differs, open incidents, hold what serves.

It repairs nothing. What it writes is its own: incidents, holds, how far every ledger went, and when it ended.
"""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infra.digest import Record
from infra.ledger import Entry
from infra.store import Store
from tasks.errors import RegistryError
from tasks.registry.audit import differences, names_of
from tasks.registry.audited import note_audit
from tasks.registry.client import ModelSeen, read_all
from tasks.registry.expected import expected_state
from tasks.registry.file_audit import Chains, chain_findings, keep_heads, object_findings, open_files, read_chains
from tasks.registry.findings import Finding, held, merged
from tasks.registry.hold import hold, read_hold, release
from tasks.registry.incidents import Incident, close, note, read_incidents
from tasks.registry.manifest import Manifest, read_manifest

# a change that is under way looks like a difference; what is one is still there a moment later
_LOOKS, _PAUSE = 3, 1.0

Exported = Callable[[Path, str], list[str]]


class Report(Record):
    """What an audit found. ``accepted`` and ``opened`` are ids of findings."""

    name: str  # empty: all models of ours
    findings: tuple[Finding, ...]
    accepted: tuple[str, ...]  # incidents that a person closed, and that are still so
    opened: tuple[str, ...]
    untold: tuple[Finding, ...]  # of open incidents that no event told of yet
    waiting: tuple[str, ...]  # incidents that are not so any more, and that nobody closed
    held: dict[str, str]  # model → what holds it
    models: int
    versions: int
    lines: int

    @property
    def critical(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.severity == "critical" and one.id not in self.accepted)


class Look(NamedTuple):
    """One look at everything."""

    seen: Mapping[str, ModelSeen]
    chains: Chains
    names: tuple[str, ...]
    manifests: Mapping[str, Manifest | str | None]
    findings: tuple[Finding, ...]


def run_audit(client: Any, home: Path, store: Store, name: str = "", exported: Exported | None = None) -> Report:
    """Audit one model, or all of ours.

    Args:
        client: MLflow's, for reading.
        exported: a ledger's path and name → how it differs from its copy elsewhere, in sentences.

    Raises:
        RegistryError: there is no model of ours of that name.
    """
    look, findings = _steady(client, home, name)
    findings = merged([*findings, *_slow(look, name, store, exported)])
    incidents, damaged = read_incidents(home)
    findings = merged([*findings, *(_damaged_incident(one) for one in damaged.values())])
    noted = note(home, [one for one in findings if one.severity == "critical"], incidents, damaged, only=name)
    for model, finding in held(one for one in findings if one.id not in noted.accepted).items():
        served = look.manifests.get(model)
        hold(home, model, finding, served.version if isinstance(served, Manifest) else None)
    keep_heads(home, look.chains, findings, noted.accepted)
    incidents, _ = read_incidents(home)
    report = Report(
        name=name,
        findings=findings,
        accepted=tuple(sorted(noted.accepted)),
        opened=noted.opened,
        untold=tuple(one.finding for one in incidents.values() if one.state in {"open", "gone"} and not one.told),
        waiting=tuple(one.id for one in incidents.values() if one.state == "gone"),
        held=_holds(home, look.names),
        models=len(look.names),
        versions=sum(len(look.seen[model].versions) for model in look.names if model in look.seen),
        lines=sum(len(chain.lines) for chain in look.chains.values()),
    )
    if not name:
        note_audit(home, clean=not report.critical)
    return report


def close_incident(home: Path, id_: str, who: str, reason: str) -> str:
    """Close an incident; releases the hold of its model where no other open incident holds it.

    Raises:
        RegistryError: there is no such open incident, or no reason.
    """
    closed = close(home, id_, who, reason)
    name = closed.finding.name
    told = f"incident {id_} closed by {who}: {reason.strip()}"
    if not closed.finding.holds or read_hold(home, name) is None:
        return told
    others = [one.id for one in read_incidents(home)[0].values() if _holds_still(one, name)]
    if others:
        return f"{told}; {name} is still held by incident {', '.join(sorted(others))}"
    return f"{told}; {release(home, name, who, reason)}"


def _holds_still(one: Incident, name: str) -> bool:
    return one.finding.name == name and one.finding.holds and one.state in {"open", "gone"}


def _steady(client: Any, home: Path, name: str) -> tuple[Look, tuple[Finding, ...]]:
    """The last look, and what every look found."""
    look = look_once(client, home, name)
    if name not in {"", *look.names}:
        raise RegistryError(
            f"there is no registered model {name!r} of ours; there are: {', '.join(look.names) or 'none'}",
            do="name one of these, or `all`",
        )
    ids = {one.id for one in look.findings}
    for _ in range(_LOOKS - 1):
        if not ids:
            break
        time.sleep(_PAUSE)
        look = look_once(client, home, name)
        ids &= {one.id for one in look.findings}
    return look, tuple(one for one in look.findings if one.id in ids)


def look_once(client: Any, home: Path, name: str = "") -> Look:
    """Registry, journal, ledgers and manifests as they are now, and their differences."""
    seen, chains = read_all(client), read_chains(home)
    expected = expected_state(chains["registry"].lines)
    ledgers: dict[str, tuple[Entry, ...]] = {
        key.removeprefix("ledger/"): chain.lines for key, chain in chains.items() if key != "registry"
    }
    names = tuple(names_of(expected, seen, ledgers))
    manifests = {model: _manifest(home, model) for model in names}
    found = [
        *differences(expected, seen, manifests, ledgers, name),
        *chain_findings(chains, expected, name),
        *open_files(home, names),
    ]
    return Look(seen, chains, names, manifests, merged(found))


def _slow(look: Look, name: str, store: Store, exported: Exported | None) -> list[Finding]:
    """What takes long and doesn't change while it is looked at."""
    found: list[Finding] = []
    for model in look.names:
        if model in look.seen and name in {"", model}:
            found += object_findings(model, look.seen[model], store)
    if exported is not None:
        for key, chain in look.chains.items():
            found += [_exported(key, one) for one in exported(chain.path, key)]
    return found


def _exported(key: str, sentence: str) -> Finding:
    return Finding(
        kind="export",
        name=key.removeprefix("ledger/") if key != "registry" else "",
        about=(key, sentence),
        what=sentence,
        do="find out which of the two was written anew; the copy elsewhere is the one to believe",
    )


def _damaged_incident(sentence: str) -> Finding:
    return Finding(
        kind="incident",
        name="",
        about=(sentence,),
        what=sentence,
        do="put back a copy of it; an incident's file is only ever added to",
    )


def _manifest(home: Path, name: str) -> Manifest | str | None:
    try:
        return read_manifest(home, name)
    except RegistryError as error:
        return error.what


def _holds(home: Path, names: tuple[str, ...]) -> dict[str, str]:
    found = {name: read_hold(home, name) for name in names}
    return {name: one.what for name, one in found.items() if one is not None}
