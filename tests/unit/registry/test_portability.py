"""Where champion and candidate were trained, from the registry; and what a receipt in the evidence is worth."""

from typing import Any

import pytest

from infra.digest import digest_of
from infra.store import Blob, Tree
from tasks.contracts import (
    Candidate,
    Evidence,
    Inputs,
    PhaseVerdict,
    Plan,
    Portability,
    Preferences,
    Shard,
    Snapshot,
)
from tasks.errors import NotPromotable
from tasks.portability import least_shown
from tasks.registry.file_audit import damaged_objects
from tasks.registry.portability import NEVER, champion_device
from tasks.registry.promote import check_objects
from tasks.registry.register import version_tags
from tests.registry_world import World
from tests.unit.cost.bills import bill


def inputs(world: World, device: str | None) -> Blob:
    blob = world.store.put_bytes(b"x")
    tree = Tree(digest_=digest_of(()), files=())
    candidate = Candidate(
        model=world.model, preferences=digest_of("p"), recipe=digest_of("r"), history=blob, mlflow_run="", device=device
    )
    found = Inputs(
        recipe=blob,
        snapshot=Snapshot(shards=(Shard(rows=blob, n_rows=1),), n_rows=1, files=()),
        preferences=Preferences(
            train=blob, house=blob, quarantine=blob, profile=blob, data_docs=tree, page=blob,
            n_train=1, n_house=0, n_held_out=0,
            n_quarantined=0, warnings=(),
        ),
        plan=Plan(
            train=True, reason="", new_pairs=1, pairs=1, steps=1, memory_bytes=1, seconds=1, amount=1, currency="EUR"
        ),
        candidate=candidate,
    )  # fmt: skip
    return world.store.put_bytes(found.model_dump_json().encode())


def registered(world: World, **changes: Any) -> int:
    """A version whose evidence has these fields."""
    evidence = world.evidence("PASS", night=str(sorted(changes))).model_copy(update=changes)
    blob = world.store.put_bytes(evidence.model_dump_json().encode())
    return world.register("PASS", night=str(sorted(changes)), nightshift__evidence=blob.model_dump_json())


def test_a_base_model_was_trained_on_no_device_of_ours(world: World) -> None:
    assert champion_device(world.registry, 1, world.store) == NEVER


def test_a_trained_version_says_where_and_one_of_before_that_was_kept_does_not(world: World) -> None:
    for device in ("mi355x", None):
        version = registered(world, inputs=inputs(world, device))
        assert champion_device(world.registry, version, world.store) == device
    assert champion_device(world.registry, world.version, world.store) is None


def test_evidence_that_is_lost_leaves_it_unknown_and_not_the_same(world: World) -> None:
    kept = inputs(world, "mi355x")
    version = registered(world, inputs=kept)
    world.store.path(kept.digest_).unlink()
    assert champion_device(world.registry, version, world.store) is None


def moved(receipt: Blob | None) -> Portability:
    finding = "none" if receipt is None else "agrees"
    return Portability(trained="mi355x", champion="h100", finding=finding, receipt=receipt, told="It moved.")


def test_evidence_of_before_receipts_reads_and_a_receipt_changes_no_key(world: World) -> None:
    evidence = world.evidence("PASS")
    old = evidence.model_dump(exclude={"portability"})
    assert Evidence.model_validate(old) == evidence
    assert evidence.model_copy(update={"portability": moved(None)}).key == evidence.key


def test_a_version_is_tagged_with_the_finding_only_where_the_training_moved(world: World) -> None:
    class Night:
        name = "n"

    evidence = world.evidence("PASS")
    blob = world.store.put_bytes(b"e")
    for portability, tag in ((None, None), (moved(None), "none"), (moved(blob), "agrees")):
        one = evidence.model_copy(update={"portability": portability})
        tags = version_tags(one, blob, bill(), Night(), world.store, None)  # type: ignore[arg-type]
        assert tags.get("nightshift.portability") == tag


def test_a_receipt_that_is_in_the_evidence_and_was_changed_since_stops_a_promotion_and_is_audited(world: World) -> None:
    receipt = world.store.put_bytes(b"a receipt")
    evidence = world.evidence("PASS").model_copy(update={"portability": moved(receipt)})
    version = registered(world, portability=moved(receipt))
    check_objects(evidence, version, world.store)
    tags = world.registry.version(version).tags
    assert damaged_objects(tags, world.store) == []
    path = world.store.path(receipt.digest_)
    path.chmod(0o644)
    path.write_bytes(b"another one")
    with pytest.raises(NotPromotable, match=r"has been changed"):
        check_objects(evidence, version, world.store)
    (problem,) = damaged_objects(tags, world.store)
    assert receipt.digest_ in problem


def test_a_version_of_several_phases_says_which_it_is_and_what_was_said_of_each(world: World) -> None:
    class Night:
        name = "n"

    evidence = world.evidence("PASS")
    blob = world.store.put_bytes(b"e")
    phases = (
        PhaseVerdict(number=1, method="dpo", verdict="FAIL", told=""),
        PhaseVerdict(number=2, method="ppo", verdict="PASS", chosen=True, told=""),
        PhaseVerdict(number=3, method="grpo", told="spent"),
    )
    several = evidence.model_copy(update={"verdict": evidence.verdict.model_copy(update={"phases": phases})})
    assert several.key != evidence.key
    tags = version_tags(several, blob, bill(), Night(), world.store, None)  # type: ignore[arg-type]
    assert tags["nightshift.phase"] == "2 ppo"
    assert tags["nightshift.phases"] == "1 dpo: FAIL; 2 ppo: PASS; 3 grpo: no candidate"
    alone = version_tags(evidence, blob, bill(), Night(), world.store, None)  # type: ignore[arg-type]
    assert not {"nightshift.phase", "nightshift.phases"} & set(alone)


def test_of_several_phases_that_moved_the_one_that_is_shown_least_is_told() -> None:
    def one(finding: str) -> Portability:
        return moved(None).model_copy(update={"finding": finding, "told": finding})

    found = [one(finding) for finding in ("agrees", "none", "disagrees", "unknown")]
    assert [least_shown(found[:count]) for count in (1, 2, 3, 4)] == [found[0], found[1], found[2], found[2]]
    assert least_shown([one("none"), one("unknown")]) == one("unknown")
    assert least_shown([]) is None
