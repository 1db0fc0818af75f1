"""Who decides on a version and until when: part of a recipe, and what the guard judges by once it is recorded."""

import json
import re
from typing import Any

from pydantic import Field, ValidationError, field_validator

from infra.digest import Record
from infra.errors import BadSetting

# on the registered model; only the service account and admins may set it
POLICY_TAG = "nightshift.policy"

_ROLE = re.compile(r"approver(:[a-z0-9][a-z0-9-]*)?")


class AutoApproval(Record):
    """When the service account may approve by itself. Every condition must hold; there is none by default."""

    lower_bounds_above: float = Field(
        default=0.0, ge=0, lt=1, description="every suite's lower bound against the champion must be above this"
    )
    max_amount: float = Field(gt=0, description="the night may have cost at most this, in the price book's currency")


class ApprovalSpec(Record):
    """Who decides on a version, and until when."""

    approvers: int = Field(default=1, ge=1, le=9, description="how many different people must approve")
    roles: tuple[str, ...] = Field(
        default=("approver",), min_length=1, description="who may: `approver` (any of them), or `approver:GROUP`"
    )
    requester_may_approve: bool = Field(
        default=False, description="whether who registered a version or asked for its approval may decide on it"
    )
    expires_hours: float = Field(default=72, gt=0, le=24 * 90, description="a request that is older can't be approved")
    waiver_roles: tuple[str, ...] = Field(
        default=("approver",), description="who may waive INCONCLUSIVE with a reason; empty: nobody"
    )
    auto: AutoApproval | None = Field(default=None, description="approval without a person; unset: never")

    @field_validator("roles", "waiver_roles")
    @classmethod
    def _are_approvers(cls, roles: tuple[str, ...]) -> tuple[str, ...]:
        for role in roles:
            if not _ROLE.fullmatch(role):
                raise ValueError(f"{role!r} is no approver's role: write `approver` or `approver:GROUP`")
        return roles


def approval_spec(tag: str | None) -> ApprovalSpec:
    """The recorded policy; the default one where none was recorded.

    Args:
        tag: the value of ``POLICY_TAG``, a JSON object with an ``approval`` in it.

    Raises:
        BadSetting: it can't be read; nothing may be decided by it.
    """
    if tag is None:
        return ApprovalSpec()
    try:
        found: Any = json.loads(tag)
        return ApprovalSpec.model_validate(found["approval"])
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        raise BadSetting(
            f"the approval policy in the registry can't be read ({str(error).splitlines()[0]})",
            do="record it again: `nightshift policy RECIPE`",
        ) from None


def holds_role(role: str, group: str, wanted: tuple[str, ...]) -> bool:
    """Whether an account's role is one of those a policy names; ``approver`` names approvers of every group."""
    return role in wanted or (bool(group) and f"{role}:{group}" in wanted)
