"""A recorded policy: how many approvers, of which groups, until when, by which rule without a person."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from infra.errors import BadSetting
from infra.registry_guard.approval_spec import POLICY_TAG, ApprovalSpec, approval_spec, holds_role
from infra.registry_guard.changes import Change
from infra.registry_guard.journal import Asking, Journal
from infra.registry_guard.policy import refuse
from infra.registry_guard.terms import State, User, user_of
from infra.registry_guard.version_tags import books
from tests.unit.infra.registry_guard.test_policy import CHANGES, NOW, STATES, tag, tags

AUTO = {"lower_bounds_above": 0.0, "max_amount": 5.0}


def state(name: str, policy: dict[str, Any] | None = None, **more: Any) -> State:
    found = State(NOW, True, STATES[name], {"champion": "1"}, "ann", frozenset({"ann"}))
    return found._replace(policy=ApprovalSpec.model_validate(policy or {}), **more)


def approve(user: User, at: State) -> str | None:
    return refuse(user, CHANGES["approve"], at)


def test_the_default_policy_is_one_approver_no_requester_three_days_and_no_rule() -> None:
    found = approval_spec(None)
    assert (found.approvers, found.requester_may_approve, found.expires_hours, found.auto) == (1, False, 72, None)


@pytest.mark.parametrize("tag", ["", "[]", "{}", '{"approval": 3}', '{"approval": {"approvers": 0}}', "{"])
def test_a_policy_that_cannot_be_read_decides_nothing(tag: str) -> None:
    with pytest.raises(BadSetting, match="can't be read"):
        approval_spec(tag)


@pytest.mark.parametrize(
    "bad",
    [{"approvers": 0}, {"roles": []}, {"roles": ["trainer"]}, {"expires_hours": 0}, {"expires_hours": float("nan")},
     {"waiver_roles": ["admin"]}, {"auto": {}}, {"auto": {"max_amount": -1}}, {"approver": 2}],
)  # fmt: skip
def test_a_policy_with_a_value_that_cannot_be_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ApprovalSpec.model_validate(bad)


def test_a_group_holds_the_roles_that_name_it_or_all_approvers() -> None:
    assert holds_role("approver", "leads", ("approver",))
    assert holds_role("approver", "leads", ("approver:leads",))
    assert not holds_role("approver", "", ("approver:leads",))
    assert not holds_role("approver", "support", ("approver:leads",))
    assert user_of("zoe", "approver:leads") == User("zoe", "approver", "leads")


def test_only_the_groups_a_policy_names_decide_and_waive() -> None:
    policy = {"roles": ["approver:leads"], "waiver_roles": ["approver:safety"]}
    lead, safe = User("zoe", "approver", "leads"), User("yan", "approver", "safety")
    assert approve(lead, state("asked PASS", policy)) is None
    assert "leaves that to approver:leads" in str(approve(safe, state("asked PASS", policy)))
    waive, open_ = CHANGES["waive"], state("asked INCONCLUSIVE", policy)
    assert refuse(safe, waive, open_) is None
    assert "leaves that to approver:safety" in str(refuse(lead, waive, open_))
    assert "leaves that to nobody" in str(refuse(safe, waive, state("asked INCONCLUSIVE", {"waiver_roles": []})))


def test_two_approvers_are_two_people() -> None:
    policy = {"approvers": 2}
    zoe, yan = User("zoe", "approver"), User("yan", "approver")
    once = state("approved PASS", policy, decided_by="zoe", approvals=frozenset({"zoe"}))
    assert approve(zoe, state("asked PASS", policy)) is None
    assert "zoe approved version 3 of demo already (1 of 2)" in str(approve(zoe, once))
    assert approve(yan, once) is None
    assert refuse(yan, CHANGES["reject"], once) is None
    champion = CHANGES["champion"]
    assert "1 of 2 approvers" in str(refuse(User("bot", "service"), champion, once))
    twice = once._replace(approvals=frozenset({"zoe", "yan"}), decided_by="yan")
    assert refuse(User("bot", "service"), champion, twice) is None
    assert "does not await a decision" in str(approve(User("xil", "approver"), twice))


def test_the_second_of_two_approvals_expires_with_the_request() -> None:
    late = state("approved PASS", {"approvers": 2}, approvals=frozenset({"zoe"}), decided_by="zoe")
    late = late._replace(tags={**late.tags, "approval.expires": (NOW - timedelta(minutes=1)).isoformat()})
    assert "expired" in str(approve(User("yan", "approver"), late))


def test_a_requester_decides_only_where_the_policy_says_so() -> None:
    ann = User("ann", "trainer")
    assert "ask an approver" in str(approve(ann, state("asked PASS")))
    open_ = state("asked PASS", {"requester_may_approve": True})
    assert approve(ann, open_) is None
    assert "ask one of them" in str(approve(User("other", "trainer"), open_))
    assert "has the verdict FAIL" in str(approve(ann, state("asked FAIL", {"requester_may_approve": True})))


def test_the_service_account_approves_only_by_a_recorded_rule_and_only_what_a_person_could() -> None:
    bot = User("bot", "service")
    assert "it approves nothing" in str(approve(bot, state("asked PASS")))
    assert approve(bot, state("asked PASS", {"auto": AUTO})) is None
    for name in ("asked FAIL", "asked BLOCK", "asked INCONCLUSIVE", "expired PASS", "overridden PASS", "unasked PASS"):
        assert approve(bot, state(name, {"auto": AUTO})) is not None, name
    done = state("approved PASS", {"auto": AUTO, "approvers": 2}, decided_by="bot", automatic=True)
    assert refuse(bot, CHANGES["champion"], done) is None


def test_a_request_lives_no_longer_than_the_policy_says() -> None:
    short = state("unasked PASS", {"expires_hours": 2})
    ann = User("ann", "trainer")
    inside, outside = ((NOW + timedelta(hours=hours)).isoformat() for hours in (2, 2.2))
    assert refuse(ann, tag("approval.expires", inside), short) is None
    assert "the policy allows 2 hours" in str(refuse(ann, tag("approval.expires", outside), short))
    create = Change("create_version", "demo", tags=tags("PASS", approval="requested", approval__expires=outside))
    assert "the policy allows 2 hours" in str(refuse(ann, create, short))


def test_the_policy_is_the_operators_and_is_refused_when_it_cannot_be_read() -> None:
    good = json.dumps({"approval": ApprovalSpec(approvers=2).model_dump(), "deploy": {}})
    for role in ("service", "admin"):
        assert refuse(User("me", role), Change("set_model_tag", "demo", key=POLICY_TAG, value=good), State(NOW)) is None
        bad = refuse(User("me", role), Change("set_model_tag", "demo", key=POLICY_TAG, value="{}"), State(NOW))
        assert "nightshift policy RECIPE" in str(bad)
    for role in ("trainer", "approver", "reader"):
        assert refuse(User("me", role), Change("set_model_tag", "demo", key=POLICY_TAG, value=good), State(NOW))


def test_the_books_name_everybody_whose_approval_counts() -> None:
    once = state("approved PASS", {"approvers": 2}, approvals=frozenset({"zoe"}))
    found = books(User("yan", "approver"), CHANGES["approve"], once)
    assert found["approval.by"] == "yan, zoe"
    assert books(User("yan", "approver"), CHANGES["reject"], once)["approval.by"] == "yan"
    assert books(User("yan", "approver"), CHANGES["waive"], once) == {"waiver.by": "yan"}
    assert books(User("bot", "service"), CHANGES["reject"], once) == {}
    assert books(User("ann", "trainer"), CHANGES["request"], once) == {}
    assert books(User("bot", "service"), CHANGES["bookkeeping"], once) == {}


def test_approvals_of_before_a_rejection_count_no_more(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "registry.jsonl")
    for number, (who, value) in enumerate([("zoe", "approved"), ("yan", "rejected: no"), ("xil", "approved")]):
        asking = Asking(str(number), User(who, "approver"), "POST", "/", tag("approval", value))
        journal.asked(asking, {}, ours=True)
        journal.done(asking, 200, {"approval": value})
    found = journal.look(lambda facts: facts.approvals("demo", "3", {"approval": "approved"}))
    assert dict(found) == {"xil": "approver"}
    assert journal.look(lambda facts: facts.approvals("demo", "3", {"approval": "rejected: no"})) == {}
