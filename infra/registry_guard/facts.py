"""Who did what to which version, folded from the ledger's lines: tags can be forged, lines can't be unseen."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from infra.digest import digest_bytes
from infra.ledger import TOLERANCE, Entry
from infra.registry_guard.terms import PREFIX, canonical

Key = tuple[str, str]  # model, version

_FAILED = 400
_UNSURE = 500


class Facts:
    """Grows with the ledger. A change that was asked for and never ended (a crash) still counts where it is seen."""

    def __init__(self) -> None:
        self.ours: set[str] = set()  # canonical names: a database may compare without case
        self._creators: dict[Key, tuple[str, str]] = {}  # who, and MLflow's time of creation
        self._requesters: dict[Key, set[str]] = {}
        self._decided: dict[Key, str] = {}
        self._waived: dict[Key, str] = {}
        self._approved: dict[Key, dict[str, str]] = {}  # who approved since it was last decided otherwise, with role
        self._served: dict[str, set[str]] = {}
        self._open: dict[str, Mapping[str, Any]] = {}

    def add(self, entry: Entry) -> None:
        body = entry.body
        if entry.kind == "asked":
            self._open[body["request"]] = {**body, "at": entry.at}
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
        return next((body["user"] for body in self._cut_off(model, tags, created)), None)

    def requesters(self, model: str, version: str, tags: Mapping[str, str], created: str) -> frozenset[str]:
        found = set(self._requesters.get((model, version), ()))
        asked = self._cut_off(model, tags, created)
        found |= {body["user"] for body in asked if _asks(_tags(body).get("approval"))}
        return frozenset(found)

    def decided_by(self, model: str, version: str, tags: Mapping[str, str]) -> str | None:
        """Who approved or rejected last, as far as the tag still says so."""
        return self._unended_tag(model, version, "approval", tags) or self._decided.get((model, version))

    def approvals(self, model: str, version: str, tags: Mapping[str, str]) -> Mapping[str, str]:
        """Who approved, with the role they had then, since the version was last decided otherwise."""
        if tags.get("approval") != "approved":
            return {}
        found = dict(self._approved.get((model, version), {}))
        for body in self._unended(model, "set_version_tag"):
            change = body["change"]
            if body.get("ours") and (change["version"], change["key"], change["value"]) == (
                version, "approval", "approved",
            ):  # fmt: skip
                found[body["user"]] = body["role"]
        return found

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
            self.ours.add(canonical(model))
        if kind == "create_version":
            key = (model, str(after.get("version", "")))
            self._forget(lambda one: one == key)
            self._creators[key] = (user, str(after.get("created", "")))
            if _asks(_tags(asked).get("approval")):
                self._requesters.setdefault(key, set()).add(user)
        elif kind == "set_version_tag":
            self._overwrite(change)
            # a decision on a version that wasn't ours then went past the rules for decisions
            if asked.get("ours"):
                self._decide(change, user, asked.get("role", ""))
        elif kind == "set_alias" and change["alias"] == "champion" and asked.get("ours"):
            before = (asked.get("before") or {}).get("champion")  # it served, also where this guard didn't see it move
            self._served.setdefault(model, set()).update({change["version"], *([before] if before else [])})
        elif kind == "delete_version":
            self._forget(lambda one: one == _key(change))
        elif kind == "delete_model":
            self._forget(lambda one: one[0] == model)
            self._served.pop(model, None)
            self.ours.discard(canonical(model))
        elif kind == "rename_model":
            self._rename(model, change["new_name"])

    def _decide(self, change: Mapping[str, Any], user: str, role: str) -> None:
        key = _key(change)
        if change["key"] == "waiver":
            self._waived[key] = user
        elif change["key"] == "approval" and not _asks(change["value"]):
            self._decided[key] = user
            if change["value"] == "approved":
                self._approved.setdefault(key, {})[user] = role
            else:
                self._approved.pop(key, None)

    def _forget(self, which: Any) -> None:
        for known in (self._creators, self._requesters, self._decided, self._waived, self._approved):
            for key in [one for one in known if which(one)]:
                del known[key]

    def _rename(self, old: str, new: str) -> None:
        for known in (self._creators, self._requesters, self._decided, self._waived, self._approved):
            for key in [one for one in known if one[0] == old]:
                known[new, key[1]] = known.pop(key)  # pyright: ignore[reportArgumentType]

    def _unended(self, model: str, kind: str) -> Iterator[Mapping[str, Any]]:
        for body in reversed(list(self._open.values())):
            if body["change"]["kind"] == kind and body["change"].get("model") == model:
                yield body

    def _cut_off(self, model: str, tags: Mapping[str, str], created: str) -> Iterator[Mapping[str, Any]]:
        """Registrations without an end that may have made this version: asked for before it was made, the same key."""
        key = tags.get("nightshift.key")
        if key is None or not created.isdecimal():
            return
        for body in self._unended(model, "create_version"):
            asked = datetime.fromisoformat(body["at"]) - TOLERANCE
            if _tags(body).get("nightshift.key") == key and asked.timestamp() * 1000 <= int(created):
                yield body

    def _overwrite(self, change: Mapping[str, Any]) -> None:
        """A tag that was set again: an earlier request for it that never ended says nothing any more."""
        for request, body in list(self._open.items()):
            one = body["change"]
            if one["kind"] == "set_version_tag" and (*_key(one), one["key"]) == (*_key(change), change["key"]):
                del self._open[request]

    def _unended_tag(self, model: str, version: str, key: str, tags: Mapping[str, str]) -> str | None:
        wanted = (version, key, shortened(tags.get(key, "")))
        for body in self._unended(model, "set_version_tag"):
            change = body["change"]
            if body.get("ours") and wanted == (change["version"], change["key"], change["value"]):
                return body["user"]
        return None


def shortened(text: str) -> str:
    """A tag's value as the ledger keeps it: MLflow allows a hundred thousand characters; the digest is of them all."""
    if len(text) <= 2000:
        return text
    return f"{text[:1000]}… ({len(text)} characters, {digest_bytes(text.encode())})"


def _asks(value: str | None) -> bool:
    return value == "requested"


def _key(change: Mapping[str, Any]) -> Key:
    return change.get("model", ""), change.get("version", "")


def _tags(body: Mapping[str, Any]) -> Mapping[str, str]:
    return body["change"].get("tags", {})
