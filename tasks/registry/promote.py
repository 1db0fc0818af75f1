"""promote, reject, roll back: the aliases and the serving manifest move only along checked evidence."""

import fcntl
import json
import os
import pwd
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from infra.digest import digest_of
from infra.errors import StoreError
from infra.ledger import append, ledger_path
from infra.store import Blob, Store
from tasks.contracts import Evidence
from tasks.errors import NotPromotable
from tasks.lm.base import refuse_model
from tasks.lm.model_files import CONVERT
from tasks.registry.approval import refuse_approval, refuse_promotion
from tasks.registry.client import Registry, read_baseline


def whoami() -> str:
    """The logged-in operating-system user: never an argument, never an environment variable."""
    return pwd.getpwuid(os.getuid()).pw_name


def approve(registry: Registry, number: int, who: str, home: Path, waiver: str = "") -> str:
    """Record the approval of a version that awaits one, or that a waiver may promote.

    Raises:
        NotPromotable: its verdict or state doesn't allow it.
    """
    tags = registry.version(number).tags
    # a tag set by hand in MLflow names nobody: whoever runs this is the one who approves then
    if tags.get("approval") == "approved" and tags.get("approval.by"):
        return f"version {number} of {registry.name} is approved already (by {tags['approval.by']})"
    _refuse(
        refuse_approval(tags, number, waiver),
        "only a version that awaits approval can be approved; `nightshift show last` names it",
    )
    if tags.get("nightshift.verdict") != "PASS":
        body = {"version": number, "night": tags.get("nightshift.night", ""), "by": who, "reason": waiver.strip()}
        append(ledger_path(home, registry.name), "waiver", body, datetime.now(UTC))
        registry.tag(number, {"waiver.by": who, "waiver": waiver.strip()})
    # who and when first: an approval without a name must not exist, not even for a moment
    registry.tag(number, {"approval.by": who, "approval.at": _now(), "approval": "approved"})
    return f"version {number} of {registry.name} approved by {who}"


def reject(registry: Registry, number: int, reason: str, who: str) -> str:
    """Record a rejection; a champion can't be rejected, only rolled back."""
    if not reason.strip():
        raise NotPromotable(
            f"version {number} can't be rejected without a reason", do="say why: nightshift reject VERSION 'reason'"
        )
    if registry.alias("champion") == number:
        raise NotPromotable(f"version {number} serves as champion", do="use `nightshift rollback`")
    _refuse(
        None
        if registry.version(number).tags.get("nightshift.role") == "candidate"
        else f"version {number} is no candidate",
        "name a candidate",
    )
    registry.tag(number, {"approval.by": who, "approval.at": _now(), "approval": f"rejected: {reason.strip()}"})
    return f"version {number} of {registry.name} rejected by {who}: {reason.strip()}"


def promote(registry: Registry, number: int, store: Store, home: Path) -> str:
    """Make an approved version the champion, after checking every digest of its evidence. Twice changes nothing.

    Raises:
        NotPromotable: says what is missing or differs.
    """
    with _alone(home):
        current = registry.alias("champion")
        if current == number:
            write_manifest(registry, number, home)
            return f"version {number} of {registry.name} serves already; nothing changed"
        tags = registry.version(number).tags
        evidence = read_evidence(tags, number, store)
        check_objects(evidence, number, store)
        champion = read_baseline(registry, "champion", store)
        _refuse(
            refuse_promotion(tags, number, evidence, champion.model.digest if champion else None),
            "run a new night, or approve a version that was judged against what serves now",
        )
        assert current is not None  # refuse_promotion refuses a missing champion
        note_move(home, registry.name, "promotion", number, current, tags)
        registry.set_alias("previous", current)
        registry.set_alias("champion", number)
        registry.tag(number, {"nightshift.promoted": _now()})
        write_manifest(registry, number, home)
    return f"version {number} of {registry.name} is champion; version {current} is previous"


def rollback(registry: Registry, home: Path, who: str) -> str:
    """Make the previous version the champion again. Twice changes nothing: both aliases then name one version."""
    with _alone(home):
        current, previous = registry.alias("champion"), registry.alias("previous")
        if previous is None:
            raise NotPromotable(
                f"{registry.name} has no previous version", do="nothing was promoted yet; there is nothing to roll back"
            )
        if current == previous:
            write_manifest(registry, previous, home)
            return f"version {previous} of {registry.name} serves already; nothing changed"
        note_move(home, registry.name, "rollback", previous, current, registry.version(previous).tags, who)
        registry.set_alias("champion", previous)
        if current is not None:
            registry.tag(current, {"approval": f"rejected: rolled back by {who}", "nightshift.rolled_back": _now()})
        write_manifest(registry, previous, home)
    return f"version {previous} of {registry.name} is champion again; version {current} was rolled back by {who}"


def note_move(
    home: Path, name: str, kind: str, to: int, was: int | None, tags: Mapping[str, str], who: str | None = None
) -> None:
    """Write a move of ``champion`` into the ledger, before it is made; a move that is tried again is one line more."""
    body = {
        "version": to,
        "was": was,
        "night": tags.get("nightshift.night", ""),
        "model": tags.get("nightshift.model", ""),
        "by": who or tags.get("approval.by", ""),
    }
    append(ledger_path(home, name), kind, body, datetime.now(UTC))


def read_evidence(tags: dict[str, str], number: int, store: Store) -> Evidence:
    """The version's evidence, its bytes checked against the digest in the tag."""
    try:
        return Evidence.model_validate_json(store.read_bytes(Blob.model_validate_json(tags["nightshift.evidence"])))
    except KeyError:
        raise NotPromotable(
            f"version {number} carries no evidence", do="promote a version that a night registered"
        ) from None
    except (StoreError, ValueError) as error:
        raise NotPromotable(
            f"version {number}: its evidence can't be trusted: {error}", do="run a new night"
        ) from error


def check_objects(evidence: Evidence, number: int, store: Store) -> None:
    """Every object the evidence names is there and is what its digest says: model, scorecards, training pairs.

    Raises:
        NotPromotable: one is missing or changed, or the model holds a file that could run code where it is loaded.
    """
    trees = [evidence.model.base, *([evidence.model.adapter] if evidence.model.adapter else [])]
    _refuse(
        None if (why := refuse_model(evidence.model)) is None else f"version {number}: {why}",
        f"{CONVERT}; then run a new night",
    )
    digests = [file.digest_ for tree in trees for file in tree.files]
    digests += [ref.card.digest_ for ref in evidence.cards] + [evidence.trained_on.digest_]
    try:
        for tree in trees:
            if digest_of(tree.files) != tree.digest_:
                raise StoreError(f"the file list of {tree.digest_} was changed", do="run a new night")
        for digest in digests:
            store.open_path(digest)
    except StoreError as error:
        raise NotPromotable(
            f"version {number}: {error.what}", do="run a new night; this version can't be trusted any more"
        ) from error


def write_manifest(registry: Registry, number: int, home: Path) -> None:
    """What a server should load, written whole or not at all."""
    tags = registry.version(number).tags
    path = home / "serving" / f"{registry.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    manifest = {
        "name": registry.name,
        "version": number,
        "model": tags["nightshift.model"],
        "model_ref": json.loads(tags["nightshift.model_ref"]),
        "approved_by": tags.get("approval.by"),
        "approved_at": tags.get("approval.at"),
    }
    temporary = path.with_suffix(".writing")
    temporary.write_text(json.dumps(manifest, indent=1) + "\n")
    temporary.replace(path)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One mover of aliases at a time: MLflow has no compare-and-swap, so reading and setting must not interleave."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "promotion.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _refuse(reason: str | None, do: str) -> None:
    if reason is not None:
        raise NotPromotable(reason, do=do)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
