"""What monitoring sees of a real registry: versions awaiting approval, audits, incidents, and what is held."""

from datetime import UTC, datetime, timedelta

from flows.observed import collect
from infra.exposition import Sample
from tasks.registry.auditing import close_incident
from tests.audited import APPROVER, TRAINER, World


def seen(world: World) -> dict[str, dict[tuple[str, ...], float]]:
    found: dict[str, dict[tuple[str, ...], float]] = {}
    samples: list[Sample] = collect(world.home, datetime.now(UTC))
    for one in samples:
        found.setdefault(one.name.removeprefix("nightshift_"), {})[one.labels] = one.value
    return found


def test_a_version_awaits_approval_from_its_registration_until_somebody_decides(world: World) -> None:
    (since,) = seen(world)["awaiting_since_timestamp_seconds"].values()
    assert seen(world)["awaiting_versions"] == {("shop",): 1.0}
    assert 0 < datetime.now(UTC).timestamp() - since < 3600
    second = world.register("4")
    assert seen(world)["awaiting_versions"] == {("shop",): 2.0}
    assert seen(world)["awaiting_since_timestamp_seconds"] == {("shop",): since}
    world.tag(APPROVER, "3", "approval", "rejected: no")
    yesterday = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    world.tag(TRAINER, second, "approval.expires", yesterday)
    assert seen(world)["awaiting_versions"] == {("shop",): 0.0}
    assert "awaiting_since_timestamp_seconds" not in seen(world)


def test_a_clean_audit_is_noted_and_one_that_finds_something_holds_and_is_not_clean(world: World) -> None:
    assert "audit_timestamp_seconds" not in seen(world)
    world.audit("shop")  # of one model: says nothing of the others
    assert "audit_timestamp_seconds" not in seen(world)
    world.audit()
    clean = seen(world)["audit_clean_timestamp_seconds"]
    assert seen(world)["serving_held"] == {("shop",): 0.0}
    world.client.set_registered_model_alias("shop", "champion", "3")
    report = world.audit()
    found = seen(world)
    assert found["audit_clean_timestamp_seconds"] == clean
    assert found["audit_timestamp_seconds"][()] >= clean[()]
    assert found["serving_held"] == {("shop",): 1.0}
    assert found["incidents_open"] == {("",): 0.0, ("shop",): 1.0}
    close_incident(world.home, report.critical[0].id, "ann", "known")
    found = seen(world)
    assert found["incidents_open"] == {("",): 0.0}
    assert found["serving_held"] == {("shop",): 0.0}


def test_an_edited_journal_is_unreadable_and_what_can_be_read_of_it_is_shown(world: World) -> None:
    lines = world.lines()
    world.write_lines([lines[0].replace("Nightshift", "Nightshitf"), lines[1].replace('"shop"', '"shoq"'), *lines[2:]])
    assert seen(world)["unreadable_files"]["journal",] == 1.0
    assert seen(world)["awaiting_versions"][("shop",)] == 1.0
