"""What happens to a night's version afterwards, as flows: approve, reject, promote, roll back. Each may be run twice.

Who approves is who is logged in: to the machine where the registry is a file, else to MLflow. No parameter says it.
"""

from typing import Annotated

from prefect import flow, get_run_logger
from pydantic import Field

from infra.approver import login_of
from tasks.gate.steps import rotate_items
from tasks.registry import steps as registry

Version = Annotated[int, Field(ge=1, description="The registered version, as the night's summary and MLflow show it.")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="The registered model: the recipe's name.")]
Waiver = Annotated[
    str,
    Field(
        description="Only for INCONCLUSIVE: why it shall be promoted though not everything is proven. "
        "It excuses neither a FAIL or BLOCK nor a bound against the anchor."
    ),
]
Approver = Annotated[
    str,
    Field(
        description="The Nightshift Approver block to log in to MLflow with; empty: who is logged in where this runs."
    ),
]
To = Annotated[int | None, Field(ge=1, description="The version to go back to; empty: the one before.")]
RecipePath = Annotated[str, Field(pattern=r"^[\w./-]+\.toml$", description="Recipe file, from the checkout's root.")]
Suites = Annotated[list[str], Field(description="The suites to rotate; empty: all that have a rotation plan.")]
Reason = Annotated[str, Field(min_length=1, description="Why, for the record.")]
MaybeReason = Annotated[str, Field(description="Why, for the record.")]


@flow(name="approve", description="Approve a version that awaits it; its promotion follows by itself.")
def approve(version: Version, name: Name = "demo", waive: Waiver = "", approver: Approver = "") -> str:
    """Approve, and see what becomes of it."""
    log = get_run_logger()
    log.info(registry.approve(name, version, waive, login_of(approver)))
    outcome = registry.promoted_soon(name, version, log.info)
    log.info(outcome)
    return outcome


@flow(name="reject", description="Record that a version must not be promoted, and why.")
def reject(version: Version, reason: Reason, name: Name = "demo", approver: Approver = "") -> str:
    """Reject."""
    outcome = registry.reject(name, version, reason, login_of(approver))
    get_run_logger().info(outcome)
    return outcome


@flow(name="promote", description="Check an approved version's evidence again, and make it the champion.")
def promote(version: Version, name: Name = "demo") -> str:
    """Promote."""
    return registry.promote(name, version, get_run_logger().info)


@flow(name="rollback", description="Make the previous champion, or an earlier one, serve again.")
def rollback(name: Name = "demo", to: To = None, reason: MaybeReason = "") -> str:
    """Roll back."""
    return registry.rollback(name, reason, to, get_run_logger().info)


@flow(name="reanchor", description="Make the champion the anchor: its loss is added to the lifetime loss, by name.")
def reanchor(reason: Reason, name: Name = "demo") -> str:
    """Re-anchor."""
    outcome = registry.reanchor(name, reason)
    get_run_logger().info(outcome)
    return outcome


@flow(name="rotate", description="Retire a share of the gate's items and let fresh ones in, from the next night on.")
def rotate(reason: Reason, recipe: RecipePath = "recipes/demo.toml", suites: Suites = []) -> str:  # noqa: B006
    """Rotate the items of these suites, or of all that can be."""
    outcome = rotate_items(recipe, tuple(suites), reason)
    get_run_logger().info(outcome)
    return outcome
