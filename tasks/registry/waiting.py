"""What the promotion service has to do, read from the registry; and waiting for it to be done."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from tasks.registry.approval import approvals_missing
from tasks.registry.client import Registry
from tasks.release import ApprovalSpec

Tags = Mapping[str, str]

# what `promote` writes when a version can't be promoted: not tried again by itself
REFUSED_TAG = "nightshift.promotion"

_PATIENCE = 30.0
_POLL_SECONDS = 0.5


class Due(NamedTuple):
    """What a version waits for."""

    what: Literal["promote", "expire", "perhaps approve"]
    version: int
    decided_at: str = ""  # of an approval: names the decision, so that one decision is carried out once


def due(versions: Mapping[int, Tags], policy: ApprovalSpec, now: datetime) -> list[Due]:
    """What there is to do for these versions, oldest first. Pure."""
    found = []
    for number, tags in sorted(versions.items()):
        approval = tags.get("approval")
        if approval == "requested" and expired(tags, now):
            found.append(Due("expire", number))
        elif approval == "requested" and policy.auto is not None:
            found.append(Due("perhaps approve", number))
        elif approval == "approved" and not _dealt_with(tags) and approvals_missing(tags, policy) is None:
            found.append(Due("promote", number, tags.get("approval.at", "")))
    return found


def _dealt_with(tags: Tags) -> bool:
    return "nightshift.promoted" in tags or REFUSED_TAG in tags


def expired(tags: Tags, now: datetime) -> bool:
    """Whether nobody can approve it any more; a time that can't be read counts as over."""
    text = tags.get("approval.expires")
    if text is None:
        return False
    try:
        return not now.astimezone(UTC) < datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return True


def await_promotion(registry: Registry, number: int, patience: float = _PATIENCE) -> str:
    """Wait until the promotion service has promoted an approved version, or said why it can't."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if registry.alias("champion") == number:
            return f"version {number} of {registry.name} is champion"
        tags = registry.version(number).tags
        if told := tags.get(REFUSED_TAG):
            return f"version {number} of {registry.name} is not promoted: {told}"
        if tags.get("approval") != "approved":
            return f"version {number} of {registry.name} is not promoted: approval = {tags.get('approval')}"
        time.sleep(_POLL_SECONDS)
    return (
        f"the promotion of version {number} has not happened after {patience:.0f} s; the promotion service takes it up "
        "when it runs (`nightshift up`)"
    )
