"""What a person does with a night's version, as flows: promote (approve and move), reject, roll back.

Who did it is who is logged in where the flow runs, never a parameter. Each may be run twice.
"""

from typing import Annotated

from prefect import flow, get_run_logger
from pydantic import Field

from tasks.registry import steps as registry

Version = Annotated[int, Field(ge=1, description="The registered version, as the night's summary and MLflow show it.")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="The registered model: the recipe's name.")]
Reason = Annotated[str, Field(min_length=1, description="Why, for the record.")]


@flow(name="promote", description="Approve a version that passed, check its evidence again, and make it the champion.")
def promote(version: Version, name: Name = "demo") -> str:
    """Approve and promote."""
    log = get_run_logger()
    log.info(registry.approve(name, version))
    outcome = registry.promote(name, version)
    log.info(outcome)
    return outcome


@flow(name="reject", description="Record that a version must not be promoted, and why.")
def reject(version: Version, reason: Reason, name: Name = "demo") -> str:
    """Reject."""
    outcome = registry.reject(name, version, reason)
    get_run_logger().info(outcome)
    return outcome


@flow(name="rollback", description="Make the previous champion serve again.")
def rollback(name: Name = "demo") -> str:
    """Roll back."""
    outcome = registry.rollback(name)
    get_run_logger().info(outcome)
    return outcome
