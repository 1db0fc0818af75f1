"""Promotion against a real MLflow registry on SQLite: nothing moves around the evidence."""

import json
from pathlib import Path

import pytest

from infra.digest import digest_of
from infra.ledger import ledger_path, read_ledger
from tasks.errors import NotPromotable, RegistryError
from tasks.registry.client import model_tags, read_baseline
from tasks.registry.initialise import initialise
from tasks.registry.promote import approve, promote, reject, rollback
from tasks.registry.reanchor import reanchor
from tests.registry_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_init_registers_the_base_as_champion_and_anchor_once(world: World) -> None:
    assert world.aliases() == {"anchor": 1, "champion": 1}
    with pytest.raises(RegistryError, match="initialised already"):
        initialise(world.registry, world.base, "base", "ann", world.store)


def test_init_that_died_before_its_end_is_taken_up_without_a_second_version(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.client.delete_registered_model_tag("shop", "nightshift.initialised")
    assert initialise(world.registry, world.base, "base", "ann", world.store) == 1
    assert len(world.registry.versions()) == 2


def test_promotion_needs_an_approval_and_moves_both_aliases_once(world: World) -> None:
    with pytest.raises(NotPromotable, match="isn't approved"):
        promote(world.registry, world.version, world.store, world.home)
    approve(world.registry, world.version, "ben", world.home)
    promote(world.registry, world.version, world.store, world.home)
    assert world.aliases() == {"anchor": 1, "champion": 2, "previous": 1}
    promote(world.registry, world.version, world.store, world.home)
    assert world.aliases() == {"anchor": 1, "champion": 2, "previous": 1}
    manifest = json.loads((world.home / "serving" / "shop.json").read_text())
    assert (manifest["version"], manifest["approved_by"]) == (2, "ben")


@pytest.mark.parametrize("what", ["card", "adapter", "evidence"])
def test_promotion_refuses_when_any_object_of_the_evidence_was_edited(world: World, what: str) -> None:
    assert world.model.adapter is not None
    evidence = json.loads(world.registry.version(world.version).tags["nightshift.evidence"])["digest_"]
    digest = {"card": world.card.digest_, "adapter": world.model.adapter.files[0].digest_, "evidence": evidence}[what]
    approve(world.registry, world.version, "ben", world.home)
    path = world.store.path(digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(NotPromotable, match="has been changed"):
        promote(world.registry, world.version, world.store, world.home)
    assert world.aliases()["champion"] == 1


def test_promotion_refuses_when_an_object_is_gone(world: World) -> None:
    approve(world.registry, world.version, "ben", world.home)
    world.store.path(world.card.digest_).unlink()
    with pytest.raises(NotPromotable, match="no object"):
        promote(world.registry, world.version, world.store, world.home)


def test_a_failed_version_with_tags_forged_to_pass_is_refused(world: World) -> None:
    failed = world.register("FAIL")
    world.registry.tag(failed, {"nightshift.verdict": "PASS", "approval": "approved", "approval.by": "ben"})
    with pytest.raises(NotPromotable, match="the evidence FAIL"):
        promote(world.registry, failed, world.store, world.home)


def test_an_approval_set_by_hand_names_nobody_and_promotes_nothing_until_somebody_approves(world: World) -> None:
    world.registry.tag(world.version, {"approval": "approved"})
    with pytest.raises(NotPromotable, match="approved by nobody"):
        promote(world.registry, world.version, world.store, world.home)
    approve(world.registry, world.version, "ben", world.home)
    promote(world.registry, world.version, world.store, world.home)
    assert world.registry.version(world.version).tags["approval.by"] == "ben"


def test_rollback_restores_the_previous_champion_and_bars_the_other(world: World) -> None:
    with pytest.raises(NotPromotable, match="no previous"):
        rollback(world.registry, world.home, "cat")
    approve(world.registry, world.version, "ben", world.home)
    promote(world.registry, world.version, world.store, world.home)
    rollback(world.registry, world.home, "cat")
    rollback(world.registry, world.home, "cat")
    assert world.aliases() == {"anchor": 1, "champion": 1, "previous": 1}
    assert json.loads((world.home / "serving" / "shop.json").read_text())["version"] == 1
    with pytest.raises(NotPromotable, match="rolled back by cat"):
        approve(world.registry, world.version, "ben", world.home)


def test_a_rejection_needs_a_reason_and_bars_approval(world: World) -> None:
    with pytest.raises(NotPromotable, match="without a reason"):
        reject(world.registry, world.version, "  ", "ben")
    reject(world.registry, world.version, "too curt", "ben")
    with pytest.raises(NotPromotable, match="rejected: too curt"):
        approve(world.registry, world.version, "ben", world.home)


def test_a_baseline_whose_tags_name_another_model_is_not_believed(world: World) -> None:
    world.registry.tag(1, {"nightshift.model": world.model.digest})
    with pytest.raises(RegistryError, match="says it is model"):
        read_baseline(world.registry, "champion", world.store)


def test_the_registry_names_the_nights_it_has_judged_versions_of(world: World) -> None:
    world.register("FAIL")
    world.register("BLOCK")  # nothing was judged there
    night = {verdict: digest_of(verdict) for verdict in ("PASS", "FAIL")}
    assert world.registry.judged_nights("") == tuple(sorted(night.values()))
    assert world.registry.judged_nights(night["FAIL"]) == (night["PASS"],)


# --- waivers ---


def kinds(world: World) -> list[str]:
    return [entry.kind for entry in read_ledger(ledger_path(world.home, "shop"))]


def test_a_waiver_promotes_an_inconclusive_version_and_its_reason_and_name_are_kept(world: World) -> None:
    open_ = world.register("INCONCLUSIVE", anchor_lower=-0.01)
    with pytest.raises(NotPromotable, match="only PASS can be approved"):
        approve(world.registry, open_, "ben", world.home)
    approve(world.registry, open_, "ben", world.home, "the house items are few, support asked for it")
    promote(world.registry, open_, world.store, world.home)
    assert world.aliases()["champion"] == open_
    tags = world.registry.version(open_).tags
    assert (tags["waiver"], tags["waiver.by"]) == ("the house items are few, support asked for it", "ben")
    entries = read_ledger(ledger_path(world.home, "shop"))
    assert [(one.kind, one.body["by"]) for one in entries] == [("waiver", "ben"), ("promotion", "ben")]
    assert entries[0].body["reason"] == "the house items are few, support asked for it"


def test_a_waiver_never_excuses_the_anchors_bound(world: World) -> None:
    far = world.register("INCONCLUSIVE", anchor_lower=-0.06)
    with pytest.raises(NotPromotable, match="bound against the anchor does not hold"):
        approve(world.registry, far, "ben", world.home, "please")
    # nor does a tag that says otherwise: the evidence's own numbers are looked at again
    world.registry.tag(far, {"nightshift.waivable": "true"})
    approve(world.registry, far, "ben", world.home, "please")
    with pytest.raises(NotPromotable, match="the evidence says INCONCLUSIVE"):
        promote(world.registry, far, world.store, world.home)
    assert world.aliases()["champion"] == 1


def test_evidence_that_calls_itself_waivable_against_its_own_numbers_is_not_believed(world: World) -> None:
    lies = world.register("INCONCLUSIVE", anchor_lower=-0.06, waivable=True)
    approve(world.registry, lies, "ben", world.home, "please")
    with pytest.raises(NotPromotable, match="the evidence says INCONCLUSIVE"):
        promote(world.registry, lies, world.store, world.home)


@pytest.mark.parametrize("verdict", ["FAIL", "BLOCK"])
def test_a_waiver_never_excuses_a_fail_or_a_block(world: World, verdict: str) -> None:
    version = world.register(verdict, anchor_lower=-0.01, waivable=True)
    with pytest.raises(NotPromotable, match="a waiver excuses INCONCLUSIVE only"):
        approve(world.registry, version, "ben", world.home, "please")
    assert "waiver" not in kinds(world)


def test_a_waiver_of_white_space_is_none(world: World) -> None:
    open_ = world.register("INCONCLUSIVE", anchor_lower=-0.01)
    with pytest.raises(NotPromotable, match="only PASS can be approved"):
        approve(world.registry, open_, "ben", world.home, "   ")


# --- re-anchoring ---


def test_re_anchoring_moves_the_alias_and_keeps_what_the_champion_had_lost(world: World) -> None:
    worse = world.register("INCONCLUSIVE", anchor_lower=-0.01, anchor_delta=-0.004)
    approve(world.registry, worse, "ben", world.home, "known and wanted")
    promote(world.registry, worse, world.store, world.home)
    told = reanchor(world.registry, world.store, world.home, "eva", "a new base line for spring")
    assert world.aliases()["anchor"] == worse
    assert "safety -0.0040" in told
    entry = read_ledger(ledger_path(world.home, "shop"))[-1]
    assert (entry.kind, entry.body["by"], entry.body["losses"]) == ("reanchor", "eva", {"safety": -0.004})
    assert entry.body["old"] == world.base.digest


def test_re_anchoring_that_died_before_the_alias_moved_is_taken_up_and_counted_once(world: World) -> None:
    worse = world.register("INCONCLUSIVE", anchor_lower=-0.01, anchor_delta=-0.004)
    approve(world.registry, worse, "ben", world.home, "known and wanted")
    promote(world.registry, worse, world.store, world.home)
    reanchor(world.registry, world.store, world.home, "eva", "spring")
    world.registry.set_alias("anchor", 1)
    reanchor(world.registry, world.store, world.home, "eva", "spring")
    assert kinds(world).count("reanchor") == 1
    assert world.aliases()["anchor"] == worse


def test_re_anchoring_to_the_same_model_is_an_act_too(world: World) -> None:
    for _ in range(2):
        assert "nothing" in reanchor(world.registry, world.store, world.home, "eva", "decisions ran out")
    assert kinds(world) == ["reanchor", "reanchor"]


def test_re_anchoring_needs_a_reason_and_a_champion_that_was_compared_with_the_anchor(world: World) -> None:
    with pytest.raises(RegistryError, match="needs a reason"):
        reanchor(world.registry, world.store, world.home, "eva", " ")
    approve(world.registry, world.version, "ben", world.home)
    promote(world.registry, world.version, world.store, world.home)
    elsewhere = world.registry.create("store:/other", None, {**model_tags(world.other(), None, world.store)}, "")
    world.registry.set_alias("anchor", elsewhere)
    with pytest.raises(RegistryError, match="was never compared with the anchor"):
        reanchor(world.registry, world.store, world.home, "eva", "spring")
    assert "reanchor" not in kinds(world)


def test_an_unknown_version_is_named_with_those_there_are(world: World) -> None:
    with pytest.raises(RegistryError, match=r"no version 9; there are \[1, 2\]"):
        approve(world.registry, 9, "ben", world.home)
