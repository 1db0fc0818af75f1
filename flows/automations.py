"""What the Prefect server does by itself: promote what was approved, end runs that nobody ends, tell of late nights.

Watches over runs are proactive triggers: an event opens a wait, for each run of its own, and the action follows where
none of the expected events came in time. Waits are rows in the server's database, so they outlive its restart.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.events.actions import (
    ActionTypes,
    ChangeFlowRunState,
    DoNothing,
    RunDeployment,
    SendNotification,
)
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from infra.settings import HEARTBEAT_SECONDS

PROMOTE, AUTOMATION = "promote/promote", "nightshift: promote what was approved"
APPROVED = "nightshift.version.approved"

ZOMBIE, NEVER_BEGAN, NEVER_ENDED = (
    "nightshift: end runs that fell silent",
    "nightshift: end runs that never began",
    "nightshift: end runs that don't end when asked",
)
SILENT = timedelta(seconds=6 * HEARTBEAT_SECONDS)
TO_BEGIN = timedelta(minutes=30)  # a process on this machine does it in seconds
TO_END = timedelta(minutes=15)  # Prefect gives a process half a minute
LATE = timedelta(minutes=30)

HEARTBEAT = "prefect.flow-run.heartbeat"
# Names of final states: Prefect's and ours. One that is missing here does no harm: Prefect refuses to crash or to
# cancel what has ended, and what is Cancelling ends as Cancelled only.
ENDS = frozenset(
    f"prefect.flow-run.{name}"
    for name in (
        *("Completed", "Failed", "Crashed", "Cancelled", "TimedOut"),
        *("Skipped", "Planned", "Incident", "Unhealthy", "Interrupted", "OverBudget", "PastDeadline"),
    )
)


# --- pure ---


def promotion(promote: UUID) -> AutomationCore:
    """From the event about an approved version to a run of this deployment."""

    def of_event(field: str) -> dict[str, Any]:
        template = {"__prefect_kind": "jinja", "template": "{{ event.payload." + field + " | tojson }}"}
        return {"__prefect_kind": "json", "value": template}

    return AutomationCore(
        name=AUTOMATION,
        description="Versions that an approver approved become champion, after their evidence is checked again.",
        trigger=EventTrigger(
            expect={APPROVED},
            match=ResourceSpecification({"prefect.resource.id": "nightshift.version.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[
            RunDeployment(
                source="selected",
                deployment_id=promote,
                parameters={"name": of_event("name"), "version": of_event("version")},
                job_variables=None,
            )
        ],
    )


def watches(
    flows: Iterable[str], silent: timedelta = SILENT, to_begin: timedelta = TO_BEGIN, to_end: timedelta = TO_END
) -> list[AutomationCore]:
    """Those over all runs of the flows, with and without a deployment: zombies, runs that never began or never ended.

    Args:
        flows: names. A remote pool's ``gpu-step`` is none of them: its run stands for a job, which sends no heartbeats.
        silent: after which a run that sent heartbeats is taken for dead; ``to_begin``: one that a worker took,
            ``to_end``: one that was cancelled.
    """
    ours = {"prefect.resource.role": "flow", "prefect.resource.name": sorted(flows)}
    again = "look at the worker's and the machine's logs, then run it again: finished steps are reused"
    return [
        _watch(
            ZOMBIE,
            "A run whose process was killed, with whatever would have noticed. It held its deployment's only slot.",
            after={HEARTBEAT},
            expect={HEARTBEAT, *ENDS},
            related=ours,
            within=silent,
            actions=[_crash(f"no heartbeat for {_said(silent)}: its process is gone; {again}")],
        ),
        _watch(
            NEVER_BEGAN,
            "A run that a worker took and never started.",
            after={"prefect.flow-run.Pending"},
            expect={"prefect.flow-run.Running", *ENDS},
            related=ours,
            within=to_begin,
            actions=[_crash(f"a worker took it and did not start it in {_said(to_begin)}; {again}")],
        ),
        _watch(
            NEVER_ENDED,
            "A run that was cancelled while nobody was there to do it.",
            after={"prefect.flow-run.Cancelling"},
            expect=set(ENDS),
            related=ours,
            within=to_end,
            # from Cancelling, Prefect allows no other end: nor can the first of these end such a run
            actions=[
                _end(
                    StateType.CANCELLED,
                    "Cancelled",
                    f"it was cancelled and has not ended in {_said(to_end)}; {again}",
                )
            ],
        ),
    ]


def stuck_name(night: str) -> str:
    return f"nightshift: cancel a stuck night of {night}"


def late_name(night: str) -> str:
    return f"nightshift: a night of {night} is late"


def night_watches(
    night: str, deployment: UUID, hours: float, tell: Iterable[UUID] = (), late: timedelta = LATE
) -> list[AutomationCore]:
    """Those over one nightly deployment: stuck and late nights.

    Args:
        night: the deployment's name.
        hours: after which a night that has begun is cancelled, whatever it does.
        tell: notification blocks (their documents' ids) through which people hear of a late night. Without any the
            server's event ``prefect.automation.triggered`` of this automation is all there is.
        late: after which a night that should have begun is.
    """
    mine = {"prefect.resource.role": "deployment", "prefect.resource.id": f"prefect.deployment.{deployment}"}
    waits = (
        f"A night of {night} has waited {_said(late)} for its start. Does `nightshift up` run, with its worker? "
        "Does another night still run? `nightshift schedule` shows what is paused."
    )
    return [
        _watch(
            stuck_name(night),
            f"The last resort: budgets and deadlines end a night long before these {hours:g} hours.",
            after={"prefect.flow-run.Pending", "prefect.flow-run.Running"},
            expect=set(ENDS),
            related=mine,
            within=timedelta(hours=hours),
            actions=[
                _end(
                    StateType.CANCELLING,
                    "Cancelling",
                    f"still going after {hours:g} h; look at its logs, then run it again: what it finished is reused",
                )
            ],
        ),
        _watch(
            late_name(night),
            waits,
            after={"prefect.flow-run.Late", "prefect.flow-run.AwaitingConcurrencySlot"},
            expect={"prefect.flow-run.Pending", "prefect.flow-run.Running", *ENDS},
            related=mine,
            within=late,
            actions=[
                SendNotification(block_document_id=block, subject=f"Nightshift: {night} is late", body=waits)
                for block in tell
            ]
            or [DoNothing()],
        ),
    ]


def stuck_hours(max_hours: float) -> float:
    """After how many hours a night is stuck: beside those the budget gives the pool, it queues, reads and judges."""
    return max(24.0, max_hours + 12.0)


def _watch(
    name: str,
    description: str,
    *,
    after: set[str],
    expect: set[str],
    related: dict[str, Any],
    within: timedelta,
    actions: list[ActionTypes],
) -> AutomationCore:
    return AutomationCore(
        name=name,
        description=description,
        trigger=EventTrigger(
            after=after,
            expect=expect,
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(related),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=within,
        ),
        actions=actions,
    )


def _crash(message: str) -> ActionTypes:
    return _end(StateType.CRASHED, "Crashed", message)


def _end(state: StateType, name: str, message: str) -> ActionTypes:
    # not forced: Prefect then refuses it for a run that has ended meanwhile
    return ChangeFlowRunState(state=state, name=name, message=message, force=False)


def _said(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} minutes"


# --- thin: ask Prefect ---


def ensure(wanted: AutomationCore) -> None:
    """Create or update it by its name. A person may have paused it: that stays.

    One that is as wanted is left alone: a change would drop the waits that are open for runs of this moment.
    """
    with get_client(sync_client=True) as client:
        found = client.read_automations_by_name(wanted.name)
        for extra in found[1:]:
            client.delete_automation(extra.id)
        if not found:
            client.create_automation(wanted)
        elif _content(found[0]) != _content(wanted):
            client.update_automation(found[0].id, wanted.model_copy(update={"enabled": found[0].enabled}))


def remove(names: Iterable[str]) -> None:
    with get_client(sync_client=True) as client:
        for name in names:
            for found in client.read_automations_by_name(name):
                client.delete_automation(found.id)


def _content(automation: AutomationCore) -> dict[str, Any]:
    content = automation.model_dump(mode="json", include={"name", "description", "trigger", "actions"})
    trigger = content["trigger"]
    return content | {"trigger": {key: _sorted(value) for key, value in trigger.items() if key != "id"}}


def _sorted(value: Any) -> Any:
    """Sets become lists in any order."""
    return sorted(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else value


__all__ = ["APPROVED", "AUTOMATION", "PROMOTE", "ensure", "night_watches", "promotion", "remove", "watches"]
