"""Records of what the registry must look like: what each tag, alias and version may be, and which line says so."""

from dataclasses import dataclass, field
from typing import NamedTuple

from infra.ledger import Entry
from infra.registry_guard.terms import PREFIX

Value = str | None  # None: not set


class Slot(NamedTuple):
    """What one thing may be, as the journal keeps it, and the line that says so."""

    values: tuple[Value, ...]
    seq: int
    by: str
    at: str


@dataclass
class VersionState:
    line: Slot | None = None  # of its registration: (created,); None: the journal knows nothing of it
    maybe_gone: bool = False
    tags: dict[str, Slot] = field(default_factory=dict)
    text: dict[str, Slot] = field(default_factory=dict)  # description, stage


@dataclass
class ModelState:
    line: Slot | None = None
    maybe_gone: bool = False
    tags: dict[str, Slot] = field(default_factory=dict)
    text: dict[str, Slot] = field(default_factory=dict)
    aliases: dict[str, Slot] = field(default_factory=dict)
    versions: dict[str, VersionState] = field(default_factory=dict)
    registrations: list[Entry] = field(default_factory=list)  # asked for, never ended: each may have made one version

    @property
    def ours(self) -> bool:
        return any(
            key.startswith(PREFIX)
            for tags in (self.tags, *(one.tags for one in self.versions.values()))
            for key in tags
        )


class Thing(NamedTuple):
    """What a value belongs to: an alias, a tag, a description."""

    kind: str
    model: str
    version: str = ""
    key: str = ""


class Met(NamedTuple):
    """A line met another value than the lines before it left."""

    thing: Thing
    expected: Slot
    found: Value
    line: Entry


class Move(NamedTuple):
    """A move of `champion` or `anchor` of a model of ours."""

    alias: str
    to: str
    was: Value
    line: Entry
    sure: bool  # False: asked for, and no line says how it ended


@dataclass
class Expected:
    models: dict[str, ModelState] = field(default_factory=dict)
    deleted: dict[str, Entry] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)  # a rename that never ended: nothing can be said of these names
    moves: dict[str, list[Move]] = field(default_factory=dict)
    met: list[Met] = field(default_factory=list)
    unended: list[Entry] = field(default_factory=list)
    unasked: list[Entry] = field(default_factory=list)
