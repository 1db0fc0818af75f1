"""What the registry keeps from being cleaned away: every reference of every version, of whoever's model. Pure but for
reading evidence."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import ValidationError

from infra.digest import Digest
from infra.errors import StoreError
from infra.store import Blob, Store
from tasks.contracts import Evidence, Inputs
from tasks.registry.client import ModelSeen, VersionSeen


class Pinned(NamedTuple):
    """What must stay for the registry's sake.

    Attributes:
        texts: all that the registry says; every digest in it keeps its object, and all that leads on from there.
        nights, models: ids of the nights behind live versions, and the digests of their models.
        let_go: by object (a version's inputs), the raw rows behind it that it needs no more.
    """

    texts: tuple[str, ...]
    nights: frozenset[Digest]
    models: frozenset[Digest]
    let_go: dict[Digest, frozenset[Digest]]


def pinned(seen: Mapping[str, ModelSeen], store: Store, before: datetime) -> Pinned:
    """Fold the registry.

    Only the raw rows of a snapshot are ever let go: what judging again, exporting, serving, auditing and rolling back
    to a version read is the rest of its evidence. They are let go once the version is not live and was made before
    ``before``; another reference to the same rows keeps them.
    """
    texts: list[str] = []
    nights: set[Digest] = set()
    models: set[Digest] = set()
    old: dict[Digest, frozenset[Digest]] = {}
    needed: set[Digest] = set()
    for model in seen.values():
        texts += [*model.tags.values(), model.description]
        for number, version in model.versions.items():
            texts += [*version.tags.values(), version.description]
            live = is_live(model, number)
            if live:
                nights |= {version.tags["nightshift.night"]} if "nightshift.night" in version.tags else set()
                models |= {version.tags["nightshift.model"]} if "nightshift.model" in version.tags else set()
            for inputs, rows in _rows(version, store):
                if live or not _created(version) < before.timestamp():
                    needed.add(inputs)
                else:
                    old[inputs] = rows
    let_go = {inputs: rows for inputs, rows in old.items() if inputs not in needed}
    return Pinned(tuple(texts), frozenset(nights), frozenset(models), let_go)


def is_live(model: ModelSeen, number: str) -> bool:
    """Whether a version serves, served before, is measured from, or may still be approved or promoted."""
    tags = model.versions[number].tags
    open_ = tags.get("approval") in {"requested", "approved"} and "nightshift.promoted" not in tags
    return number in model.aliases.values() or open_


def _created(version: VersionSeen) -> float:
    """Seconds since the epoch; MLflow gives milliseconds."""
    return int(version.created) / 1000


def _rows(version: VersionSeen, store: Store) -> Iterator[tuple[Digest, frozenset[Digest]]]:
    """The version's inputs and the rows of its snapshot. Where they can't be read nothing is let go of."""
    if not version.tags.get("nightshift.evidence"):
        return
    try:
        evidence = Evidence.model_validate_json(
            store.read_bytes(Blob.model_validate_json(version.tags["nightshift.evidence"]))
        )
        if evidence.inputs is not None:
            inputs = Inputs.model_validate_json(store.read_bytes(evidence.inputs))
            rows = frozenset(shard.rows.digest_ for shard in inputs.snapshot.shards)
            yield evidence.inputs.digest_, rows
    except (StoreError, ValidationError):  # the audit's business: an object that is missing or changed keeps the rest
        return
