"""The audit and the drill where this process works: thin, for flows and commands."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from infra.ledger_export import compare_with_export, export_ledger
from infra.objects import Objects, check_conditions, open_objects
from infra.registry_guard.journal import journal_path
from tasks import place
from tasks.registry.auditing import Report, close_incident, run_audit
from tasks.registry.decide import whoami
from tasks.registry.drill import LIMIT_SECONDS, Drill, read_drills
from tasks.registry.drill import drill as run_drill
from tasks.registry.incidents import mark_told
from tasks.registry.steps import SERVICE, registry_of

ALL = "all"


def audit(name: str) -> Report:
    """Compare, also with the ledgers' copies elsewhere; what is new of them is kept there once nothing differs."""
    tracker, kept = place.tracking(), copies()
    tracker.check()
    compare = None if kept is None else lambda path, key: compare_with_export(path, kept, key)
    report = run_audit(tracker.client, place.home(), place.store(), "" if name == ALL else name, compare)
    if kept is not None and not report.critical:
        for key, path in ledgers(place.home()).items():
            export_ledger(path, kept, key)
    return report


def copies() -> Objects | None:
    """Where the ledgers' lines are kept a second time, if anywhere."""
    url = place.settings().ledger_export
    if url is None:
        return None
    found = open_objects(url, place.settings())
    check_conditions(found)
    return found


def ledgers(home: Path) -> dict[str, Path]:
    """The guard's journal and every recipe's ledger, by the names of their copies."""
    recipes = {f"ledger/{path.stem}": path for path in sorted((home / "ledger").glob("*.jsonl"))}
    found = {"registry": journal_path(home), **recipes}
    return {key: path for key, path in found.items() if path.exists()}


def close(incident: str, reason: str) -> str:
    return close_incident(place.home(), incident, whoami(), reason)


def told(incidents: Iterable[str]) -> None:
    mark_told(place.home(), incidents)


def drill(name: str, limit: float = LIMIT_SECONDS) -> Drill:
    return run_drill(registry_of(name, SERVICE), place.store(), place.home(), limit)


def drills() -> list[dict[str, Any]]:
    return read_drills(place.home())
