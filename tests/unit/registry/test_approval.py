"""Who may be approved and promoted: each claim of the tags against the evidence, broken once."""

from pathlib import Path

import pytest

from infra.digest import digest_of
from infra.store import Store, Tree, TreeFile
from tasks.contracts import Evidence, Model, ScorecardRef, SuiteResult, Verdict
from tasks.registry.approval import (
    approvals_missing,
    auto_problem,
    champion_moved,
    refuse_approval,
    refuse_promotion,
)
from tasks.release import ApprovalSpec, AutoApproval

D = digest_of("x")
CHAMPION = digest_of("champion")
FILE = TreeFile(path="w", digest_=D, size=1)
MODEL = Model(base=Tree(digest_=D, files=(FILE,)))


def evidence(store: Store, **changes: object) -> Evidence:
    blob = store.put_bytes(b"card")
    verdict = Verdict(
        verdict="PASS",
        paragraph="",
        suites=(),
        problems=(),
        alpha=0.05,
        anchor_z=2.9,
        candidate=MODEL.digest,
        champion=CHAMPION,
        anchor=CHAMPION,
        cards=(blob.digest_,),
    )
    ref = ScorecardRef(role="candidate", suite="s", model=MODEL.digest, items=D, scorer=D, card=blob)
    fields = {
        "night": D,
        "recipe": D,
        "snapshot": D,
        "preferences": D,
        "model": MODEL,
        "champion": CHAMPION,
        "anchor": CHAMPION,
        "cards": (ref,),
        "verdict": verdict,
        "trained_on": blob,
        "promotable": True,
    }
    return Evidence.model_validate({**fields, **changes})


def tags(found: Evidence, **changes: str) -> dict[str, str]:
    good = {
        "approval": "approved",
        "approval.by": "ben",
        "nightshift.role": "candidate",
        "nightshift.key": found.key,
        "nightshift.verdict": found.verdict.verdict,
        "nightshift.model": found.model.digest,
        "nightshift.night": found.night,
        "nightshift.promotable": str(found.promotable).lower(),
    }
    return good | {
        f"nightshift.{key}" if not key.startswith("approval") else key: value for key, value in changes.items()
    }


def test_an_approved_version_whose_tags_match_its_evidence_is_promoted(tmp_path: Path) -> None:
    found = evidence(Store(tmp_path))
    assert refuse_promotion(tags(found), 2, found, CHAMPION, ApprovalSpec()) is None


@pytest.mark.parametrize("tag", ["key", "verdict", "model", "night", "promotable"])
def test_a_tag_that_contradicts_the_evidence_refuses_the_promotion(tmp_path: Path, tag: str) -> None:
    found = evidence(Store(tmp_path))
    reason = refuse_promotion(tags(found, **{tag: "forged"}), 2, found, CHAMPION, ApprovalSpec())
    assert reason is not None
    assert "forged" in reason


def test_a_fail_with_forged_tags_is_refused_by_its_evidence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = evidence(store)
    failed = evidence(store, verdict=good.verdict.model_copy(update={"verdict": "FAIL"}))
    assert refuse_promotion(tags(failed), 2, failed, CHAMPION, ApprovalSpec()) == "version 2: the evidence says FAIL"
    assert refuse_promotion(tags(failed, verdict="PASS"), 2, failed, CHAMPION, ApprovalSpec()) is not None


def test_a_verdict_about_another_model_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = evidence(store, verdict=evidence(store).verdict.model_copy(update={"candidate": digest_of("other")}))
    reason = refuse_promotion(tags(other), 2, other, CHAMPION, ApprovalSpec())
    assert reason is not None
    assert "the verdict is about model" in reason


def test_a_champion_that_changed_since_the_verdict_or_is_gone_refuses(tmp_path: Path) -> None:
    found = evidence(Store(tmp_path))
    assert "judge it again" in str(champion_moved(2, found, digest_of("newer"), 3))
    assert champion_moved(2, found, CHAMPION, 1) is None
    assert "no champion" in str(refuse_promotion(tags(found), 2, found, None, ApprovalSpec()))


@pytest.mark.parametrize("approval", ["requested", "rejected: no", "", "Approved"])
def test_anything_but_approved_is_not_promoted(tmp_path: Path, approval: str) -> None:
    found = evidence(Store(tmp_path))
    assert "isn't approved" in str(refuse_promotion(tags(found, approval=approval), 2, found, CHAMPION, ApprovalSpec()))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"verdict": "FAIL"}, "FAIL"),
        ({"verdict": "INCONCLUSIVE"}, "INCONCLUSIVE"),
        ({"verdict": "BLOCK"}, "BLOCK"),
        ({"promotable": "false"}, "overridden"),
        ({"approval": "rejected: no"}, "rejected: no"),
        ({"role": "base"}, "no candidate"),
    ],
)
def test_only_a_promotable_pass_can_be_approved(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    found = evidence(Store(tmp_path))
    assert refuse_approval(tags(found, approval="requested"), 2) is None
    assert reason in str(refuse_approval(tags(found, **{"approval": "requested", **change}), 2))


def test_the_same_evidence_has_the_same_key_and_any_change_another(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert evidence(store).key == evidence(store).key
    assert evidence(store).key != evidence(store, promotable=False).key


def test_approvals_are_counted_by_person_and_a_rules_approval_counts_only_where_there_is_a_rule() -> None:
    two = ApprovalSpec(approvers=2)
    rule = ApprovalSpec(approvers=2, auto=AutoApproval(max_amount=1.0))
    assert approvals_missing({"approval.by": "ann"}, ApprovalSpec()) is None
    assert approvals_missing({"approval.by": "ann"}, two) == "1 of 2 approvals (ann)"
    assert approvals_missing({"approval.by": "ann, ben"}, two) is None
    assert approvals_missing({"approval.by": "ann, ann"}, two) is not None
    assert approvals_missing({}, two) == "0 of 2 approvals (nobody)"
    assert approvals_missing({"approval.by": "service"}, two) is not None
    assert approvals_missing({"approval.by": "service"}, ApprovalSpec()) is not None
    assert approvals_missing({"approval.by": "service"}, rule) is None
    assert approvals_missing({"approval.by": "ann, service"}, two) is not None


def with_lower(store: Store, lower: float | None) -> Evidence:
    found = evidence(store)
    suite = SuiteResult(
        name="safety", measure="right", n=200, champion=0.5, candidate=0.6, delta=0.1, lower=lower, upper=0.2,
        margin=0.02, p_harm=1.0, anchor_delta=0.0, anchor_lower=0.0, anchor_upper=0.1, budget=0.05, mde=0.02,
        items_to_settle=None, target=True, verdict="PASS", reason="",
    )  # fmt: skip
    return found.model_copy(update={"verdict": found.verdict.model_copy(update={"suites": (suite,)})})


@pytest.mark.parametrize(
    ("lower", "cost", "reason"),
    [
        (0.01, "0.5000 EUR (estimated)", None),
        (0.0, "0.5000 EUR", "lower bounds are not above 0"),
        (-0.01, "0.5000 EUR", "lower bounds are not above 0"),
        (None, "0.5000 EUR", "lower bounds are not above 0"),
        (0.01, "1.0001 EUR", "it cost 1.0001, and the rule allows 1"),
        (0.01, "nan EUR", "it cost nan"),
        (0.01, "", "its cost can't be read"),
        (0.01, "free", "its cost can't be read"),
    ],
)
def test_the_rule_approves_only_when_every_bound_and_the_cost_hold(
    tmp_path: Path, lower: float | None, cost: str, reason: str | None
) -> None:
    found = with_lower(Store(tmp_path), lower)
    policy = ApprovalSpec(auto=AutoApproval(max_amount=1.0))
    told = auto_problem({"nightshift.cost": cost}, found, policy)
    assert told is None if reason is None else reason in str(told)
    assert "no rule" in str(auto_problem({"nightshift.cost": cost}, found, ApprovalSpec()))


def test_the_rule_approves_no_verdict_over_nothing(tmp_path: Path) -> None:
    policy = ApprovalSpec(auto=AutoApproval(max_amount=1.0))
    assert "over no suite" in str(auto_problem({"nightshift.cost": "0.1 EUR"}, evidence(Store(tmp_path)), policy))
