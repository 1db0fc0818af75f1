"""What the registry must look like, folded from the guard's journal: one pass, no look at MLflow.

A change that was asked for and never ended may have been made or not: both values are allowed then, until a later line
says what was there. Every line also says what it met; where that is not what the lines before it left, something
changed the registry around the guard in between.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infra.ledger import Entry
from infra.registry_guard.terms import ALIASES
from tasks.registry.state import Expected, Met, ModelState, Move, Slot, Thing, Value, VersionState

_FAILED, _UNSURE = 400, 500
_ABSENT: tuple[Value, ...] = (None,)


def expected_state(entries: Iterable[Entry]) -> Expected:
    """Fold the journal's lines. Lines that are no change of a model (users, webhooks, refusals) say nothing here."""
    fold = _Fold()
    for entry in entries:
        fold.add(entry)
    return fold.end()


class _Fold:
    def __init__(self) -> None:
        self.state = Expected()
        self._open: dict[str, dict[str, Entry]] = {}  # model → request → asked
        self._settled: dict[str, Entry] = {}  # given up as never ended

    def add(self, entry: Entry) -> None:
        if entry.kind not in {"asked", "done"}:
            return
        model, request = str(_change(entry).get("model", "")), str(entry.body.get("request", ""))
        if entry.kind == "asked":
            # one change of a model at a time: another one that is still open was cut off
            self._settle(model)
            self._open.setdefault(model, {})[request] = entry
            self._meet(entry, entry.body.get("before") or {})
            return
        asked = self._open.get(model, {}).pop(request, None) or self._settled.pop(request, None)
        if asked is None:
            self.state.unasked.append(entry)
        elif entry.body["status"] < _FAILED:
            self._apply(asked, entry.body.get("after") or {}, sure=True)
            self._meet(asked, entry.body.get("after") or {})
        elif entry.body["status"] >= _UNSURE:
            self._apply(asked, {}, sure=False)

    def end(self) -> Expected:
        for model in list(self._open):
            self._settle(model)
        self.state.unended = sorted(self._settled.values(), key=lambda one: one.seq)
        return self.state

    def _settle(self, model: str) -> None:
        for request, asked in self._open.pop(model, {}).items():
            self._settled[request] = asked
            self._apply(asked, {}, sure=False)

    # --- what a line says about a change ---

    def _apply(self, asked: Entry, after: Mapping[str, Any], *, sure: bool) -> None:
        change = _change(asked)
        rule = _RULES.get(change.get("kind", ""))
        if rule is not None:
            rule(self.state, asked, change, after, sure)
        if change.get("kind") == "set_alias" and change["alias"] in {"champion", "anchor"} and asked.body.get("ours"):
            was = (asked.body.get("before") or {}).get(change["alias"])
            move = Move(change["alias"], change["version"], was, asked, sure)
            self.state.moves.setdefault(change["model"], []).append(move)

    # --- what a line met ---

    def _meet(self, entry: Entry, seen: Mapping[str, Any]) -> None:
        change = _change(entry)
        model = self.state.models.get(change.get("model", ""))
        if model is None:
            return
        name, number = change["model"], change.get("version", "")
        version = model.versions.get(number)
        match change["kind"]:
            case "set_alias" | "delete_alias":
                self._all(entry, model.aliases, seen, Thing("alias", name), model.line)
            case "delete_model":
                aliases = {key: seen.get(key) for key in ALIASES} if seen.get("exists") else {}
                self._all(entry, model.aliases, aliases, Thing("alias", name), model.line)
            case "set_model_tag" | "delete_model_tag":
                self._all(entry, model.tags, seen, Thing("model-tag", name), model.line)
            case "update_model":
                self._all(entry, model.text, seen, Thing("text", name), None)
            case "set_version_tag" | "delete_version_tag" if version is not None:
                self._all(entry, version.tags, seen, Thing("version-tag", name, number), version.line)
            case "update_version" | "transition_stage" if version is not None:
                self._all(entry, version.text, seen, Thing("text", name, number), None)
            case "delete_version" if version is not None and "tags" in seen:
                tags = dict.fromkeys(version.tags) | dict(seen["tags"])
                self._all(entry, version.tags, tags, Thing("version-tag", name, number), version.line)

    def _all(
        self, entry: Entry, slots: dict[str, Slot], seen: Mapping[str, Any], thing: Thing, owner: Slot | None
    ) -> None:
        for key, value in seen.items():
            slot = slots.get(key)
            if slot is None and owner is None:  # older than the journal: what is met first is where it begins
                slots[key] = _slot(entry, value)
                continue
            expected = slot or owner._replace(values=_ABSENT)  # pyright: ignore[reportOptionalMemberAccess]
            if value not in expected.values:
                self.state.met.append(Met(thing._replace(key=key), expected, value, entry))
            elif len(expected.values) > 1:
                slots[key] = expected._replace(values=(value,))


# --- one rule a kind of change ---


def _create_model(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    name = change["model"]
    if not sure and name in state.models:
        return
    tags = {key: _slot(asked, value) for key, value in change.get("tags", {}).items()}
    model = ModelState(_slot(asked, name), maybe_gone=not sure, tags=tags)
    _read_text(model.text, asked, after)
    state.models[name] = model
    state.deleted.pop(name, None)


def _rename_model(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    if not sure:
        state.unsure |= {change["model"], change["new_name"]}
    elif change["model"] in state.models:
        state.models[change["new_name"]] = state.models.pop(change["model"])


def _delete_model(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    if sure:
        state.models.pop(change["model"], None)
        state.deleted[change["model"]] = asked
    else:
        _model(state, change, sure).maybe_gone = True


def _update_model(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    model = _model(state, change, sure)
    if sure:
        _read_text(model.text, asked, after)
    else:
        model.text.clear()  # the journal doesn't keep what was asked for


def _model_tag(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    model = _model(state, change, sure)
    _put(model.tags, change["key"], _wanted(change, "value"), asked, sure, model.line)


def _alias(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    model = _model(state, change, sure)
    _put(model.aliases, change["alias"], _wanted(change, "version"), asked, sure, model.line)


def _create_version(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    model = _model(state, change, sure)
    if not sure or not after.get("version"):
        model.registrations.append(asked)
        return
    tags = {key: _slot(asked, value) for key, value in change.get("tags", {}).items()}
    version = VersionState(_slot(asked, str(after.get("created", ""))), tags=tags)
    version.text["stage"] = _slot(asked, "None")
    _read_text(version.text, asked, after)
    model.versions[str(after["version"])] = version


def _version_text(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    version = _version(state, change, sure)
    if sure:
        _read_text(version.text, asked, after)
    else:
        version.text.clear()


def _stage(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    _version_text(state, asked, change, after, sure)
    for version in _model(state, change, sure).versions.values():  # may archive the others; models of ours refuse it
        version.text.pop("stage", None)


def _delete_version(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    model = _model(state, change, sure)
    number: str = change["version"]
    for alias, slot in list(model.aliases.items()):  # MLflow deletes aliases with their version
        if number in slot.values:
            kept = tuple(one for one in slot.values if one != number)
            model.aliases[alias] = _slot(asked, *dict.fromkeys((*(kept if sure else slot.values), None)))
    if sure:
        model.versions.pop(number, None)
    else:
        _version(state, change, sure).maybe_gone = True


def _version_tag(state: Expected, asked: Entry, change: Any, after: Mapping[str, Any], sure: bool) -> None:
    version = _version(state, change, sure)
    _put(version.tags, change["key"], _wanted(change, "value"), asked, sure, version.line)


_RULES: dict[str, Callable[[Expected, Entry, Any, Mapping[str, Any], bool], None]] = {
    "create_model": _create_model,
    "rename_model": _rename_model,
    "update_model": _update_model,
    "delete_model": _delete_model,
    "set_model_tag": _model_tag,
    "delete_model_tag": _model_tag,
    "set_alias": _alias,
    "delete_alias": _alias,
    "create_version": _create_version,
    "update_version": _version_text,
    "transition_stage": _stage,
    "delete_version": _delete_version,
    "set_version_tag": _version_tag,
    "delete_version_tag": _version_tag,
}


def _change(entry: Entry) -> Mapping[str, Any]:
    return entry.body.get("change") or {}


def _wanted(change: Mapping[str, Any], name: str) -> Value:
    """A request to delete may carry a value too, which says nothing."""
    return None if change["kind"].startswith("delete") else change.get(name, "")


def _slot(entry: Entry, *values: Value) -> Slot:
    return Slot(values, entry.seq, str(entry.body.get("user", "")), entry.at)


def _model(state: Expected, change: Any, sure: bool) -> ModelState:
    """The model; a change that was made proves that it is there."""
    model = state.models.setdefault(change["model"], ModelState(maybe_gone=True))
    model.maybe_gone = model.maybe_gone and not sure
    return model


def _version(state: Expected, change: Any, sure: bool) -> VersionState:
    version = _model(state, change, sure).versions.setdefault(change["version"], VersionState(maybe_gone=True))
    version.maybe_gone = version.maybe_gone and not sure
    return version


def _put(slots: dict[str, Slot], key: str, value: Value, asked: Entry, sure: bool, owner: Slot | None) -> None:
    if sure:
        slots[key] = _slot(asked, value)
        return
    before = slots[key].values if key in slots else _ABSENT if owner else None
    if before is not None:  # what was there is unknown otherwise, and so is what is there now
        slots[key] = _slot(asked, *dict.fromkeys((*before, value)))


def _read_text(slots: dict[str, Slot], asked: Entry, after: Mapping[str, Any]) -> None:
    for key in ("description", "stage"):
        if key in after:
            slots[key] = _slot(asked, after[key])
