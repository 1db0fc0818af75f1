"""Incidents and holds: a finding opens one once, only a person closes it, and closing accepts exactly that finding."""

import pytest

from infra.ledger import read_ledger
from tasks.errors import RegistryError
from tasks.registry.auditing import close_incident
from tasks.registry.hold import hold_path, read_hold, refuse_held, release
from tasks.registry.incidents import read_incident
from tasks.registry.manifest import manifest_path
from tests.audited import World


def move_alias(world: World) -> None:
    world.client.set_registered_model_alias("shop", "champion", "3")


def test_an_alias_finding_holds_serving_until_a_person_closes_it_by_name_and_reason(world: World) -> None:
    manifest = manifest_path(world.home, "shop").read_bytes()
    move_alias(world)
    (found,) = world.audit().critical
    there = read_hold(world.home, "shop")
    assert there is not None
    assert (there.version, there.finding, there.what) == (2, found.id, found.what)
    with pytest.raises(RegistryError, match="held at version 2"):
        refuse_held(world.home, "shop")
    assert manifest_path(world.home, "shop").read_bytes() == manifest
    with pytest.raises(RegistryError, match="without a reason"):
        close_incident(world.home, found.id, "cat", "  ")
    told = close_incident(world.home, found.id, "cat", "a restore that went wrong")
    assert "shop is held no more, by cat: a restore that went wrong" in told
    refuse_held(world.home, "shop")
    kinds = [(one.kind, one.body.get("by")) for one in read_ledger(world.home / "serving" / "holds.jsonl")]
    assert kinds == [("held", None), ("released", "cat")]


def test_a_closed_incident_is_accepted_while_it_lasts_and_opens_again_when_it_comes_back(world: World) -> None:
    move_alias(world)
    (found,) = world.audit().critical
    close_incident(world.home, found.id, "cat", "known")
    report = world.audit()
    assert (report.accepted, report.critical, report.held, report.opened) == ((found.id,), (), {}, ())
    world.client.set_registered_model_alias("shop", "champion", "2")
    assert world.audit().findings == ()
    move_alias(world)
    assert world.audit().opened == (found.id,)
    with pytest.raises(RegistryError, match="there is no incident nothing"):
        close_incident(world.home, "nothing", "cat", "x")


def test_an_incident_that_is_no_longer_so_waits_for_a_person_and_closes_once(world: World) -> None:
    move_alias(world)
    (found,) = world.audit().critical
    world.client.set_registered_model_alias("shop", "champion", "2")
    report = world.audit()
    assert (report.findings, report.waiting) == ((), (found.id,))
    assert report.held == {"shop": found.what}
    close_incident(world.home, found.id, "cat", "put back")
    assert world.audit().waiting == ()
    with pytest.raises(RegistryError, match="closed already by cat: put back"):
        close_incident(world.home, found.id, "cat", "again")


def test_a_hold_with_two_causes_is_released_when_both_are_closed(world: World) -> None:
    move_alias(world)
    world.client.delete_registered_model_alias("shop", "previous")
    first, second = world.audit().critical
    assert f"still held by incident {second.id}" in close_incident(world.home, first.id, "cat", "one")
    assert "held no more" in close_incident(world.home, second.id, "cat", "two")


def test_an_audit_of_one_model_leaves_the_incidents_of_others_alone(world: World) -> None:
    world.client.create_registered_model("forged", tags={"nightshift.initialised": "x"})
    (found,) = world.audit().critical
    assert world.audit("shop").waiting == ()
    incident = read_incident(world.home, found.id)
    assert incident is not None
    assert incident.state == "open"


def test_an_edited_incident_is_a_finding_and_does_not_close(world: World) -> None:
    move_alias(world)
    (found,) = world.audit().critical
    path = world.home / "incidents" / f"{found.id}.json"
    path.write_text(path.read_text().replace("opened", "closed"))
    assert {one.kind for one in world.audit().critical} == {"alias", "incident"}


def test_an_unreadable_hold_holds(world: World) -> None:
    path = hold_path(world.home, "shop")
    path.write_text("{")
    with pytest.raises(RegistryError, match=r"is held, and .* can't be read"):
        refuse_held(world.home, "shop")
    path.unlink()
    with pytest.raises(RegistryError, match="is not held"):
        release(world.home, "shop", "cat", "x")


def test_a_cut_journal_that_a_person_accepted_is_followed_from_there_on(world: World) -> None:
    world.audit()  # keeps how far the journal went
    world.write_lines(world.lines()[:-2])
    for one in world.audit().critical:
        close_incident(world.home, one.id, "cat", "restored from a copy")
    world.audit()
    report = world.audit()
    assert [one.kind for one in report.findings if one.kind == "journal"] == []
    world.write_lines(world.lines()[:-2])
    assert any("not the one that was kept elsewhere" in one.what for one in world.audit().critical)
