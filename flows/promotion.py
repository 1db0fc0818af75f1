"""What a person does with a night's version, as flows: promote (approve and move), reject, roll back.

Who did it is who is logged in where the flow runs, never a parameter. Each may be run twice.
"""

from typing import Annotated

from prefect import flow, get_run_logger
from pydantic import Field

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
RecipePath = Annotated[str, Field(pattern=r"^[\w./-]+\.toml$", description="Recipe file, from the checkout's root.")]
Suites = Annotated[list[str], Field(description="The suites to rotate; empty: all that have a rotation plan.")]
Reason = Annotated[str, Field(min_length=1, description="Why, for the record.")]


@flow(name="promote", description="Approve a version that passed, check its evidence again, and make it the champion.")
def promote(version: Version, name: Name = "demo", waive: Waiver = "") -> str:
    """Approve and promote."""
    log = get_run_logger()
    log.info(registry.approve(name, version, waive))
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
