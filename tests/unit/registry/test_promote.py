"""Promotion against a real MLflow registry on SQLite: nothing moves around the evidence."""

import json

import pytest

from infra.digest import digest_of
from infra.ledger import ledger_path, read_ledger
from infra.registry_guard.embedded import Refused
from tasks.errors import NotPromotable, RegistryError
from tasks.registry.client import Registry, model_tags, read_baseline
from tasks.registry.decide import approve, reject
from tasks.registry.initialise import initialise
from tasks.registry.promote import promote, rollback
from tasks.registry.reanchor import reanchor
from tasks.release import ReleasePolicy
from tests.registry_world import World


def test_init_registers_the_base_as_champion_and_anchor_once(world: World) -> None:
    assert world.aliases() == {"anchor": 1, "champion": 1}
    with pytest.raises(RegistryError, match="initialised already"):
        initialise(world.registry, world.base, "base", "ann", world.store, ReleasePolicy())


def test_init_that_died_before_its_end_is_taken_up_without_a_second_version(world: World) -> None:
    world.client.delete_registered_model_tag("shop", "nightshift.initialised")
    assert initialise(world.registry, world.base, "base", "ann", world.store, ReleasePolicy()) == 1
    assert len(world.registry.versions()) == 2


def test_promotion_needs_an_approval_and_moves_both_aliases_once(world: World) -> None:
    with pytest.raises(NotPromotable, match="isn't approved"):
        promote(world.registry, world.version, world.store, world.home)
    world.approve()
    promote(world.registry, world.version, world.store, world.home)
    assert world.aliases() == {"anchor": 1, "champion": 2, "previous": 1}
    promote(world.registry, world.version, world.store, world.home)
    assert world.aliases() == {"anchor": 1, "champion": 2, "previous": 1}
    manifest = json.loads((world.home / "serving" / "shop.json").read_text())
    assert (manifest["version"], manifest["approved_by"]) == (2, ["ben"])


@pytest.mark.parametrize("what", ["card", "adapter", "evidence"])
def test_promotion_refuses_when_any_object_of_the_evidence_was_edited(world: World, what: str) -> None:
    assert world.model.adapter is not None
    evidence = json.loads(world.registry.version(world.version).tags["nightshift.evidence"])["digest_"]
    digest = {"card": world.card.digest_, "adapter": world.model.adapter.files[0].digest_, "evidence": evidence}[what]
    world.approve()
    path = world.store.path(digest)
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(NotPromotable, match="has been changed"):
        promote(world.registry, world.version, world.store, world.home)
    assert world.aliases()["champion"] == 1


def test_promotion_refuses_when_an_object_is_gone(world: World) -> None:
    world.approve()
    world.store.path(world.card.digest_).unlink()
    with pytest.raises(NotPromotable, match="no object"):
        promote(world.registry, world.version, world.store, world.home)


def test_a_failed_version_with_tags_forged_to_pass_is_refused(world: World) -> None:
    failed = world.register("FAIL")
    world.around(failed, nightshift__verdict="PASS", approval="approved", approval__by="ben")
    with pytest.raises(NotPromotable, match="the evidence FAIL"):
        promote(world.registry, failed, world.store, world.home)


def test_an_approval_set_in_the_database_promotes_nothing(world: World) -> None:
    world.around(world.version, approval="approved")
    with pytest.raises(NotPromotable, match="approved by nobody"):
        promote(world.registry, world.version, world.store, world.home)
    # a name set by hand as well convinces promote, and the guard moves no alias to what it saw nobody approve
    world.around(world.version, approval__by="ben")
    with pytest.raises(Refused, match="nobody approved through this server"):
        promote(world.registry, world.version, world.store, world.home)
    assert world.aliases()["champion"] == 1


def test_rollback_restores_the_previous_champion_and_bars_the_other(world: World) -> None:
    with pytest.raises(NotPromotable, match="no previous"):
        rollback(world.registry, world.store, world.home, "cat")
    world.approve()
    promote(world.registry, world.version, world.store, world.home)
    rollback(world.registry, world.store, world.home, "cat")
    rollback(world.registry, world.store, world.home, "cat")
    assert world.aliases() == {"anchor": 1, "champion": 1, "previous": 1}
    assert json.loads((world.home / "serving" / "shop.json").read_text())["version"] == 1
    with pytest.raises(NotPromotable, match="rolled back by cat"):
        world.approve()


def test_an_approval_that_nobody_wrote_down_is_said_to_count_for_nothing_and_can_be_given_again(world: World) -> None:
    unguarded = Registry(world.client, world.registry.name)  # as on an MLflow server of any other app
    with pytest.raises(RegistryError, match="wrote down nobody as the approver of version 2"):
        approve(unguarded, world.version)
    with pytest.raises(NotPromotable):
        promote(world.registry, world.version, world.store, world.home)
    assert world.registry.version(world.version).tags["approval"] == "requested"
    assert "approved by ben" in world.approve()


def test_a_waiver_that_nobody_wrote_down_is_given_again_behind_the_guard(world: World) -> None:
    version = world.register("INCONCLUSIVE")
    with pytest.raises(RegistryError, match="wrote down nobody"):
        approve(Registry(world.client, world.registry.name), version, "we saw it")
    world.approve(version, waiver="we saw it")
    assert world.registry.version(version).tags["waiver.by"] == "ben"


def test_a_rejection_needs_a_reason_and_bars_approval(world: World) -> None:
    with pytest.raises(NotPromotable, match="without a reason"):
        reject(world.acting("ben", "approver"), world.version, "  ")
    reject(world.acting("ben", "approver"), world.version, "too curt")
    with pytest.raises(NotPromotable, match="rejected: too curt"):
        world.approve()


def test_a_baseline_whose_tags_name_another_model_is_not_believed(world: World) -> None:
    world.around(1, nightshift__model=world.model.digest)
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
        world.approve(open_)
    world.approve(open_, waiver="the house items are few, support asked for it")
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
        world.approve(far, waiver="please")
    # nor does a tag that says otherwise: the evidence's own numbers are looked at again
    world.around(far, nightshift__waivable="true")
    world.approve(far, waiver="please")
    with pytest.raises(NotPromotable, match="the evidence says INCONCLUSIVE"):
        promote(world.registry, far, world.store, world.home)
    assert world.aliases()["champion"] == 1


def test_evidence_that_calls_itself_waivable_against_its_own_numbers_is_not_believed(world: World) -> None:
    lies = world.register("INCONCLUSIVE", anchor_lower=-0.06, waivable=True)
    world.approve(lies, waiver="please")
    with pytest.raises(NotPromotable, match="the evidence says INCONCLUSIVE"):
        promote(world.registry, lies, world.store, world.home)


@pytest.mark.parametrize("verdict", ["FAIL", "BLOCK"])
def test_a_waiver_never_excuses_a_fail_or_a_block(world: World, verdict: str) -> None:
    version = world.register(verdict, anchor_lower=-0.01, waivable=True)
    with pytest.raises(NotPromotable, match="a waiver excuses INCONCLUSIVE only"):
        world.approve(version, waiver="please")
    assert "waiver" not in kinds(world)


def test_a_waiver_of_white_space_is_none(world: World) -> None:
    open_ = world.register("INCONCLUSIVE", anchor_lower=-0.01)
    with pytest.raises(NotPromotable, match="only PASS can be approved"):
        world.approve(open_, waiver="   ")


# --- re-anchoring ---


def test_re_anchoring_moves_the_alias_and_keeps_what_the_champion_had_lost(world: World) -> None:
    worse = world.register("INCONCLUSIVE", anchor_lower=-0.01, anchor_delta=-0.004)
    world.approve(worse, waiver="known and wanted")
    promote(world.registry, worse, world.store, world.home)
    told = reanchor(world.registry, world.store, world.home, "eva", "a new base line for spring")
    assert world.aliases()["anchor"] == worse
    assert "safety -0.0040" in told
    entry = read_ledger(ledger_path(world.home, "shop"))[-1]
    assert (entry.kind, entry.body["by"], entry.body["losses"]) == ("reanchor", "eva", {"safety": -0.004})
    assert entry.body["old"] == world.base.digest


def test_re_anchoring_that_died_before_the_alias_moved_is_taken_up_and_counted_once(world: World) -> None:
    worse = world.register("INCONCLUSIVE", anchor_lower=-0.01, anchor_delta=-0.004)
    world.approve(worse, waiver="known and wanted")
    promote(world.registry, worse, world.store, world.home)
    reanchor(world.registry, world.store, world.home, "eva", "spring")
    world.registry.swap_alias("anchor", 1, worse)
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
    world.approve()
    promote(world.registry, world.version, world.store, world.home)
    tags = {"nightshift.role": "base", **model_tags(world.other(), None, world.store)}
    elsewhere = world.registry.create("store:/other", None, tags, "")
    world.client.set_registered_model_alias("shop", "anchor", str(elsewhere))
    with pytest.raises(RegistryError, match="was never compared with the anchor"):
        reanchor(world.registry, world.store, world.home, "eva", "spring")
    assert "reanchor" not in kinds(world)


def test_an_unknown_version_is_named_with_those_there_are(world: World) -> None:
    with pytest.raises(RegistryError, match=r"no version 9; there are \[1, 2\]"):
        world.approve(9)
