"""What an audit found: one sentence with the values, the next action, and how bad it is."""

from collections.abc import Iterable
from typing import Literal

from infra.digest import Digest, Record, digest_of, short
from infra.registry_guard.facts import shortened
from tasks.registry.state import Slot, Value

Severity = Literal["critical", "warning"]

KEEP = "change nothing until you know who did it; the incident says when it was first seen"


class Finding(Record):
    """One difference. ``about`` tells it from others and stays the same from run to run, whatever the words are."""

    kind: str
    name: str  # registered model; empty: all of them
    about: tuple[str, ...]
    what: str
    do: str
    severity: Severity = "critical"
    holds: bool = False  # whether serving stays at the last good manifest until a person releases it

    def identity(self) -> dict[str, object]:
        return {"kind": self.kind, "name": self.name, "about": self.about}

    @property
    def id(self) -> str:
        return short(digest_of(self), 12)


def held(findings: Iterable[Finding]) -> dict[str, Finding]:
    """Models whose serving must be held, each with the first finding that says so."""
    found: dict[str, Finding] = {}
    for one in findings:
        if one.holds:
            found.setdefault(one.name, one)
    return found


def merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once, the worst first. What is so now goes before what a line of the journal met earlier."""
    once: dict[Digest, Finding] = {}
    for one in findings:
        once.setdefault(one.digest, one)
    return tuple(sorted(once.values(), key=lambda one: (one.severity != "critical", not one.holds, one.name)))


def same(kept: Value, found: Value) -> bool:
    """Whether a value is what the journal keeps of it, which is shortened where it is long."""
    return kept == (shortened(found) if found is not None else None)


def about(slot: Slot, found: Value, *place: str) -> tuple[str, ...]:
    """Identity of a difference: where, which line says otherwise, and what is there instead."""
    return (*place, str(slot.seq), *(str(one) for one in slot.values), "is", str(shortened(found or "")))


def says(slot: Slot) -> str:
    """What the journal says of a thing, for a sentence."""
    values = " or ".join(quoted(one) for one in slot.values)
    return f"the journal says {values} (entry {slot.seq}, {slot.by}, {slot.at})"


def quoted(value: Value) -> str:
    return (
        "not set"
        if value is None
        else repr(value if len(value) <= 120 else f"{value[:100]}… ({len(value)} characters)")
    )
