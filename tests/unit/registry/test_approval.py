"""Who may be approved and promoted: each claim of the tags against the evidence, broken once."""

from pathlib import Path

import pytest

from infra.digest import digest_of
from infra.store import Store, Tree, TreeFile
from tasks.contracts import Evidence, Model, ScorecardRef, Verdict
from tasks.registry.approval import refuse_approval, refuse_promotion

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
    assert refuse_promotion(tags(found), 2, found, CHAMPION) is None


@pytest.mark.parametrize("tag", ["key", "verdict", "model", "night", "promotable"])
def test_a_tag_that_contradicts_the_evidence_refuses_the_promotion(tmp_path: Path, tag: str) -> None:
    found = evidence(Store(tmp_path))
    reason = refuse_promotion(tags(found, **{tag: "forged"}), 2, found, CHAMPION)
    assert reason is not None
    assert "forged" in reason


def test_a_fail_with_forged_tags_is_refused_by_its_evidence(tmp_path: Path) -> None:
    store = Store(tmp_path)
    good = evidence(store)
    failed = evidence(store, verdict=good.verdict.model_copy(update={"verdict": "FAIL"}))
    assert refuse_promotion(tags(failed), 2, failed, CHAMPION) == "version 2: the evidence says FAIL"
    assert refuse_promotion(tags(failed, verdict="PASS"), 2, failed, CHAMPION) is not None


def test_a_verdict_about_another_model_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    other = evidence(store, verdict=evidence(store).verdict.model_copy(update={"candidate": digest_of("other")}))
    reason = refuse_promotion(tags(other), 2, other, CHAMPION)
    assert reason is not None
    assert "the verdict is about model" in reason


def test_a_champion_that_changed_since_the_verdict_or_is_gone_refuses(tmp_path: Path) -> None:
    found = evidence(Store(tmp_path))
    assert "judge it again" in str(refuse_promotion(tags(found), 2, found, digest_of("newer")))
    assert "no champion" in str(refuse_promotion(tags(found), 2, found, None))


@pytest.mark.parametrize("approval", ["requested", "rejected: no", "", "Approved"])
def test_anything_but_approved_is_not_promoted(tmp_path: Path, approval: str) -> None:
    found = evidence(Store(tmp_path))
    assert "isn't approved" in str(refuse_promotion(tags(found, approval=approval), 2, found, CHAMPION))


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
