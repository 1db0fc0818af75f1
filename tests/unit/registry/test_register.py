"""What a registered version asks for, and until when."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tasks.registry.register import request_tags
from tasks.release import ApprovalSpec
from tests.registry_world import World

NOW = datetime(2026, 11, 26, 2, tzinfo=UTC)
POLICY = ApprovalSpec(expires_hours=48)
UNTIL = (NOW + timedelta(hours=48)).isoformat()


@pytest.mark.parametrize(
    ("verdict", "how", "expected"),
    [
        ("PASS", {}, {"approval": "requested", "approval.expires": UNTIL}),
        # it waits for a waiver, not for ever
        ("INCONCLUSIVE", {"waivable": True}, {"approval.expires": UNTIL}),
        ("INCONCLUSIVE", {"waivable": False}, {}),
        ("FAIL", {}, {}),
        ("BLOCK", {}, {}),
    ],
)
def test_a_pass_asks_for_approval_and_what_can_be_waived_waits_no_longer_than_the_policy_says(
    world: World, verdict: str, how: dict[str, Any], expected: dict[str, str]
) -> None:
    assert request_tags(world.evidence(verdict, **how), POLICY, NOW) == expected


def test_a_night_whose_gate_was_overridden_asks_for_nothing(world: World) -> None:
    overridden = world.evidence("PASS").model_copy(update={"promotable": False})
    assert request_tags(overridden, POLICY, NOW) == {}
