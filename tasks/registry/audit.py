"""The registry against its records. Pure: journal, registry, ledger and manifest in, findings out; nothing is repaired.

The guard's journal says what the registry must hold. The recipe's ledger says which moves of `champion` and `anchor`
were decided on. The manifest says what serves.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from infra.ledger import Entry
from infra.registry_guard.facts import shortened
from infra.registry_guard.terms import ALIASES, DECISIONS, PREFIX
from tasks.registry.client import ModelSeen, VersionSeen
from tasks.registry.expected import expected_state
from tasks.registry.findings import KEEP, Finding, about, held, merged, quoted, same, says
from tasks.registry.ledger_audit import ledger_findings
from tasks.registry.manifest import Manifest
from tasks.registry.manifest_audit import manifest_findings
from tasks.registry.state import Expected, Met, ModelState, Slot, Thing, VersionState

_AROUND = "around the guard: in the database, or by another client"
_PUT_BACK = f"find out who did it; {KEEP}"


def differences(
    expected: Expected,
    found: Mapping[str, ModelSeen],
    manifests: Mapping[str, Manifest | str | None],
    ledgers: Mapping[str, Sequence[Entry]],
    name: str = "",
) -> tuple[Finding, ...]:
    """Everything in which the registry, the ledgers and the manifests differ from what the journal says.

    Args:
        manifests: by model: the manifest, why it can't be read, or None where there is none.
        name: this model only; empty: all of ours.
    """
    findings: list[Finding] = []
    for model in names_of(expected, found, ledgers):
        if name in {"", model}:
            state, seen = expected.models.get(model), found.get(model)
            findings += _model(model, state, seen, expected)
            findings += ledger_findings(model, expected, ledgers.get(model, ()))
            findings += manifest_findings(model, expected, manifests.get(model), ledgers.get(model, ()))
    findings += [
        _met(one) for one in expected.met if name in {"", one.thing.model} and _ours(expected, one.thing.model)
    ]
    findings += _unended(expected, name)
    return merged(findings)


def names_of(expected: Expected, found: Mapping[str, ModelSeen], ledgers: Iterable[str] = ()) -> list[str]:
    """Models of ours: others' are MLflow's permissions' to guard."""
    ours = {name for name, state in expected.models.items() if state.ours}
    ours |= {name for name, seen in found.items() if _has_ours(seen)}
    return sorted(ours | {name for name in ledgers if name in expected.models or name in found})


def _has_ours(seen: ModelSeen) -> bool:
    tags = (seen.tags, *(version.tags for version in seen.versions.values()))
    return any(key.startswith(PREFIX) for one in tags for key in one)


def _ours(expected: Expected, name: str) -> bool:
    return name in expected.models and expected.models[name].ours


# --- a model ---


def _model(name: str, state: ModelState | None, seen: ModelSeen | None, expected: Expected) -> Iterator[Finding]:
    if name in expected.unsure:
        return
    if state is None:
        deleted = expected.deleted.get(name)
        why = f"entry {deleted.seq} deleted it" if deleted else "no line of the journal names it"
        yield Finding(
            kind="model-unknown",
            name=name,
            about=(str(deleted.seq) if deleted else "",),
            what=f"{name} is in the registry, and {why}: it was made {_AROUND}, or before the guard was switched on",
            do="register it again through the guard, or close the incident if it is older than the guard",
            holds=True,
        )
        return
    if seen is None:
        if not state.maybe_gone:
            where = f"entry {state.line.seq}, {state.line.by}" if state.line else "its later lines"
            yield Finding(
                kind="model-vanished",
                name=name,
                about=(),
                what=f"{name} is not in the registry, and the journal knows it ({where}): it was deleted {_AROUND}",
                do=f"restore the registry's database; {KEEP}",
                holds=True,
            )
        return
    yield from _values("model-tag", name, "", state.tags, seen.tags, state.line)
    yield from _values("alias", name, "", state.aliases, seen.aliases, state.line)
    yield from _text(name, "", state.text, {"description": seen.description})
    yield from _versions(name, state, seen)


def _versions(name: str, state: ModelState, seen: ModelSeen) -> Iterator[Finding]:
    unended = list(state.registrations)
    for number in sorted(state.versions.keys() | seen.versions.keys(), key=int):
        known, found = state.versions.get(number), seen.versions.get(number)
        if found is None:
            if known is not None and not known.maybe_gone:
                yield _version_vanished(name, number, known)
            continue
        if known is None or known.line is None:
            if not _explained(unended, found):
                yield _version_unknown(name, number, found)
            if known is None:
                continue
        elif not same(known.line.values[0], found.created):
            yield _version_replaced(name, number, known.line, found)
            continue
        yield from _values("version-tag", name, number, known.tags, found.tags, known.line)
        yield from _text(name, number, known.text, {"description": found.description, "stage": found.stage})


def _explained(unended: list[Entry], found: VersionSeen) -> bool:
    """Whether a registration that was cut off made this version; each made one at most."""
    for entry in unended:
        tags = entry.body["change"].get("tags", {})
        if all(same(value, found.tags.get(key)) for key, value in tags.items() if key.startswith(PREFIX)):
            unended.remove(entry)
            return True
    return False


def _version_vanished(name: str, number: str, known: VersionState) -> Finding:
    by = f"registered by {known.line.by} at {known.line.at}, entry {known.line.seq}" if known.line else "an older one"
    return Finding(
        kind="version-vanished",
        name=name,
        about=(number, str(known.line.seq if known.line else "")),
        what=f"version {number} of {name} ({by}) is not in the registry, and no line deletes it: "
        f"it was removed {_AROUND}",
        do=f"restore the registry's database; {KEEP}",
    )


def _version_unknown(name: str, number: str, found: VersionSeen) -> Finding:
    return Finding(
        kind="version-unknown",
        name=name,
        about=(number, found.created),
        what=f"version {number} of {name} (created {found.created}) is in the registry, and no line registers it: "
        f"it was made {_AROUND}, or before the guard was switched on",
        do="don't promote it; register it again through the guard, or close the incident if it is older than the guard",
    )


def _version_replaced(name: str, number: str, line: Slot, found: VersionSeen) -> Finding:
    return Finding(
        kind="version-replaced",
        name=name,
        about=about(line, found.created, number),
        what=f"version {number} of {name} was created at {found.created}, and {says(line)}: it is another version",
        do=f"restore the registry's database; {KEEP}",
    )


# --- single values ---


def _values(
    kind: str, name: str, version: str, slots: Mapping[str, Slot], found: Mapping[str, str], owner: Slot | None
) -> Iterator[Finding]:
    """Tags or aliases.

    Args:
        owner: the line that made what they belong to; without it, only what a line names is known.
    """
    for key in sorted(slots.keys() | (found.keys() if owner else set())):
        slot = slots.get(key) or (owner._replace(values=(None,)) if owner else None)
        value = found.get(key)
        if slot is not None and not any(same(one, value) for one in slot.values):
            yield _difference(Thing(kind, name, version, key), slot, value)


def _text(name: str, version: str, slots: Mapping[str, Slot], found: Mapping[str, str]) -> Iterator[Finding]:
    for key, value in found.items():
        slot = slots.get(key)
        if slot is not None and not any(same(one, value) for one in slot.values):
            yield _difference(Thing("text", name, version, key), slot, value)


def _met(one: Met) -> Finding:
    """What a later line met. It is the same finding as while it was so, and no reason to hold any more."""
    finding = _difference(one.thing, one.expected, one.found)
    what = f"{finding.what}. Entry {one.line.seq} ({one.line.body.get('user')}, {one.line.at}) met it so"
    return finding.model_copy(update={"what": what, "holds": False})


def _difference(thing: Thing, slot: Slot, found: str | None) -> Finding:
    of = f"version {thing.version} of {thing.model}" if thing.version else thing.model
    guarded = _guarded(thing)
    words = {
        "alias": f"alias {thing.key} of {thing.model} points to version {found}"
        if found is not None
        else f"alias {thing.key} of {thing.model} is not set",
        "text": f"the {thing.key} of {of} is {quoted(found)}",
    }
    subject = words.get(thing.kind, f"tag {thing.key} of {of} is {quoted(found)}")
    unset = slot.values == (None,)
    against = f"no line of the journal after entry {slot.seq} sets it" if unset else says(slot)
    return Finding(
        kind=thing.key if thing.kind == "text" else thing.kind,
        name=thing.model,
        about=about(slot, found, thing.version, thing.key),
        what=f"{subject}, and {against}: it was changed {_AROUND}",
        do=_undo(thing, slot) if guarded else f"set it back, or close the incident; {KEEP}",
        severity="critical" if guarded else "warning",
        holds=thing.kind == "alias" and guarded,
    )


def _guarded(thing: Thing) -> bool:
    if thing.kind == "alias":
        return thing.key in ALIASES
    if thing.kind == "text":
        return thing.version != ""  # a verdict's paragraph and stage are read before somebody approves
    return thing.key.startswith(PREFIX) or thing.key in DECISIONS


def _undo(thing: Thing, slot: Slot) -> str:
    if thing.kind == "alias" and len(slot.values) == 1 and slot.values[0] is not None:
        return (
            f"find out who moved it, then put {thing.key} back on version {slot.values[0]}; serving is held until then"
        )
    return _PUT_BACK


def _unended(expected: Expected, name: str) -> Iterator[Finding]:
    for entry in expected.unended:
        change = entry.body["change"]
        model, user = change.get("model", ""), entry.body.get("user")
        if model and name in {"", model} and not _known_by_now(expected, entry):
            what = " ".join(str(change[key]) for key in ("kind", "version", "alias", "key", "value") if change.get(key))
            yield Finding(
                kind="unfinished",
                name=model,
                about=(str(entry.seq),),
                what=f"{user} asked for {shortened(what)} of {model} at {entry.at} (entry {entry.seq}), "
                "and no line says how it ended: both outcomes are taken for right",
                do="look in MLflow whether it was made, and make it again if it was not",
                severity="warning",
            )


def _known_by_now(expected: Expected, entry: Entry) -> bool:
    """Whether a later line says which outcome it had, or changed the same thing again."""
    change = entry.body["change"]
    model = expected.models.get(change["model"], ModelState())
    version = model.versions.get(change.get("version", ""), VersionState())
    slot = {
        "set_alias": model.aliases.get(change.get("alias", "")),
        "delete_alias": model.aliases.get(change.get("alias", "")),
        "set_model_tag": model.tags.get(change.get("key", "")),
        "set_version_tag": version.tags.get(change.get("key", "")),
    }.get(change["kind"])
    return slot is not None and (slot.seq > entry.seq or len(slot.values) == 1)


__all__ = ["Finding", "differences", "expected_state", "held", "names_of"]
