"""What became of preferences: which versions were trained on them, across the registry."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from infra.errors import StoreError
from infra.store import Blob
from tasks import place
from tasks.contracts import Evidence, Inputs
from tasks.data.forget import Request, ask_to_forget
from tasks.data.lineage import Origin, collected, ids_in, origins, reasons_of
from tasks.errors import SourceError
from tasks.registry.client import read_all


def show(id_: str) -> dict[str, Any]:
    """A row's origin and its uses.

    Raises:
        SourceError: nothing that is kept holds such a row.
    """
    rows = _rows(frozenset({id_}), None)
    if not rows:
        raise SourceError(
            f"no row {id_!r} is in what is collected now, nor in a version's snapshot",
            do="ids stand in quarantine.jsonl and in the pairs that a version was trained on; was it forgotten?",
        )
    return {"rows": [row.model_dump() for row in rows], "versions": _uses(frozenset(row.id for row in rows))}


def forget(*, tenant: str | None, id_: str | None, why: str, by: str) -> dict[str, Any]:
    """Ask for rows to be forgotten from the next night on, and list what was made from them."""
    rows = _rows(frozenset({id_}) if id_ else frozenset(), tenant)
    kept = place.home() / "data"
    asked: Request = (
        ask_to_forget(kept, "id", id_ or "", why, by)
        if tenant is None
        else ask_to_forget(kept, "tenant", tenant, why, by)
    )
    return {
        "asked": asked.model_dump(),
        "rows": len(rows),
        "versions": _uses(frozenset(row.id for row in rows)),
    }


def _rows(ids: frozenset[str], tenant: str | None) -> list[Origin]:
    store = place.store()
    shards = [*collected(place.home() / "data")]
    for one in _versions():
        shards += one.inputs.snapshot.shards
    seen: dict[tuple[str, str, str, int], Origin] = {}
    for row in origins(shards, ids, tenant, store):
        seen[row.id, row.source, row.version, row.line] = row
    return list(seen.values())


def _uses(ids: frozenset[str]) -> list[dict[str, Any]]:
    """Versions that were trained on one of them, or had one in quarantine.

    Of versions from before the chosen pairs were kept it is only known what they were chosen from.
    """
    store, found = place.store(), []
    for one in _versions():
        exact = one.inputs.candidate.pairs
        trained = ids_in(exact or one.inputs.preferences.train, ids, store)
        quarantined = reasons_of(one.inputs.preferences.quarantine, ids, store)
        if trained or quarantined:
            found.append(
                {
                    "version": f"{one.name} v{one.number}",
                    "aliases": list(one.aliases),
                    "trained on" if exact else "may have been trained on": sorted(trained),
                    "in quarantine": quarantined,
                    "snapshot": one.inputs.snapshot.digest,
                }
            )
    return found


class Made(NamedTuple):
    """A version with evidence that says what it was made from."""

    name: str
    number: str
    aliases: tuple[str, ...]
    inputs: Inputs


def _versions() -> Iterator[Made]:
    store = place.store()
    for name, model in sorted(read_all(place.tracking().client).items()):
        for number, version in sorted(model.versions.items(), key=lambda one: int(one[0])):
            if not version.tags.get("nightshift.evidence"):
                continue
            try:
                blob = Blob.model_validate_json(version.tags["nightshift.evidence"])
                evidence = Evidence.model_validate_json(store.read_bytes(blob))
                if evidence.inputs is not None:
                    inputs = Inputs.model_validate_json(store.read_bytes(evidence.inputs))
                    aliases = sorted(alias for alias, held in model.aliases.items() if held == number)
                    yield Made(name, number, tuple(aliases), inputs)
            except (StoreError, ValueError):  # the audit reports these
                continue
