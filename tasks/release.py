"""What happens to a version after the night: who must approve it, where it is deployed, who is told.

Part of a recipe for people to write and review; what counts is the copy that an operator recorded in the registry
(``nightshift policy``), where whoever registers versions can't change it.
"""

import re
from typing import Literal

from pydantic import Field, model_validator

from infra.digest import Record

ROLE = r"^approver(:[a-z0-9-]+)?$"


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

    @model_validator(mode="after")
    def _roles_exist(self) -> "ApprovalSpec":
        for role in (*self.roles, *self.waiver_roles):
            if not re.fullmatch(ROLE, role):
                raise ValueError(f"{role!r} is no approver's role: write `approver` or `approver:GROUP`")
        return self


class DeploySpec(Record):
    """Where a promoted version goes, and who hears of it."""

    form: Literal["merged", "adapter"] = Field(
        default="merged", description="what is exported: the merged model, or the adapter alone"
    )
    export: str | None = Field(
        default=None, description="folder or `s3://bucket/prefix` that promoted versions are exported to"
    )
    targets: tuple[str, ...] = Field(
        default=(), description="deployment targets to point to it, `type/name` of Prefect blocks; they need `export`"
    )
    notify: tuple[str, ...] = Field(
        default=(), description="who is told of requests, promotions and incidents: `type/name` of Prefect blocks"
    )

    @model_validator(mode="after")
    def _targets_need_an_export(self) -> "DeploySpec":
        if self.targets and not self.export:
            raise ValueError("deploy.targets need deploy.export: a target points to what was exported")
        return self


class ReleasePolicy(Record):
    """Both, as recorded in the registry on the registered model (tag ``nightshift.policy``)."""

    approval: ApprovalSpec = ApprovalSpec()
    deploy: DeploySpec = DeploySpec()


POLICY_TAG = "nightshift.policy"
