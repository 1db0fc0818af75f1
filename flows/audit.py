"""The registry against its records, every hour, and a rollback drill, every week. Neither repairs anything.

An audit that finds something critical ends as `Failed`, named `Incident`; people are told by the event
`nightshift.incident`, once an incident.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from prefect import State, flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.states import Completed, Failed
from pydantic import Field

from tasks.errors import IncidentFound, NothingToDrill
from tasks.registry import audit_steps as steps
from tasks.registry.audit_words import as_markdown, drills_markdown, headline, summary
from tasks.registry.auditing import Report
from tasks.registry.findings import Finding

EVENT = "nightshift.incident"

Audited = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="The registered model (the recipe's name), or `all`.")
]
Drilled = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", description="The registered model: the recipe's name.")]
Limit = Annotated[float, Field(gt=0, le=3600, description="Seconds that a rollback may take.")]


@flow(
    name="audit", description="Compare the registry with the guard's journal, the ledgers, the manifest and the store."
)
def audit(name: Audited = "all") -> dict[str, Any] | State[Any]:
    """Audit one model, or all of ours; the summary."""
    report = steps.audit(name)
    create_markdown_artifact(as_markdown(report), key="audit", description=headline(report))
    steps.told(announced(report))
    get_run_logger().info(headline(report))
    return ended(report)


@flow(name="drill", description="Prove on a shadow alias that a rollback works, and how long it takes.")
def drill(name: Drilled = "demo", limit: Limit = 10.0) -> dict[str, Any] | State[Any]:
    """Roll a shadow back; the outcome, which is kept in HOME/drills.jsonl."""
    try:
        return steps.drill(name, limit).model_dump()
    except NothingToDrill as error:
        return Completed(name="Skipped", message=error.what)
    finally:
        create_markdown_artifact(drills_markdown(steps.drills()), key="drill", description=f"Rollback drills of {name}")


def announced(report: Report) -> Iterable[str]:
    """Emit an event for every incident that nobody was told of; those that Prefect took."""
    return [one.id for one in report.untold if emit_event(EVENT, resource(one), payload=payload(one)) is not None]


def resource(one: Finding) -> dict[str, str]:
    return {"prefect.resource.id": f"nightshift.incident.{one.id}", "nightshift.model": one.name or "all"}


def payload(one: Finding) -> dict[str, Any]:
    return {"incident": one.id, "name": one.name, "kind": one.kind, "what": one.what, "do": one.do, "held": one.holds}


def ended(report: Report) -> dict[str, Any] | State[Any]:
    """The summary; a state named Incident where something critical was found that nobody accepted."""
    if not report.critical:
        return summary(report)
    first = report.critical[0]
    more = f" (and {len(report.critical) - 1} more)" if len(report.critical) > 1 else ""
    error = IncidentFound(f"{first.what}{more}", do=first.do, summary=summary(report))
    return Failed(name="Incident", message=f"{error.what}\n  -> {error.do}", data=error)
