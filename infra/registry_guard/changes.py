"""A request that changes the registry, as one record. What could be read in two ways is refused, not interpreted.

MLflow takes the last of two equal keys, the JSON name of a field beside its own, a version spelt ``01``, and its
basic-auth looks for parameters in another place than its handlers: each of these would let the guard judge one thing
while MLflow does another.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from infra.registry_guard.routes import SERVER_KINDS

_MOST_BYTES = 1_000_000  # MLflow allows 100,000 characters a tag; what is refused is written down too
_VERSION = re.compile(r"[1-9][0-9]{0,8}")  # as far as a database's integer goes

# what must be there; every name is spelt the same in protobuf and in JSON but `new_name`
_REQUIRED: dict[str, tuple[str, ...]] = {
    "create_model": ("name",),
    "rename_model": ("name", "new_name"),
    "update_model": ("name",),
    "delete_model": ("name",),
    "set_model_tag": ("name", "key", "value"),
    "delete_model_tag": ("name", "key"),
    "set_alias": ("name", "alias", "version"),
    "delete_alias": ("name", "alias"),
    "create_version": ("name",),
    "update_version": ("name", "version"),
    "transition_stage": ("name", "version"),
    "delete_version": ("name", "version"),
    "set_version_tag": ("name", "version", "key", "value"),
    "delete_version_tag": ("name", "version", "key"),
}
_GUARDED = ("name", "version", "key", "value", "alias", "new_name", "tags")

# what the ledger keeps of changes to users and webhooks: an allow-list, so that no password or secret gets in
_DETAILS = (
    "username", "is_admin", "name", "workspace", "role_id", "role_permission_id", "resource_type", "resource_pattern",
    "permission", "status", "events",
)  # fmt: skip


class Change(NamedTuple):
    """What a request asks for. Empty where it doesn't apply."""

    kind: str
    model: str = ""
    version: str = ""
    key: str = ""
    value: str = ""
    alias: str = ""
    new_name: str = ""
    tags: Mapping[str, str] = {}
    details: Mapping[str, Any] = {}


class _Unreadable(ValueError):
    pass


def read_change(
    kind: str, body: bytes, query: Sequence[tuple[str, str]] = (), path: Mapping[str, str] | None = None
) -> Change | str:
    """The change, or one sentence that says why the request can't be read.

    Args:
        body: as it came in.
        query: all parameters of the URL, also repeated ones.
        path: parameters in the route's path.
    """
    try:
        if kind in SERVER_KINDS:
            return Change(kind, details=_details(body, query, path or {}))
        fields = _fields(_object(body, kind), query, _REQUIRED[kind])
        tags = _tags(fields.pop("tags", None))
    except _Unreadable as error:
        return str(error)
    fields["model"] = fields.pop("name")
    return Change(kind, tags=tags, **fields)


def graphql_refusal(body: bytes) -> str | None:
    """Why a GraphQL request is refused, or None: it must be one JSON object whose query only reads.

    The words decide, not a parser: a document without the word can't hold a mutation. One that has it as a name or in
    a text is refused too; MLflow's pages ask no such thing.
    """
    try:
        query = _object(body, "graphql").get("query")
    except _Unreadable as error:
        return str(error)
    if not isinstance(query, str):
        return f"the GraphQL query is {query!r:.80}, not a text; send one query as a JSON object"
    if re.search(r"\b(mutation|subscription)\b", query):
        return (
            "a GraphQL mutation may change nothing on this server; use the REST routes, which are checked and recorded"
        )
    return None


def _object(body: bytes, kind: str) -> dict[str, Any]:
    if len(body) > _MOST_BYTES:
        raise _Unreadable(f"the body of {kind} has {len(body)} bytes; send at most {_MOST_BYTES}")
    try:
        found = json.loads(body, object_pairs_hook=_once) if body.strip() else {}
    except (ValueError, RecursionError) as error:
        if isinstance(error, _Unreadable):
            raise
        raise _Unreadable(f"the body of {kind} is no JSON ({error}); send one JSON object") from None
    if not isinstance(found, dict):
        raise _Unreadable(f"the body of {kind} is {found!r:.60}, not an object; send one JSON object")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _Unreadable(f"the JSON says {key!r} twice; say it once")
        found[key] = value
    return found


def _fields(given: dict[str, Any], query: Sequence[tuple[str, str]], required: tuple[str, ...]) -> dict[str, Any]:
    if "newName" in given:
        if "new_name" in given:
            raise _Unreadable("the JSON says 'new_name' and 'newName'; say one of them")
        given["new_name"] = given.pop("newName")
    found = {name: given[name] for name in _GUARDED if given.get(name) is not None}
    for name, value in query:
        if name in {*_GUARDED, "newName"} and found.get(name) != value:
            raise _Unreadable(
                f"{name} is {value!r} in the URL and {found.get(name)!r} in the body; say it in the body only"
            )
    for name in required:
        if name not in found:
            raise _Unreadable(f"{name} is missing; send it in the JSON body")
    for name, value in found.items():
        if name != "tags":
            _check_text(name, value)
    # an empty name is MLflow's to refuse, but must not be taken for "no model" here
    if not found["name"]:
        raise _Unreadable("name is empty; say which model")
    if "version" in found and not _VERSION.fullmatch(found["version"]):
        raise _Unreadable(f"version is {found['version']!r}; write it as a plain number, such as '3'")
    return found


def _tags(given: Any) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, list):
        raise _Unreadable(f"tags are {given!r:.60}, not a list; send a list of key and value")
    found: dict[str, str] = {}
    for tag in given:
        if not isinstance(tag, dict) or not {"key"} <= tag.keys() <= {"key", "value"}:
            raise _Unreadable(f"a tag is {tag!r:.60}; send key and value")
        key, value = tag["key"], tag.get("value", "")
        _check_text("a tag's key", key)
        _check_text(f"the tag {key!r}", value)
        if key in found:
            raise _Unreadable(f"the tag {key!r} is given twice; give it once")
        found[key] = value
    return found


def _check_text(name: str, value: Any) -> None:
    if not isinstance(value, str):
        raise _Unreadable(f"{name} is {value!r:.60}, not a text; send it in quotes")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Unreadable(f"{name} is {value!r:.60}, which is no Unicode text; send it as UTF-8") from None


def _details(body: bytes, query: Sequence[tuple[str, str]], path: Mapping[str, str]) -> dict[str, Any]:
    try:
        given: dict[str, Any] = _object(body, "the request")
    except _Unreadable:
        # the page that creates a user sends a form
        given = {key: values[0] for key, values in parse_qs(body[:_MOST_BYTES].decode("utf-8", "replace")).items()}
    given = {**dict(query), **given, **path}
    found = {name: _plain(given[name]) for name in _DETAILS if given.get(name) is not None}
    if webhook := path.get("webhook_id"):
        found["webhook_id"] = webhook
    if host := _host(given.get("url")):
        found["host"] = host
    return found


def _host(url: Any) -> str:
    """A webhook's address may carry its secret in the user's place or behind the host: only the host is kept."""
    try:
        return _plain(urlsplit(url).hostname or "") if isinstance(url, str) else ""
    except ValueError:
        return ""


def _plain(value: Any) -> Any:
    """As text or a truth value, short, and writable whatever it was."""
    if isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text.encode("utf-8", "replace").decode()[:500]
