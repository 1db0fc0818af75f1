"""What the guard's rules share: users, what is known about a change, guarded names, and how to say things."""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple, get_args

from infra.registry_guard.approval_spec import ApprovalSpec
from infra.registry_guard.changes import Change

Role = Literal["trainer", "approver", "service", "reader", "admin"]
ROLES: tuple[str, ...] = get_args(Role)

ALIASES = frozenset({"champion", "previous", "anchor"})
PREFIX = "nightshift."

# what binds a version to its evidence: once set, never changed, by nobody
WRITE_ONCE = frozenset(
    PREFIX + name
    for name in (
        "key", "role", "night", "night_name", "verdict", "promotable", "waivable", "evidence", "recipe", "snapshot",
        "preferences", "champion", "anchor", "model", "model_ref", "trained_on", "cost", "quantise",
    )
)  # fmt: skip
DECISIONS = frozenset(
    {"approval", "approval.note", "approval.expires", "approval.by", "approval.at", "waiver", "waiver.by"}
)


class User(NamedTuple):
    name: str
    role: str
    group: str = ""  # of an approver, where a policy tells them apart


# the guard's own lines in the ledger: who decided and when, which it writes beside a decision
GUARD = User("guard", "guard")


def user_of(name: str, role: str) -> User:
    """An account with its role as the roles file says it, such as ``approver:leads``."""
    base, _, group = role.partition(":")
    return User(name, base, group)


class State(NamedTuple):
    """What is known when the request comes in; who did what is from the ledger, as a tag could be forged."""

    now: datetime
    ours: bool = True  # a version or the model carries a nightshift.* tag
    tags: Mapping[str, str] = {}  # of the version the change is about
    aliases: Mapping[str, str] = {}  # the three, where they are set: alias → version
    creator: str | None = None
    requesters: frozenset[str] = frozenset()
    decided_by: str | None = None  # who approved or rejected last
    waived_by: str | None = None
    served: frozenset[str] = frozenset()  # versions `champion` pointed to
    approvals: frozenset[str] = frozenset()  # people who approved since it was last decided otherwise
    automatic: bool = False  # the service account approved by the policy's own rule
    policy: ApprovalSpec = ApprovalSpec()


def reason_of(value: str) -> str:
    """The reason in ``rejected: reason``, or nothing."""
    return value.removeprefix("rejected:").strip() if value.startswith("rejected:") else ""


def time_of(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo else None


def canonical(name: str) -> str:
    """As a reader, or a database that compares without case, takes a name."""
    return unicodedata.normalize("NFKC", name).casefold().strip()


def who(user: User) -> str:
    return f"{user.name} ({user.role})"


def name_or_nobody(name: str | None) -> str:
    return name or "nobody it knows"


def words(change: Change) -> str:
    version = f"version {change.version} of {change.model}"
    match change.kind:
        case "set_alias":
            return f"move alias {change.alias} of {change.model} to version {change.version}"
        case "delete_alias":
            return f"delete alias {change.alias} of {change.model}"
        case "set_version_tag":
            return f"set {change.key} = {change.value!r:.60} of {version}"
        case "set_model_tag":
            return f"set {change.key} = {change.value!r:.60} of {change.model}"
        case "delete_version_tag":
            return f"delete tag {change.key} of {version}"
        case "delete_model_tag":
            return f"delete tag {change.key} of {change.model}"
        case "create_version":
            return f"register a version of {change.model}"
        case "transition_stage":
            return f"move {version} to another stage"
        case "update_version" | "delete_version":
            return f"{change.kind.split('_')[0]} {version}"
        case _:
            return f"{change.kind.replace('_', ' ')} {change.model}".strip()
