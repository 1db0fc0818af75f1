"""What the server does by itself: whom its watches cover, what ends a wait, and who is never forced."""

import ast
from datetime import timedelta
from uuid import UUID

import pytest
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, DoNothing, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger
from prefect.events.schemas.events import ResourceSpecification

from flows.automations import ENDS, HEARTBEAT, SILENT, night_watches, stuck_hours, watches
from flows.frame import END_NAMES
from infra.settings import HEARTBEAT_SECONDS, ROOT

DEPLOYMENT = UUID(int=1)
BLOCK = UUID(int=2)


def trigger(automation: AutomationCore) -> EventTrigger:
    assert isinstance(automation.trigger, EventTrigger)
    return automation.trigger


def test_every_final_state_of_a_flow_ends_a_wait() -> None:
    named = {
        keyword.value.value
        for path in (ROOT / "flows").glob("*.py")
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in ("Completed", "Failed")
        for keyword in call.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    assert "Skipped" in named
    assert {f"prefect.flow-run.{name}" for name in {*named, *END_NAMES.values()}} <= ENDS


def test_a_zombie_is_a_run_that_sent_heartbeats_and_sends_none_any_more() -> None:
    zombie = trigger(watches(["nightly"])[0])
    assert zombie.after == {HEARTBEAT}
    assert zombie.expect == {HEARTBEAT, *ENDS}
    assert zombie.for_each == {"prefect.resource.id"}
    assert timedelta(seconds=5 * HEARTBEAT_SECONDS) <= SILENT, "some beats may be lost on a busy machine"


def test_only_our_flows_are_watched() -> None:
    for one in watches({"nightly", "audit"}):
        related = trigger(one).match_related
        assert isinstance(related, ResourceSpecification)
        assert related.model_dump() == {
            "prefect.resource.role": "flow",
            "prefect.resource.name": ["audit", "nightly"],
        }


def test_no_watch_forces_a_state_on_a_run_that_has_ended_meanwhile() -> None:
    for one in (*watches(["nightly"]), *night_watches("support", DEPLOYMENT, 24.0)):
        for action in one.actions:
            if isinstance(action, ChangeFlowRunState):
                assert not action.force
                if action.state != StateType.CANCELLED:  # of a Cancelling run, whose only end it is
                    assert action.state in (StateType.CRASHED, StateType.CANCELLING)  # refused for a run that has ended
                assert "run it again" in (action.message or "")


def test_a_late_night_is_told_through_the_recipe_s_blocks_and_else_is_an_event() -> None:
    _, late = night_watches("support", DEPLOYMENT, 24.0, [BLOCK])
    (action,) = late.actions
    assert isinstance(action, SendNotification)
    assert action.block_document_id == BLOCK
    assert "A night of support has waited 30 minutes" in action.body
    assert "{" not in action.subject + action.body, "the server takes them for templates"
    assert isinstance(night_watches("support", DEPLOYMENT, 24.0)[1].actions[0], DoNothing)
    assert "prefect.flow-run.AwaitingConcurrencySlot" in trigger(late).after, "a run behind another is never `Late`"


@pytest.mark.parametrize(("budget", "stuck"), [(1.0, 24.0), (12.0, 24.0), (20.0, 32.0)])
def test_a_night_is_stuck_only_long_after_its_budget_is_spent(budget: float, stuck: float) -> None:
    assert stuck_hours(budget) == stuck
