"""Everything around a move of ``champion``: exported before it, deployed and probed after it, undone where that fails.

What was deployed is known by the manifest's line in the ledger (``HOME/serving/NAME.deployed.json``): a move that a
crash left undeployed is deployed by the service's next look.
"""

import fcntl
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from infra.errors import NightshiftError
from infra.notices import incident, promoted, rolled_back
from infra.notify import Message
from infra.objects import open_objects
from infra.registry_guard.roles import write_private
from infra.settings import Settings
from infra.store import Blob, Store
from infra.targets import Pointer, Target, target_named
from tasks.contracts import Evidence, Model
from tasks.probes import ProbeSet
from tasks.registry.client import Registry
from tasks.registry.deploy import Deployed, deploy
from tasks.registry.export import Exported, export_version
from tasks.registry.manifest import Line, Manifest
from tasks.registry.promote import check_promotable, promote, readable_manifest, rollback
from tasks.release import POLICY_TAG, DeploySpec, release_policy

ARTEFACT, STATEMENT = "nightshift.artefact", "nightshift.statement"

Lay = Callable[[Model, str | None], Path]
Say = Callable[[str], None]


class Place(NamedTuple):
    """What a rollout works with. ``lay``: lays a model out as one folder, as it serves."""

    registry: Registry
    store: Store
    home: Path
    settings: Settings
    lay: Lay
    tell: Callable[[tuple[str, ...], Message], list[str]]
    url: Callable[[int], str]


def spec_of(registry: Registry) -> DeploySpec:
    return release_policy(registry.model_tag(POLICY_TAG)).deploy


def roll_out(place: Place, number: int, say: Say) -> str:
    """Export an approved version, make it the champion, and deploy it.

    Raises:
        NotPromotable, ExportError, TargetError: it can't be promoted or deployed, and nothing moved.
    """
    registry, spec = place.registry, spec_of(place.registry)
    was = registry.alias("champion")
    if was != number and spec.export is not None:
        check_promotable(registry, number, place.store)
        _prepare(place, spec, number, was)
    told = promote(registry, number, place.store, place.home)
    say(told)
    manifest = readable_manifest(place.home, registry.name)
    if was != number and manifest is not None:
        message = promoted(registry.name, number, was, manifest.by, manifest.reason, place.url(number))
        place.tell(spec.notify, message)
    return f"{told}{deploy_served(place, say, again=True)}"


def _prepare(place: Place, spec: DeploySpec, number: int, was: int | None) -> None:
    """All that a deployment needs and that may fail, before anything moves: files, targets, and the way back."""
    exported(place, spec, number)
    for name in spec.targets:
        target_named(name)
    if spec.targets and was is not None:
        pointer_to(place, spec, was, "")


def roll_back(place: Place, who: str, reason: str, to: int | None, say: Say) -> str:
    """Make an earlier version serve again, at its targets too."""
    registry, spec = place.registry, spec_of(place.registry)
    was = registry.alias("champion")
    told = rollback(registry, place.store, place.home, who, reason, to)
    say(told)
    now = registry.alias("champion")
    if now is not None and now != was:
        place.tell(spec.notify, rolled_back(registry.name, now, was, who, reason, place.url(now)))
    return f"{told}{deploy_served(place, say, again=True)}"


def exported(place: Place, spec: DeploySpec, number: int) -> Exported:
    """The version's export, made where there is none, and its address on the version."""
    assert spec.export is not None
    objects = open_objects(spec.export, place.settings)
    found = export_version(place.registry, number, objects, place.store, place.home, place.lay, form=spec.form)
    place.registry.tag(number, {ARTEFACT: found.url, STATEMENT: found.statement})
    return found


def deploy_served(place: Place, say: Say, *, again: bool) -> str:
    """Point the targets to what the manifest says; what came of it, as the end of a sentence.

    A target that doesn't serve the new version brings the champion of before back.

    Args:
        again: also where it was tried for this move before, and failed: a person asks for it. A move whose targets
            serve it is never deployed again.
    """
    registry, spec = place.registry, spec_of(place.registry)
    manifest = readable_manifest(place.home, registry.name)
    if not spec.targets or manifest is None or manifest.ledger is None:
        return ""
    with _first(place.home, registry.name) as first:
        tried = last_deployment(place.home, registry.name)
        if not first or (tried.line == manifest.ledger and (tried.serving or not again)):
            return ""
        try:
            found = _deploy(place, spec, manifest, say)
        except NightshiftError as error:
            # once: the next look would try and tell the same for ever
            _note(place.home, registry.name, manifest.ledger, False, error.what)
            place.tell(spec.notify, incident(registry.name, error.what, None, place.url(manifest.version)))
            raise
        _note(place.home, registry.name, manifest.ledger, found.serving, found.words())
    return f"; {found.words()}" if found.serving else _undo(place, spec, manifest, found, say)


def _deploy(place: Place, spec: DeploySpec, manifest: Manifest, say: Say) -> Deployed:
    targets: dict[str, Target] = {name: target_named(name) for name in spec.targets}
    pointer = pointer_to(place, spec, manifest.version, manifest.at)
    before = manifest.previous.version if manifest.previous else None
    return deploy(
        pointer,
        targets,
        probes_of(place, manifest.version),
        pointer_to(place, spec, before, manifest.at) if before is not None else None,
        probes_of(place, before) if before is not None else None,
        say,
    )


def _undo(place: Place, spec: DeploySpec, manifest: Manifest, found: Deployed, say: Say) -> str:
    """The alias follows the targets back: what serves and what the registry says must be one."""
    registry, why = place.registry, found.words().replace("\n", "; ")
    page = place.url(manifest.version)
    if manifest.move == "rollback" or manifest.previous is None:
        # there is nothing better to go back to: the operator must look
        place.tell(spec.notify, incident(registry.name, why, None, page))
        return f"; INCIDENT: {why}"
    place.tell(spec.notify, incident(registry.name, why, manifest.previous.version, page))
    told = rollback(registry, place.store, place.home, "the smoke probe", why[:500])
    say(told)
    after = readable_manifest(place.home, registry.name)
    if found.undone and after is not None and after.ledger is not None:
        _note(place.home, registry.name, after.ledger, True, why)
        return f"; undone: {why}; {told}"
    return f"; undone: {why}; {told}{deploy_served(place, say, again=False)}"


def pointer_to(place: Place, spec: DeploySpec, number: int, at: str) -> Pointer:
    """Where a version's files lie, exported now where they never were."""
    tags = place.registry.version(number).tags
    if ARTEFACT not in tags or STATEMENT not in tags:
        exported(place, spec, number)
        tags = place.registry.version(number).tags
    return Pointer(
        name=place.registry.name,
        version=number,
        model=tags["nightshift.model"],
        artefact=tags[ARTEFACT],
        manifest=tags[STATEMENT],
        at=at,
    )


def probes_of(place: Place, number: int) -> ProbeSet | None:
    """What the version's model answered in its night; None for a base model, or where it answered nothing."""
    tags: Mapping[str, str] = place.registry.version(number).tags
    if "nightshift.evidence" not in tags:
        return None
    evidence = Evidence.model_validate_json(
        place.store.read_bytes(Blob.model_validate_json(tags["nightshift.evidence"]))
    )
    return ProbeSet.model_validate_json(place.store.read_bytes(evidence.probe)) if evidence.probe else None


class Tried(NamedTuple):
    """The last move that was deployed, and whether the targets serve it."""

    line: Line | None = None
    serving: bool = False


def last_deployment(home: Path, name: str) -> Tried:
    try:
        found = json.loads(_path(home, name).read_text())
    except FileNotFoundError:
        return Tried()
    return Tried(Line.model_validate(found["line"]), found["serving"])


def _note(home: Path, name: str, line: Line, serving: bool, words: str) -> None:
    body = {"line": line.model_dump(), "serving": serving, "words": words, "at": datetime.now(UTC).isoformat()}
    write_private(_path(home, name), json.dumps(body, indent=1) + "\n")


def _path(home: Path, name: str) -> Path:
    return home / "serving" / f"{name}.deployed.json"


@contextmanager
def _first(home: Path, name: str) -> Iterator[bool]:
    """One deployment of a name at a time; False for who comes second, as the first does the work."""
    path = home / "serving" / f".{name}.deploying"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
