"""What MLflow's registry says about the thing a request wants to change, before and after."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from infra.registry_guard.approval_spec import POLICY_TAG, approval_spec
from infra.registry_guard.changes import Change
from infra.registry_guard.facts import Facts
from infra.registry_guard.tables import alias_rows, model_tag_row, version_row
from infra.registry_guard.terms import ALIASES, PREFIX, State, canonical

_ABSENT = {ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE)}
_ALIAS_KINDS = {"set_alias", "delete_alias", "delete_version", "delete_model"}
_PAGE = 10_000


class Seen(NamedTuple):
    """One look at the registry."""

    tags: Mapping[str, str] = {}  # the version's
    created: str = ""  # MLflow's time of the version's creation
    aliases: Mapping[str, str] = {}  # the three, and the one the change is about
    shown: Mapping[str, Any] = {}  # what the change changes, for the ledger
    policy: str | None = None  # as recorded on the model, where the change is one that it decides on


class _Version(NamedTuple):
    tags: Mapping[str, str]
    created: str
    description: str
    stage: str


def see(store: Any, change: Change) -> Seen:
    """Look at what a change is about; only as far as its kind needs, as every look is a query.

    Args:
        store: MLflow's registry store, in its server.
    """
    version = _version(store, change.model, change.version) if change.version else None
    wanted = {*ALIASES, change.alias} - {""} if change.kind in _ALIAS_KINDS else set()
    aliases = _aliases(store, change.model, wanted) if wanted else {}
    shown = _shown(store, change, version, aliases)
    policy = _policy(store, change.model) if _needs_policy(change) else None
    if version is None:
        return Seen(aliases=aliases, shown=shown, policy=policy)
    return Seen(version.tags, version.created, aliases, shown, policy)


def _needs_policy(change: Change) -> bool:
    decided = change.kind == "set_version_tag" and change.key.startswith(("approval", "waiver"))
    return decided or change.kind == "create_version" or change.alias == "champion"


def _policy(store: Any, model: str) -> str | None:
    if isinstance(store, SqlAlchemyStore):
        return model_tag_row(store, model, POLICY_TAG)
    found = _present(lambda: store.get_registered_model(model))
    return found.tags.get(POLICY_TAG) if found else None


def _version(store: Any, model: str, number: str) -> _Version | None:
    if isinstance(store, SqlAlchemyStore):
        row = version_row(store, model, number)
        if row is None:
            return None
        tags = {key: value or "" for key, value in row.tags.items()}
        return _Version(tags, str(row.created), row.description or "", row.stage or "")
    found = _present(lambda: store.get_model_version(model, number))
    if found is None:
        return None
    return _Version(dict(found.tags), str(found.creation_timestamp), found.description or "", found.current_stage)


def _aliases(store: Any, model: str, wanted: set[str]) -> dict[str, str]:
    if isinstance(store, SqlAlchemyStore):
        return alias_rows(store, model, wanted)
    found = {alias: _present(lambda a=alias: store.get_model_version_by_alias(model, a)) for alias in wanted}
    return {alias: str(one.version) for alias, one in found.items() if one}


def _shown(store: Any, change: Change, version: _Version | None, aliases: Mapping[str, str]) -> dict[str, Any]:
    match change.kind:
        case "set_version_tag" | "delete_version_tag":
            return {change.key: version.tags.get(change.key) if version else None}
        case "set_model_tag" | "delete_model_tag":
            model = _present(lambda: store.get_registered_model(change.model))
            return {change.key: model.tags.get(change.key) if model else None}
        case "set_alias" | "delete_alias":
            return {change.alias: aliases.get(change.alias)}
        case "create_model" | "update_model":
            model = _present(lambda: store.get_registered_model(change.model))
            return {"description": model.description or ""} if model else {}
        case "delete_model":
            return {"exists": _present(lambda: store.get_registered_model(change.model)) is not None, **aliases}
        case "delete_version":
            return {"tags": dict(version.tags)} if version else {}
        case "update_version" | "transition_stage":
            return {"description": version.description, "stage": version.stage} if version else {}
        case _:
            return {}


def state_of(change: Change, seen: Seen, facts: Facts, scanned: frozenset[str], now: datetime) -> State:
    """What the policy judges by.

    Args:
        scanned: canonical names of models that had a tag of ours when this process started.
    """
    model, version, tags = change.model, change.version, seen.tags
    approvals = facts.approvals(model, version, tags)
    return State(
        now=now,
        ours=canonical(model) in scanned | facts.ours or any(key.startswith(PREFIX) for key in tags),
        tags=tags,
        aliases={alias: to for alias, to in seen.aliases.items() if alias in ALIASES},
        creator=facts.creator(model, version, tags, seen.created),
        requesters=facts.requesters(model, version, tags, seen.created),
        decided_by=facts.decided_by(model, version, tags),
        waived_by=facts.waived_by(model, version, tags),
        served=facts.served(model),
        approvals=frozenset(name for name, role in approvals.items() if role != "service"),
        automatic="service" in approvals.values(),
        policy=approval_spec(seen.policy),
    )


def models_of_ours(store: Any) -> frozenset[str]:
    """Models with a tag of ours on them or on a version; read once, as later ones come through the guard."""
    versions = _pages(lambda token: store.search_model_versions(max_results=_PAGE, page_token=token))
    models = _pages(lambda token: store.search_registered_models(max_results=1000, page_token=token))
    found = [*versions, *models]
    return frozenset(canonical(one.name) for one in found if any(key.startswith(PREFIX) for key in one.tags))


def _pages(read: Callable[[Any], Any]) -> list[Any]:
    found, token = [], None
    while True:
        page = read(token)
        found += page
        token = page.token
        if not token:
            return found


def _present(read: Callable[[], Any]) -> Any | None:
    try:
        return read()
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise
