"""What the promotion service does when it looks: expire, approve by rule, ask for promotions; how promotions fail."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.mlflow_requests import Login
from infra.registry_guard.embedded import Refused
from infra.registry_guard.roles import as_text, credentials_path, write_private
from tasks.errors import NeedsRejudgement, NotPromotable, RegistryError
from tasks.registry import steps
from tasks.registry.decide import reject
from tasks.registry.initialise import record_policy
from tasks.registry.moves import begin
from tasks.registry.promote import finish, promote, rollback
from tasks.registry.service import look, promote_or_say
from tasks.registry.waiting import REFUSED_TAG, Due, await_promotion, due, expired
from tasks.release import POLICY_TAG, ApprovalSpec, AutoApproval, DeploySpec, ReleasePolicy
from tests.registry_world import World

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def looked(world: World) -> tuple[list[tuple[str, Due]], list[str]]:
    asked: list[tuple[str, Due]] = []
    said: list[str] = []
    look(world.place(), lambda name, one: asked.append((name, one)), said.append)
    return asked, said


def policy(world: World, **approval: Any) -> None:
    record_policy(world.registry, ReleasePolicy(approval=ApprovalSpec.model_validate(approval)))


def test_what_there_is_to_do_is_read_from_tags_alone() -> None:
    versions = {
        1: {"nightshift.role": "base"},
        2: {"approval": "approved", "approval.by": "ben", "approval.at": "t", "nightshift.promoted": "t"},
        3: {"approval": "approved", "approval.by": "ben", "approval.at": "t"},
        4: {"approval": "requested", "approval.expires": (NOW - timedelta(seconds=1)).isoformat()},
        5: {"approval": "requested", "approval.expires": (NOW + timedelta(seconds=1)).isoformat()},
        6: {"approval": "rejected: no"},
        7: {"approval": "approved", "approval.by": "ben", REFUSED_TAG: "damaged"},
        8: {"approval": "approved"},
    }
    assert due(versions, ApprovalSpec(), NOW) == [Due("promote", 3, "t"), Due("expire", 4)]
    assert due(versions, ApprovalSpec(approvers=2), NOW) == [Due("expire", 4)]
    rule = ApprovalSpec(auto=AutoApproval(max_amount=1))
    assert Due("perhaps approve", 5) in due(versions, rule, NOW)


@pytest.mark.parametrize("text", ["never", "", "2026-13-01T00:00:00+00:00"])
def test_an_expiry_that_cannot_be_read_is_over(text: str) -> None:
    assert expired({"approval.expires": text}, NOW)
    assert not expired({}, NOW)


def test_a_look_asks_for_what_is_approved_and_for_nothing_once_it_serves(world: World) -> None:
    assert looked(world) == ([], [])
    world.approve()
    ((name, one),) = looked(world)[0]
    assert (name, one.what, one.version) == ("shop", "promote", 2)
    promote(world.registry, 2, world.store, world.home)
    assert looked(world) == ([], [])


def test_a_request_nobody_answered_is_rejected_by_the_look_and_can_be_approved_no_more(world: World) -> None:
    version = world.register(
        "PASS", night="late", approval__expires=(datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    )
    world.around(version, approval__expires=(datetime.now(UTC) - timedelta(minutes=1)).isoformat())
    with pytest.raises(Refused, match="expired"):
        world.approve(version)
    _, said = looked(world)
    assert "expired" in said[0]
    assert world.registry.version(version).tags["approval"].startswith("rejected: nobody approved it until")
    assert looked(world)[1] == []


def test_a_rule_approves_what_every_condition_allows_and_the_books_name_it(world: World) -> None:
    good = world.register("PASS", night="good", lower=0.01)
    policy(world, auto={"max_amount": 1.0})
    asked, said = looked(world)
    assert asked == []
    assert len(said) == 1
    tags = world.registry.version(good).tags
    assert (tags["approval"], tags["approval.by"]) == ("approved", "service")
    # the other version's lower bound is 0: a person decides
    assert world.registry.version(world.version).tags["approval"] == "requested"
    assert [one.version for _, one in looked(world)[0]] == [good]
    promote(world.registry, good, world.store, world.home)
    assert world.aliases()["champion"] == good


def test_a_rule_approves_nothing_whose_evidence_was_touched(world: World) -> None:
    good = world.register("PASS", night="good", lower=0.01)
    policy(world, auto={"max_amount": 1.0})
    world.store.path(world.card.digest_).unlink()
    assert looked(world) == ([], [])
    assert world.registry.version(good).tags["approval"] == "requested"


def test_two_approvers_promote_only_together(world: World) -> None:
    policy(world, approvers=2)
    assert "1 of 2 approvals (ben)" in world.approve(who="ben")
    assert looked(world)[0] == []
    with pytest.raises(NotPromotable, match="1 of 2 approvals"):
        promote(world.registry, 2, world.store, world.home)
    with pytest.raises(Refused, match="ben approved version 2 of shop already"):
        world.approve(who="ben")
    assert "approved by ben, eva" in world.approve(who="eva")
    promote(world.registry, 2, world.store, world.home)
    assert world.aliases()["champion"] == 2


def test_one_of_two_who_rejects_ends_it(world: World) -> None:
    policy(world, approvers=2)
    world.approve(who="ben")
    reject(world.acting("eva", "approver"), 2, "too curt")
    with pytest.raises(NotPromotable, match="rejected: too curt"):
        world.approve(who="fay")
    with pytest.raises(NotPromotable, match="isn't approved"):
        promote(world.registry, 2, world.store, world.home)


def test_a_version_judged_against_an_earlier_champion_is_rejected_with_what_to_do(world: World) -> None:
    late = world.register("PASS", night="beside", model=world.other())
    world.approve()
    world.approve(late)
    promote(world.registry, 2, world.store, world.home)
    with pytest.raises(NeedsRejudgement, match="judge it again") as refused:
        promote_or_say(world.place(), late, print)
    assert f"nightshift rejudge {late}" in refused.value.do
    assert world.aliases() == {"anchor": 1, "champion": 2, "previous": 1}
    assert "judged against champion" in world.registry.version(late).tags["approval"]
    assert looked(world)[0] == []
    assert [one.kind for one in world.told] == ["needs re-judgement"]


def test_an_approved_version_whose_files_are_damaged_is_said_so_once_and_not_tried_for_ever(world: World) -> None:
    world.approve()
    world.store.path(world.card.digest_).unlink()
    with pytest.raises(NotPromotable, match="no object"):
        promote_or_say(world.place(), 2, print)
    assert "no object" in world.registry.version(2).tags[REFUSED_TAG]
    assert looked(world)[0] == []
    assert "is not promoted: version 2: the store has no object" in await_promotion(world.registry, 2, 5)


def test_a_promotion_nobody_approved_leaves_no_mark(world: World) -> None:
    with pytest.raises(NotPromotable, match="isn't approved"):
        promote_or_say(world.place(), 2, print)
    assert REFUSED_TAG not in world.registry.version(2).tags


def test_waiting_ends_with_the_champion_or_with_patience(world: World) -> None:
    world.approve()
    assert "has not happened after 0 s" in await_promotion(world.registry, 2, 0)
    promote(world.registry, 2, world.store, world.home)
    assert await_promotion(world.registry, 2, 5) == "version 2 of shop is champion"


def three(world: World) -> list[int]:
    """Three promotions, one after the other."""
    found = [1]
    for number in (2, 3, 4):
        model = world.other(f"model {number}")
        before = world.base if number == 2 else world.other(f"model {number - 1}")
        version = world.register("PASS", night=f"night {number}", champion=before, model=model)
        world.approve(version)
        promote(world.registry, version, world.store, world.home)
        found.append(version)
    return found


def test_a_rollback_goes_back_over_several_versions_and_bars_all_that_served_since(world: World) -> None:
    first, one, two, three_ = three(world)
    told = rollback(world.registry, world.store, world.home, "cat", "wrong tone", one)
    assert f"version {one} of shop is champion again" in told
    assert world.aliases() == {"anchor": first, "champion": one, "previous": one}
    for version in (two, three_):
        assert world.registry.version(version).tags["approval"] == "rejected: rolled back by cat: wrong tone"
    assert world.registry.version(one).tags["approval"] == "approved"
    again = rollback(world.registry, world.store, world.home, "cat")
    assert f"serves already; nothing changed; before it served {first}" in again
    with pytest.raises(NotPromotable, match=f"version {two} of shop can't serve again"):
        rollback(world.registry, world.store, world.home, "cat", "", two)


def test_a_rollback_to_a_version_whose_files_are_gone_is_refused_and_changes_nothing(world: World) -> None:
    *_, two, _ = three(world)
    before = world.aliases()
    model = world.other("model 3")
    world.store.path(model.base.files[0].digest_).unlink()
    with pytest.raises(NotPromotable, match="can't serve"):
        rollback(world.registry, world.store, world.home, "cat", "", two)
    assert world.aliases() == before


def test_an_alias_moved_by_somebody_else_in_between_stops_the_move(world: World) -> None:
    world.approve()
    with pytest.raises(Refused, match="champion of shop names 1, not 7"):
        world.registry.swap_alias("champion", 2, 7)
    assert world.aliases()["champion"] == 1


def test_the_policy_is_recorded_once_and_read_back(world: World) -> None:
    wanted = ReleasePolicy(approval=ApprovalSpec(approvers=2), deploy=DeploySpec(export="/srv/models"))
    assert "is the recipe's now" in record_policy(world.registry, wanted)
    assert "already" in record_policy(world.registry, wanted)
    assert ReleasePolicy.model_validate_json(str(world.registry.model_tag(POLICY_TAG))) == wanted
    with pytest.raises(Refused, match="only the service account"):
        record_policy(world.trainer, ReleasePolicy())


def test_a_move_that_was_cut_off_and_that_the_guard_refuses_stands_in_nobodys_way(world: World) -> None:
    # forged in the database, written into the ledger, and killed before the guard was asked
    world.around(2, approval="approved", approval__by="ben")
    tags = world.registry.version(2).tags
    begin(world.home, "shop", "promotion", 2, 1, tags, "ben")
    assert "is abandoned" in str(finish(world.registry, world.store, world.home))
    assert finish(world.registry, world.store, world.home) is None
    good = world.register("PASS", night="good")
    world.approve(good)
    promote(world.registry, good, world.store, world.home)
    assert world.aliases()["champion"] == good


def test_a_promotion_that_the_guard_refuses_is_said_on_the_version_and_not_tried_for_ever(world: World) -> None:
    world.around(2, approval="approved", approval__by="ben")
    with pytest.raises(Refused, match="nobody approved"):
        promote_or_say(world.place(), 2, print)
    assert "nobody approved" in world.registry.version(2).tags[REFUSED_TAG]
    assert looked(world)[0] == []


def test_what_is_wrong_with_one_model_holds_up_no_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def look_at(name: Any, *_: Any) -> None:
        seen.append(name)
        if name == "broken":
            raise NotPromotable("its ledger is broken", do="look")

    monkeypatch.setattr(steps, "initialised_models", lambda client: ["broken", "shop"])
    monkeypatch.setattr(steps, "rollout_of", lambda name: name)
    monkeypatch.setattr(steps, "look", look_at)
    said: list[str] = []
    steps.look_at_all(lambda *_: None, said.append)
    assert seen == ["broken", "shop"]
    assert len(said) == 1
    assert said[0].startswith("broken: its ledger is broken")


def test_a_form_that_nobody_logged_in_for_decides_nothing_in_the_services_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The promotion service's process runs the form; it could reject by itself, and must not on anybody's behalf."""
    monkeypatch.setenv("NIGHTSHIFT_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    for account in ("service", "trainer"):
        write_private(credentials_path(home), as_text({account: {"role": account, "password": "x"}}))
        monkeypatch.setenv("NIGHTSHIFT_ACCOUNT", account)
        for decide in (lambda: steps.reject("shop", 2, "no"), lambda: steps.approve("shop", 2)):
            with pytest.raises(RegistryError, match="nobody is logged in who could decide"):
                decide()
    monkeypatch.setenv("NIGHTSHIFT_ACCOUNT", "nobody")
    with pytest.raises(RegistryError, match="nobody is logged in"):
        steps.reject("shop", 2, "no")
    steps.registry_of("shop", "approver", Login("ann", "x"))


def test_what_serves_is_not_rejected_but_rolled_back(world: World) -> None:
    world.approve()
    promote(world.registry, 2, world.store, world.home)
    with pytest.raises(NotPromotable, match="serves as champion"):
        reject(world.acting("ben", "approver"), 2, "second thoughts")
    with pytest.raises(NotPromotable, match="is no candidate"):
        reject(world.acting("ben", "approver"), 1, "the base")
    assert world.registry.version(2).tags["approval"] == "approved"
