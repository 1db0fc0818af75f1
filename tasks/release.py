"""What happens to a version after the night: who must approve it, where it is deployed, who is told.

Part of a recipe for people to write and review; what counts is the copy that an operator recorded in the registry
(``nightshift policy``), where whoever registers versions can't change it.
"""

from typing import Literal

from pydantic import Field, ValidationError, model_validator

from infra.digest import Record
from infra.registry_guard.approval_spec import POLICY_TAG, ApprovalSpec, AutoApproval
from tasks.errors import RegistryError


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


def release_policy(tag: str | None) -> ReleasePolicy:
    """The recorded policy, or the default one where none was recorded.

    Raises:
        RegistryError: it can't be read.
    """
    if tag is None:
        return ReleasePolicy()
    try:
        return ReleasePolicy.model_validate_json(tag)
    except ValidationError as error:
        raise RegistryError(
            f"the release policy in the registry can't be read: {str(error).splitlines()[0]}",
            do="record it again: `nightshift policy RECIPE`",
        ) from None


__all__ = ["POLICY_TAG", "ApprovalSpec", "AutoApproval", "DeploySpec", "ReleasePolicy", "release_policy"]
