"""The audit and the drill where this process works: thin, for flows and commands."""

from collections.abc import Iterable
from typing import Any

from tasks import place
from tasks.registry.auditing import Report, close_incident, run_audit
from tasks.registry.decide import whoami
from tasks.registry.drill import LIMIT_SECONDS, Drill, read_drills
from tasks.registry.drill import drill as run_drill
from tasks.registry.incidents import mark_told
from tasks.registry.steps import SERVICE, registry_of

ALL = "all"


def audit(name: str) -> Report:
    tracker = place.tracking()
    tracker.check()
    return run_audit(tracker.client, place.home(), place.store(), "" if name == ALL else name)


def close(incident: str, reason: str) -> str:
    return close_incident(place.home(), incident, whoami(), reason)


def told(incidents: Iterable[str]) -> None:
    mark_told(place.home(), incidents)


def drill(name: str, limit: float = LIMIT_SECONDS) -> Drill:
    return run_drill(registry_of(name, SERVICE), place.store(), place.home(), limit)


def drills() -> list[dict[str, Any]]:
    return read_drills(place.home())
