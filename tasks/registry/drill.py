"""The rollback drill: what a rollback would do, on a shadow alias and a shadow manifest that nobody serves.

It proves that the previous version is whole, that the account may move an alias, and how long that takes.
"""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.digest import Record
from infra.ledger import append_to_tail, read_ledger
from infra.store import Blob, Store
from tasks.errors import DrillFailed, NothingToDrill, RegistryError
from tasks.registry.client import Registry
from tasks.registry.file_audit import damaged_objects
from tasks.registry.manifest import Manifest, Served, Share, read_manifest, write_manifest

ALIAS = "drill"
LIMIT_SECONDS = 10.0


class Drill(Record):
    """One drill. ``seconds`` is what the way back took: files checked, alias moved, manifest written and read again."""

    name: str
    champion: int
    previous: int
    seconds: float
    problem: str = ""  # empty: it went well


def drill(registry: Registry, store: Store, home: Path, limit: float = LIMIT_SECONDS) -> Drill:
    """Roll the shadow back and forth again, and write down how it went.

    Raises:
        NothingToDrill: there is nothing to roll back to.
        DrillFailed: a rollback now would fail, or take longer than ``limit`` seconds.
    """
    champion, previous = registry.alias("champion"), registry.alias("previous")
    if champion is None or previous is None or champion == previous:
        raise NothingToDrill(
            f"{registry.name} has nothing to roll back to: champion is {champion}, previous {previous}",
            do="nothing is wrong: drill it after the next promotion",
        )
    begun, problem = time.monotonic(), ""
    try:
        _go(registry, home, champion, previous)
        begun = time.monotonic()
        _check_whole(registry, previous, store)
        _go(registry, home, previous, champion)
        seconds = time.monotonic() - begun
        _go(registry, home, champion, previous)
        if not seconds <= limit:
            problem = f"it took {seconds:.1f} s, and may take {limit:g}"
    except Exception as error:
        seconds = time.monotonic() - begun
        _keep(home, _drill(registry, champion, previous, seconds, f"{type(error).__name__}: {error}"))
        raise DrillFailed(
            f"rolling {registry.name} back from version {champion} to {previous} would fail: {error}",
            do="mend that now: a rollback can't be relied on until then",
        ) from error
    done = _drill(registry, champion, previous, seconds, problem)
    _keep(home, done)
    if problem:
        raise DrillFailed(
            f"rolling {registry.name} back to version {previous} works, but {problem}",
            do="find out what is slow: the store's disk, or the registry",
        )
    return done


def read_drills(home: Path, last: int = 10) -> list[dict[str, Any]]:
    """The last drills, oldest first, each with its time."""
    return [{"at": one.at, **one.body} for one in read_ledger(drills_path(home))[-last:]]


def drills_path(home: Path) -> Path:
    return home / "drills.jsonl"


def _drill(registry: Registry, champion: int, previous: int, seconds: float, problem: str) -> Drill:
    return Drill(
        name=registry.name, champion=champion, previous=previous, seconds=round(seconds, 3), problem=problem[:500]
    )


def _keep(home: Path, one: Drill) -> None:
    append_to_tail(drills_path(home), "drill", one.model_dump(mode="json"), lambda: datetime.now(UTC))


def _go(registry: Registry, home: Path, to: int, was: int) -> None:
    """Move the shadow alias and write the shadow manifest, as a rollback does with the real ones; read both again."""
    registry.swap_alias(ALIAS, to, registry.alias(ALIAS))
    write_manifest(home, shadow(registry, to, was))
    found = read_manifest(home, shadow_name(registry.name))
    if registry.alias(ALIAS) != to or found is None or found.version != to:
        raise RegistryError(
            f"after moving {ALIAS} of {registry.name} to version {to}, the alias names {registry.alias(ALIAS)} and the "
            f"manifest {found.version if found else None}",
            do="find out who moves them at the same time",
        )


def _check_whole(registry: Registry, number: int, store: Store) -> None:
    bad = damaged_objects(registry.version(number).tags, store)
    if bad:
        raise RegistryError(
            f"version {number} of {registry.name} is damaged: {bad[0]}", do="restore its objects from a copy"
        )


def shadow_name(name: str) -> str:
    """Its manifest lies in a folder of its own, so that no server takes it for a model's."""
    return f"drill/{name}"


def shadow(registry: Registry, version: int, was: int) -> Manifest:
    """What a rollback's manifest would say."""
    tags = registry.version(version).tags
    evidence = tags.get("nightshift.evidence")
    return Manifest(
        name=shadow_name(registry.name),
        version=version,
        model=tags["nightshift.model"],
        model_ref=Blob.model_validate_json(tags["nightshift.model_ref"]),
        evidence=Blob.model_validate_json(evidence) if evidence else None,
        verdict=tags.get("nightshift.verdict"),
        move="rollback",
        by="drill",
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        previous=Served(version=was, model=registry.version(was).tags["nightshift.model"]),
        traffic=(Share(version=version, share=1.0),),
    )
