"""promote and roll back: the aliases and the serving manifest move only along checked evidence.

Each ends the same however often it is killed and started again: see ``moves``.
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.digest import digest_of
from infra.errors import StoreError
from infra.ledger import ledger_path, read_ledger
from infra.registry_guard.embedded import Refused
from infra.store import Blob, Store, Tree
from tasks.contracts import Evidence, Model
from tasks.errors import NeedsRejudgement, NotPromotable, RegistryError, RegistryRefused
from tasks.lm.base import refuse_model
from tasks.lm.model_files import CONVERT
from tasks.parts import parts_of
from tasks.registry.approval import champion_moved, refuse_promotion
from tasks.registry.client import Registry, read_baseline
from tasks.registry.decide import note_waiver
from tasks.registry.hold import read_hold, refuse_held
from tasks.registry.manifest import Manifest, Served, Share, read_manifest, write_manifest
from tasks.registry.moves import Move, abandon, begin, moves_of, served, unfinished
from tasks.release import POLICY_TAG, release_policy


def promote(registry: Registry, number: int, store: Store, home: Path) -> str:
    """Make an approved version the champion, after checking every digest of its evidence. Twice changes nothing.

    Raises:
        NeedsRejudgement: another model serves by now than it was judged against.
        NotPromotable: says what is missing or differs.
    """
    with alone(home):
        refuse_held(home, registry.name)
        _finish(registry, store, home)
        current = registry.alias("champion")
        if current == number:
            return f"version {number} of {registry.name} serves already; nothing changed"
        check_promotable(registry, number, store)
        assert current is not None  # refused by then
        note_waiver(home, registry, number)
        tags = registry.version(number).tags
        move = begin(
            home, registry.name, "promotion", number, current, tags, tags["approval.by"], tags.get("waiver", "")
        )
        _carry_out_or_abandon(registry, move, home)
    return f"version {number} of {registry.name} is champion; version {current} is previous"


def rollback(registry: Registry, store: Store, home: Path, who: str, reason: str = "", to: int | None = None) -> str:
    """Make an earlier version the champion again: the previous one, or ``to``. Twice changes nothing.

    What served since is rejected, so that no approval of it is carried out again.

    Raises:
        NotPromotable: nothing served before, or ``to`` never did, or its files are damaged.
    """
    with alone(home):
        refuse_held(home, registry.name)
        _finish(registry, store, home)
        current = registry.alias("champion")
        before = served(moves_of(read_ledger(ledger_path(home, registry.name))))
        target = registry.alias("previous") if to is None else to
        if current is None or target is None:
            raise NotPromotable(
                f"{registry.name} has no previous version", do="nothing was promoted yet; there is nothing to roll back"
            )
        earlier = [version for version in before if version != current]
        if current == target:
            told = f"; before it served {', '.join(map(str, earlier))}: name one with --to" if earlier else ""
            return f"version {target} of {registry.name} serves already; nothing changed{told}"
        if target not in before:
            raise NotPromotable(
                f"version {target} of {registry.name} can't serve again: it never did, or was rolled back",
                do=f"name one of {earlier}",
            )
        check_model(registry, target, store)
        left = before[before.index(target) + 1 :]
        tags = registry.version(target).tags
        move = begin(home, registry.name, "rollback", target, current, tags, who, reason, left)
        _carry_out_or_abandon(registry, move, home)
    gone = ", ".join(map(str, left))
    return f"version {target} of {registry.name} is champion again; version {gone} was rolled back by {who}"


def finish(registry: Registry, store: Store, home: Path) -> str | None:
    """Carry on a move that a crash cut off; what was done then, or None where there was nothing to do."""
    with alone(home):
        return None if read_hold(home, registry.name) else _finish(registry, store, home)


def _finish(registry: Registry, store: Store, home: Path) -> str | None:
    moves = moves_of(read_ledger(ledger_path(home, registry.name)))
    move = unfinished(moves, readable_manifest(home, registry.name))
    if move is None:
        return None
    champion = registry.alias("champion")
    if champion not in {move.version, move.was}:
        raise RegistryError(
            f"champion of {registry.name} is version {champion}, and the last move in its ledger goes from "
            f"{move.was} to {move.version}",
            do="run `nightshift audit`: somebody moved it around the ledger",
        )
    try:
        if champion == move.was and move.kind == "promotion":
            check_promotable(registry, move.version, store)
        carry_out(registry, move, home)
    except (NotPromotable, Refused, RegistryRefused) as error:
        if registry.alias("champion") == move.version:
            raise
        # else it would stand in the way of every later move
        abandon(home, registry.name, move, error.what)
        return f"the {move.kind} to version {move.version}, cut off by a crash, is abandoned: {error.what}"
    return f"the {move.kind} to version {move.version} of {registry.name}, cut off by a crash, is finished"


def _carry_out_or_abandon(registry: Registry, move: Move, home: Path) -> None:
    """``carry_out``; where the guard refuses it and nothing has moved, the ledger says that it isn't made after all."""
    try:
        carry_out(registry, move, home)
    except (Refused, RegistryRefused) as error:
        if registry.alias("champion") != move.version:
            abandon(home, registry.name, move, error.what)
        raise


def carry_out(registry: Registry, move: Move, home: Path) -> None:
    """Make a move that is in the ledger; each part of it may have been done already."""
    # champion first: where the guard refuses it, nothing else has moved
    _swap_champion(registry, move)
    registry.swap_alias("previous", move.was if move.kind == "promotion" else move.version, registry.alias("previous"))
    if move.kind == "promotion":
        registry.tag(move.version, {"nightshift.promoted": move.at})
    else:
        for version in move.left:
            told = f"rejected: rolled back by {move.by}" + (f": {move.reason}" if move.reason else "")
            registry.tag(version, {"approval": told, "nightshift.rolled_back": move.at})
    write_manifest(home, manifest_of(registry, move))


def _swap_champion(registry: Registry, move: Move) -> None:
    if registry.alias("champion") != move.version:
        registry.swap_alias("champion", move.version, move.was)


def manifest_of(registry: Registry, move: Move) -> Manifest:
    """The manifest after a move, from what the registry says of the two versions."""
    tags = registry.version(move.version).tags
    previous = move.was if move.kind == "promotion" else None
    return Manifest(
        name=registry.name,
        version=move.version,
        model=tags["nightshift.model"],
        model_ref=Blob.model_validate_json(tags["nightshift.model_ref"]),
        evidence=Blob.model_validate_json(tags["nightshift.evidence"]) if "nightshift.evidence" in tags else None,
        verdict=tags.get("nightshift.verdict"),
        move=move.kind,
        by=move.by,
        reason=move.reason,
        at=move.at,
        approved_by=tuple(name for name in tags.get("approval.by", "").split(", ") if name),
        approved_at=tags.get("approval.at"),
        ledger=move.line,
        previous=_served(registry, previous) if previous else None,
        traffic=(Share(version=move.version, share=1.0),),
        artefact=tags.get("nightshift.artefact"),
    )


def _served(registry: Registry, version: int) -> Served:
    return Served(version=version, model=registry.version(version).tags["nightshift.model"])


def readable_manifest(home: Path, name: str) -> Manifest | None:
    """The manifest; None also where it can't be read, as the last move then writes it anew."""
    try:
        return read_manifest(home, name)
    except RegistryError:
        return None


def check_promotable(registry: Registry, number: int, store: Store) -> Evidence:
    """Tags against evidence, evidence against the store's bytes and against what serves now.

    Raises:
        NeedsRejudgement: another model serves by now than it was judged against.
        NotPromotable: says what is missing or differs.
    """
    tags = registry.version(number).tags
    evidence = read_evidence(tags, number, store)
    check_objects(evidence, number, store)
    champion = read_baseline(registry, "champion", store)
    policy = release_policy(registry.model_tag(POLICY_TAG)).approval
    reason = refuse_promotion(tags, number, evidence, champion.model.digest if champion else None, policy)
    if reason is not None:
        raise NotPromotable(reason, do="run a new night, or approve a version that can be promoted")
    assert champion is not None  # refuse_promotion refuses a missing one
    if moved := champion_moved(number, evidence, champion.model.digest, champion.version):
        raise NeedsRejudgement(moved, do=f"`nightshift rejudge {number}` judges the same model against what serves now")
    return evidence


def check_model(registry: Registry, number: int, store: Store) -> None:
    """The files of a version that shall serve again are there and unchanged."""
    tags = registry.version(number).tags
    try:
        model = Model.model_validate_json(store.read_bytes(Blob.model_validate_json(tags["nightshift.model_ref"])))
        _check_trees(_trees(model), store)
    except (StoreError, KeyError, ValueError) as error:
        raise NotPromotable(
            f"version {number} of {registry.name} can't serve: {getattr(error, 'what', error)}",
            do="name another version with --to, or put back a copy of the store",
        ) from error


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
    """Every object the evidence names is there and is what its digest says: model, scorecards, pairs, receipt.

    Raises:
        NotPromotable: one is missing or changed, or the model holds a file that could run code where it is loaded.
    """
    if why := refuse_model(evidence.model):
        raise NotPromotable(f"version {number}: {why}", do=f"{CONVERT}; then run a new night")
    try:
        _check_trees(_trees(evidence.model), store)
        trained_on = [part.digest_ for part in parts_of(evidence.trained_on, store)]
        for digest in [ref.card.digest_ for ref in evidence.cards] + trained_on:
            store.open_path(digest)
        if evidence.portability is not None and evidence.portability.receipt is not None:
            store.open_path(evidence.portability.receipt.digest_)
    except StoreError as error:
        raise NotPromotable(
            f"version {number}: {error.what}", do="run a new night; this version can't be trusted any more"
        ) from error


def _trees(model: Model) -> list[Tree]:
    return [model.base, *([model.adapter] if model.adapter else [])]


def _check_trees(trees: list[Tree], store: Store) -> None:
    for tree in trees:
        if digest_of(tree.files) != tree.digest_:
            raise StoreError(f"the file list of {tree.digest_} was changed", do="run a new night")
        for file in tree.files:
            store.open_path(file.digest_)


@contextmanager
def alone(home: Path) -> Iterator[None]:
    """One mover of aliases at a time on this machine; the guard's comparison keeps those of others apart."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "promotion.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
