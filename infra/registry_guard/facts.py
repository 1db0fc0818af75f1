"""Who did what to which version, folded from the ledger's lines: tags can be forged, lines can't be unseen."""

from collections.abc import Iterator, Mapping
from typing import Any

from infra.ledger import Entry
from infra.registry_guard.terms import PREFIX

Key = tuple[str, str]  # model, version

_FAILED = 400
_UNSURE = 500


class Facts:
    """Grows with the ledger. A change that was asked for and never ended (a crash) still counts where it is seen."""

    def __init__(self) -> None:
        self.ours: set[str] = set()
        self._creators: dict[Key, tuple[str, str]] = {}  # who, and MLflow's time of creation
        self._requesters: dict[Key, set[str]] = {}
        self._decided: dict[Key, str] = {}
        self._waived: dict[Key, str] = {}
        self._served: dict[str, set[str]] = {}
        self._open: dict[str, Mapping[str, Any]] = {}

    def add(self, entry: Entry) -> None:
        body = entry.body
        if entry.kind == "asked":
            self._open[body["request"]] = body
            change = body["change"]
            # also if it failed in the end: who asked for an approval doesn't decide on it
            if change["kind"] == "set_version_tag" and change.get("key") == "approval" and _asks(change.get("value")):
                self._requesters.setdefault(_key(change), set()).add(body["user"])
        elif entry.kind == "done" and body["request"] in self._open and body["status"] < _UNSURE:
            asked = self._open.pop(body["request"])
            if body["status"] < _FAILED:
                self._made(asked, body.get("after") or {})

    def creator(self, model: str, version: str, tags: Mapping[str, str], created: str) -> str | None:
        """Who registered a version, if it is the one MLflow created then: a deleted model's numbers come again."""
        who, when = self._creators.get((model, version), ("", ""))
        if who and when == created:
            return who
        return next((body["user"] for body in self._unended(model, "create_version") if _same_key(body, tags)), None)

    def requesters(self, model: str, version: str, tags: Mapping[str, str]) -> frozenset[str]:
        found = set(self._requesters.get((model, version), ()))
        asked = self._unended(model, "create_version")
        found |= {body["user"] for body in asked if _same_key(body, tags) and _asks(_tags(body).get("approval"))}
        return frozenset(found)

    def decided_by(self, model: str, version: str, tags: Mapping[str, str]) -> str | None:
        """Who approved or rejected last, as far as the tag still says so."""
        return self._unended_tag(model, version, "approval", tags) or self._decided.get((model, version))

    def waived_by(self, model: str, version: str, tags: Mapping[str, str]) -> str | None:
        return self._unended_tag(model, version, "waiver", tags) or self._waived.get((model, version))

    def served(self, model: str) -> frozenset[str]:
        """Versions `champion` pointed to."""
        unended = {
            body["change"]["version"]
            for body in self._unended(model, "set_alias")
            if body["change"].get("alias") == "champion"
        }
        return frozenset(self._served.get(model, set()) | unended)

    def _made(self, asked: Mapping[str, Any], after: Mapping[str, Any]) -> None:
        change, user = asked["change"], asked["user"]
        kind, model = change["kind"], change.get("model", "")
        if any(key.startswith(PREFIX) for key in (change.get("key", ""), *change.get("tags", {}))):
            self.ours.add(model)
        if kind == "create_version":
            key = (model, str(after.get("version", "")))
            self._forget(lambda one: one == key)
            self._creators[key] = (user, str(after.get("created", "")))
            if _asks(_tags(asked).get("approval")):
                self._requesters.setdefault(key, set()).add(user)
        elif kind == "set_version_tag" and asked.get("ours"):
            # a decision on a version that wasn't ours then went past the rules for decisions
            if change["key"] == "approval" and not _asks(change["value"]):
                self._decided[_key(change)] = user
            elif change["key"] == "waiver":
                self._waived[_key(change)] = user
        elif kind == "set_alias" and change["alias"] == "champion" and asked.get("ours"):
            self._served.setdefault(model, set()).add(change["version"])
        elif kind == "delete_version":
            self._forget(lambda one: one == _key(change))
        elif kind == "delete_model":
            self._forget(lambda one: one[0] == model)
            self._served.pop(model, None)
            self.ours.discard(model)
        elif kind == "rename_model":
            self._rename(model, change["new_name"])

    def _forget(self, which: Any) -> None:
        for known in (self._creators, self._requesters, self._decided, self._waived):
            for key in [one for one in known if which(one)]:
                del known[key]

    def _rename(self, old: str, new: str) -> None:
        for known in (self._creators, self._requesters, self._decided, self._waived):
            for key in [one for one in known if one[0] == old]:
                known[new, key[1]] = known.pop(key)  # pyright: ignore[reportArgumentType]

    def _unended(self, model: str, kind: str) -> Iterator[Mapping[str, Any]]:
        for body in reversed(list(self._open.values())):
            if body["change"]["kind"] == kind and body["change"].get("model") == model:
                yield body

    def _unended_tag(self, model: str, version: str, key: str, tags: Mapping[str, str]) -> str | None:
        wanted = (version, key, shortened(tags.get(key, "")))
        for body in self._unended(model, "set_version_tag"):
            change = body["change"]
            if body.get("ours") and wanted == (change["version"], change["key"], change["value"]):
                return body["user"]
        return None


def shortened(text: str) -> str:
    """A tag's value as the ledger keeps it: MLflow allows a hundred thousand characters."""
    return text if len(text) <= 2000 else f"{text[:1000]}… ({len(text)} characters)"


def _asks(value: str | None) -> bool:
    return value == "requested"


def _key(change: Mapping[str, Any]) -> Key:
    return change.get("model", ""), change.get("version", "")


def _tags(body: Mapping[str, Any]) -> Mapping[str, str]:
    return body["change"].get("tags", {})


def _same_key(body: Mapping[str, Any], tags: Mapping[str, str]) -> bool:
    key = _tags(body).get("nightshift.key")
    return key is not None and key == tags.get("nightshift.key")
