"""Who may change what in the model registry. Pure: a user, a change and the state it meets; a reason or nothing.

What isn't allowed here by name is refused. Models without a ``nightshift.*`` tag belong to others: MLflow's own
permissions decide on them, and this returns None.
"""

from collections.abc import Callable

from infra.errors import BadSetting
from infra.registry_guard.approval_spec import POLICY_TAG, approval_spec
from infra.registry_guard.changes import Change
from infra.registry_guard.routes import SERVER_KINDS
from infra.registry_guard.terms import (
    ALIASES,
    DECISIONS,
    PREFIX,
    State,
    User,
    canonical,
    name_or_nobody,
    who,
    words,
)
from infra.registry_guard.version_tags import expiry_problem, refuse_tag


def refuse(user: User, change: Change, state: State) -> str | None:
    """Why this user may not make this change now, in one sentence with the next action; or None."""
    if change.kind in SERVER_KINDS:
        return _server(user, change)
    if not (state.ours or claims_ours(change)):
        return None
    rule = _RULES.get(change.kind)
    if rule is None:
        return f"{change.kind} of {change.model} is not known to the guard; decide on it in the guard's policy"
    return _disguised(change) or rule(user, change, state)


def claims_ours(change: Change) -> bool:
    """Whether the change itself would make a model one of ours."""
    return any(canonical(key).startswith(PREFIX) for key in (change.key, *change.tags))


def _server(user: User, change: Change) -> str | None:
    own = change.kind == "set_password" and change.details.get("username") == user.name
    # the promotion service keeps its own webhook
    if own or user.role == "admin" or (user.role == "service" and "webhook" in change.kind):
        return None
    return f"{who(user)} may not {words(change)}: only an admin may; ask one"


def _disguised(change: Change) -> str | None:
    """A name that a database or a reader could take for a guarded one, such as ``Champion``."""
    for name in (change.alias, change.key, *change.tags):
        plain = canonical(name)
        guarded = plain in ALIASES | DECISIONS or plain.startswith(PREFIX)
        if guarded and plain != name:
            return f"{name!r} looks like {plain!r} and is another name; use {plain!r} itself"
    return None


# --- models, versions and aliases ---


def _never(user: User, change: Change, state: State) -> str | None:
    instead = {
        "rename_model": "register a model under the new name",
        "transition_stage": "approve the version; aliases say what serves",
        "delete_version_tag": "set the tag to another value, where that is allowed",
        "delete_model_tag": "set the tag to another value, where that is allowed",
    }
    return f"nobody may {words(change)}, as its evidence is bound to it; {instead[change.kind]}"


def _service_only(user: User, change: Change, state: State) -> str | None:
    sets_policy = change.kind == "set_model_tag" and change.key == POLICY_TAG
    if sets_policy and user.role in {"service", "admin"}:
        return _policy_problem(change)
    if user.role != "service":
        return f"{who(user)} may not {words(change)}: only the service account may; ask the operator"
    if change.kind == "set_model_tag" and not change.key.startswith(PREFIX):
        return f"the service account may not {words(change)}: it may set nightshift.* tags only; choose such a key"
    return None


def _policy_problem(change: Change) -> str | None:
    try:
        approval_spec(change.value)
    except BadSetting as error:
        return f"{POLICY_TAG} of {change.model} may not be {change.value!r:.60}: {error.what}; {error.do}"
    return None


def _create_model(user: User, change: Change, state: State) -> str | None:
    if user.role in {"trainer", "service"}:
        return None
    return f"{who(user)} may not {words(change)}: trainers register models; use a trainer's account"


def _create_version(user: User, change: Change, state: State) -> str | None:
    if user.role not in {"trainer", "service"}:
        return f"{who(user)} may not {words(change)}: trainers register versions; use a trainer's account"
    for key, value in change.tags.items():
        if key.startswith(PREFIX) or (key == "approval" and value == "requested"):
            continue
        if key == "approval.expires":
            if problem := expiry_problem(value, state):
                return problem
            continue
        return (
            f"a new version of {change.model} may not carry {key} = {value!r:.60}: only nightshift.* tags, "
            "approval = requested and approval.expires; leave it out"
        )
    if change.tags.get("approval") and "approval.expires" not in change.tags:
        return f"a request for approval of a version of {change.model} has no end; send approval.expires with it"
    if user.role == "service" and change.tags.get("nightshift.role") == "candidate":
        return f"the service account may not register a candidate of {change.model}; use a trainer's account"
    return None


def _update_version(user: User, change: Change, state: State) -> str | None:
    if user.role == "service" or (user.role == "trainer" and state.creator == user.name):
        return None
    return (
        f"{who(user)} may not {words(change)}: only who registered it ({name_or_nobody(state.creator)}) may; ask them"
    )


def _set_alias(user: User, change: Change, state: State) -> str | None:
    if change.alias not in ALIASES:
        if user.role in {"service", "admin"}:
            return None
        return f"{who(user)} may not {words(change)}: the service account and admins may; ask an admin"
    if user.role != "service":
        return (
            f"{who(user)} may not {words(change)}: only the service account moves it, along checked evidence; "
            "let the version be approved, and it is promoted"
        )
    if change.kind == "delete_alias" and change.alias != "previous":
        return f"nobody may {words(change)}: without it the gate blocks every night; move it instead"
    return _target_problem(change, state) if change.kind == "set_alias" else None


def _target_problem(change: Change, state: State) -> str | None:
    """The service account carries out what an approver decided, or goes back to what served; nothing else.

    `previous` and `anchor` follow `champion`: pointed anywhere else, they would be a way to it.
    """
    champion, version, alias = state.aliases.get("champion"), change.version, change.alias
    served = version in state.served or version in {champion, state.aliases.get(alias)}
    if served or (alias == "champion" and version == state.aliases.get("previous")):
        return None
    if alias not in state.aliases and alias != "previous" and state.tags.get("nightshift.role") == "base":
        return None  # init
    if alias != "champion":
        return f"{alias} of {change.model} may not move to version {version}, which never served; promote it first"
    if state.tags.get("approval") == "approved" and state.decided_by is not None:
        have, need = len(state.approvals), state.policy.approvers
        if have >= need or state.automatic:
            return None
        return (
            f"champion of {change.model} may not move to version {version}: {have} of {need} approvers approved it "
            f"({', '.join(sorted(state.approvals))}); let another approver decide"
        )
    return (
        f"champion of {change.model} may not move to version {version}, which nobody approved through "
        f"this server (approval = {state.tags.get('approval', 'not set')}), and which never served; let it be approved"
    )


def _delete(user: User, change: Change, state: State) -> str | None:
    if user.role != "admin":
        return f"{who(user)} may not {words(change)}: only an admin may; ask one"
    held = sorted(
        alias for alias, version in state.aliases.items() if change.kind == "delete_model" or version == change.version
    )
    if held:
        return f"nobody may {words(change)} while {', '.join(held)} points to it; move the alias first"
    return None


_RULES: dict[str, Callable[[User, Change, State], str | None]] = {
    "create_model": _create_model,
    "rename_model": _never,
    "update_model": _service_only,
    "delete_model": _delete,
    "set_model_tag": _service_only,
    "delete_model_tag": _never,
    "create_version": _create_version,
    "update_version": _update_version,
    "transition_stage": _never,
    "delete_version": _delete,
    "set_version_tag": refuse_tag,
    "delete_version_tag": _never,
    "set_alias": _set_alias,
    "delete_alias": _set_alias,
}
