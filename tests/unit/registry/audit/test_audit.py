"""The audit against a real registry on SQLite: what went around the guard is found and named; nothing is repaired."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from infra.digest import digest_of
from infra.ledger import GENESIS, Entry, ledger_path
from infra.registry_guard.changes import Change
from infra.registry_guard.journal import journal_path
from tasks.errors import RegistryError
from tasks.registry.audit import differences
from tasks.registry.client import ModelSeen, VersionSeen
from tasks.registry.client import read_all as read_really
from tasks.registry.expected import expected_state
from tasks.registry.file_audit import heads_path
from tasks.registry.incidents import read_incident, read_incidents
from tasks.registry.ledger_audit import ledger_findings
from tasks.registry.manifest import Share, manifest_path, read_manifest, write_manifest
from tests.audited import ADMIN, APPROVER, SERVICE, TRAINER, World


def test_a_registry_that_only_the_guard_changed_has_no_finding(world: World) -> None:
    report = world.audit()
    assert report.findings == ()
    assert (report.models, report.versions, report.held, report.opened) == (1, 3, {}, ())
    assert report.lines == len(world.lines()) + len(world.ledger())
    assert read_incidents(world.home) == ({}, {})


# --- attacks: (what is done, kind of finding, words in it, model held?) ---


def move_alias(world: World) -> None:
    MlflowClient(f"sqlite:///{world.database}").set_registered_model_alias("shop", "champion", "3")


def delete_previous(world: World) -> None:
    world.client.delete_registered_model_alias("shop", "previous")


def edit_tag(world: World) -> None:
    world.sql("update model_version_tags set value = 'approved' where key = 'approval' and version = 3")


def add_tag(world: World) -> None:
    world.client.set_model_version_tag("shop", "3", "waiver", "because")


def remove_tag(world: World) -> None:
    world.sql("delete from model_version_tags where key = 'nightshift.verdict' and version = 2")


def add_free_tag(world: World) -> None:
    world.client.set_model_version_tag("shop", "3", "colour", "red")


def edit_model_tag(world: World) -> None:
    world.sql("update registered_model_tags set value = 'x' where key = 'nightshift.initialised'")


def delete_version(world: World) -> None:
    world.sql("delete from model_version_tags where version = 3")
    world.sql("delete from model_versions where version = 3")


def hide_version(world: World) -> None:
    world.sql("update model_versions set current_stage = 'Deleted_Internal' where version = 3")


def make_version(world: World) -> None:
    world.client.create_model_version("shop", "store:/y", tags={"nightshift.key": "forged"})


def replace_version(world: World) -> None:
    world.sql("update model_versions set creation_time = 1 where version = 3")


def edit_description(world: World) -> None:
    world.sql("update model_versions set description = 'much better' where version = 3")


def stage_version(world: World) -> None:
    world.sql("update model_versions set current_stage = 'Production' where version = 3")


def make_model(world: World) -> None:
    world.client.create_registered_model("forged", tags={"nightshift.initialised": "x"})


def delete_model(world: World) -> None:
    world.client.delete_registered_model("shop")


def remove_line(world: World) -> None:
    lines = world.lines()
    world.write_lines([*lines[:6], *lines[7:]])


def edit_line(world: World) -> None:
    lines = world.lines()
    number = next(number for number, one in enumerate(lines) if '"user": "ann"' in one)
    world.write_lines([*lines[:number], lines[number].replace("ann", "eve"), *lines[number + 1 :]])


def swap_lines(world: World) -> None:
    lines = world.lines()
    world.write_lines([*lines[:4], lines[5], lines[4], *lines[6:]])


def copy_line(world: World) -> None:
    world.write_lines([*world.lines(), world.lines()[3]])


def cut_end(world: World) -> None:
    world.audit()  # keeps how far the journal went
    world.write_lines(world.lines()[:-2])


def remove_journal(world: World) -> None:
    world.audit()
    journal_path(world.home).unlink()


def cut_ledger(world: World) -> None:
    world.promote("3")
    world.audit()
    path = ledger_path(world.home, "shop")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def edit_ledger(world: World) -> None:
    path = ledger_path(world.home, "shop")
    path.write_text(path.read_text().replace("zoe", "eve"))


def forge_ledger(world: World) -> None:
    """A whole chain, written anew with another name."""
    (line,) = world.ledger()
    body = {**line.body, "by": "eve"}
    rest = (1, line.at, line.kind, body, GENESIS)
    forged = Entry(*rest, digest_of([*rest[:3], body, GENESIS]))
    ledger_path(world.home, "shop").write_text(json.dumps(forged._asdict()) + "\n")


def promote_without_a_line(world: World) -> None:
    """Through the guard, with the service account's password and past our code."""
    world.tag(APPROVER, "3", "approval", "approved")
    world.do(SERVICE, Change("set_alias", "shop", "2", alias="previous"))
    world.do(SERVICE, Change("set_alias", "shop", "3", alias="champion"))


def edit_manifest(world: World) -> None:
    manifest = read_manifest(world.home, "shop")
    assert manifest is not None
    write_manifest(world.home, manifest.model_copy(update={"version": 3}))


def edit_manifest_model(world: World) -> None:
    manifest = read_manifest(world.home, "shop")
    assert manifest is not None
    write_manifest(world.home, manifest.model_copy(update={"model_ref": world.card}))


def edit_manifest_by(world: World) -> None:
    manifest = read_manifest(world.home, "shop")
    assert manifest is not None
    write_manifest(world.home, manifest.model_copy(update={"by": "eve"}))


def serve_elsewhere(world: World) -> None:
    manifest = read_manifest(world.home, "shop")
    assert manifest is not None
    write_manifest(world.home, manifest.model_copy(update={"artefact": "s3://elsewhere/model"}))


def split_traffic(world: World) -> None:
    manifest = read_manifest(world.home, "shop")
    assert manifest is not None
    write_manifest(world.home, manifest.model_copy(update={"traffic": (Share(version=3, share=1.0),)}))


def unbind_manifest(world: World) -> None:
    manifest = read_manifest(world.home, "shop")
    assert manifest is not None
    write_manifest(world.home, manifest.model_copy(update={"ledger": None, "by": "eve"}))


def spoil_manifest(world: World) -> None:
    manifest_path(world.home, "shop").write_text("{")


def remove_manifest(world: World) -> None:
    manifest_path(world.home, "shop").unlink()


def flip_byte(world: World) -> None:
    assert world.model.adapter is not None
    path = world.store.path(world.model.adapter.files[0].digest_)
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


def remove_evidence(world: World) -> None:
    world.store.path(world.evidence_of("2").digest_).unlink()


def open_roles(world: World) -> None:
    path = world.home / "guard" / "users.json"
    path.write_text('{"ann": "trainer"}')
    path.chmod(0o644)


def invent_role(world: World) -> None:
    path = world.home / "guard" / "users.json"
    path.write_text('{"ann": "king"}')
    path.chmod(0o600)


def open_ledger(world: World) -> None:
    ledger_path(world.home, "shop").chmod(0o666)


def damage_heads(world: World) -> None:
    world.audit()
    heads_path(world.home).write_text("[]")


ATTACKS: list[tuple[Callable[[World], None], str, tuple[str, ...], bool]] = [
    (move_alias, "alias", ("alias champion of shop points to version 3", "says '2'", "service"), True),
    (delete_previous, "alias", ("alias previous of shop is not set", "says '1'"), True),
    (edit_tag, "version-tag", ("tag approval of version 3 of shop is 'approved'", "says 'requested'", "ann"), False),
    (add_tag, "version-tag", ("tag waiver of version 3", "'because'", "no line of the journal"), False),
    (remove_tag, "version-tag", ("nightshift.verdict of version 2", "is not set", "says 'PASS'"), False),
    (edit_model_tag, "model-tag", ("nightshift.initialised of shop is 'x'", "'at noon'"), False),
    (delete_version, "version-vanished", ("version 3 of shop", "registered by ann", "no line deletes it"), False),
    (hide_version, "version-vanished", ("version 3 of shop",), False),
    (make_version, "version-unknown", ("version 4 of shop", "no line registers it"), False),
    (replace_version, "version-replaced", ("version 3 of shop was created at 1",), False),
    (edit_description, "description", ("of version 3 of shop is 'much better'", "'no worse'"), False),
    (stage_version, "stage", ("'Production'", "'None'"), False),
    (make_model, "model-unknown", ("forged is in the registry", "no line"), True),
    (delete_model, "model-vanished", ("shop is not in the registry",), True),
    (remove_line, "journal", ("entry 7 was removed",), False),
    (edit_line, "journal", ("was edited",), False),
    (swap_lines, "journal", ("entry 5 was moved or copied",), False),
    (copy_line, "journal", ("entry 4 was moved or copied",), False),
    (cut_end, "journal", ("not the one that was kept elsewhere",), False),
    (remove_journal, "journal", ("not the one that was kept elsewhere",), True),
    (cut_ledger, "ledger", ("shop.jsonl: entry 2 is not the one that was kept elsewhere",), False),
    (edit_ledger, "ledger", ("shop.jsonl: line 1 (entry 1) was edited",), False),
    (forge_ledger, "manifest", ("line 1 of the ledger",), False),
    (promote_without_a_line, "ledger-journal", ("champion of shop moved from version 2 to 3", "without a line"), False),
    (edit_manifest, "manifest", ("serves version 3", "champion is version 2"), False),
    (edit_manifest_model, "manifest", ("says model_ref",), False),
    (edit_manifest_by, "manifest", ("says by 'eve'", "'zoe'"), False),
    (serve_elsewhere, "manifest", ("serves s3://elsewhere/model",), False),
    (split_traffic, "manifest", ("gives traffic to version 3",), False),
    (unbind_manifest, "manifest", ("names no line of the ledger",), False),
    (spoil_manifest, "manifest", ("can't be read",), False),
    (remove_manifest, "manifest-missing", ("no serving manifest", "version 2"), False),
    (flip_byte, "objects", ("version 2 of shop (champion)", "has been changed"), False),
    (remove_evidence, "objects", ("the store has no object",), False),
    (open_roles, "files", ("users.json is open to others (mode 644)",), False),
    (invent_role, "files", ("the role 'king'",), False),
    (open_ledger, "files", ("shop.jsonl is open to others (mode 666)",), False),
    (damage_heads, "journal", ("head.json can't be read",), False),
]


@pytest.mark.parametrize(("attack", "kind", "words", "holds"), ATTACKS, ids=[one[0].__name__ for one in ATTACKS])
def test_what_went_around_the_guard_is_found_in_one_run_named_and_not_repaired(
    world: World, attack: Callable[[World], None], kind: str, words: tuple[str, ...], holds: bool
) -> None:
    attack(world)
    registry, files = world.bytes(), untouched(world.home)
    report = world.audit()
    found = [one for one in report.critical if one.kind == kind and all(word in one.what for word in words)]
    assert len(found) == 1, [one.what for one in report.findings]
    assert found[0].do
    assert found[0].id in report.opened
    assert bool(report.held) == holds
    # a second run: the same incidents, no new one, and still nothing changed
    again = world.audit()
    assert again.opened == ()
    assert {one.id for one in again.critical} == {one.id for one in report.critical}
    incident = read_incident(world.home, found[0].id)
    assert incident is not None
    assert (incident.seen, incident.state) == (2, "open")
    assert world.bytes() == registry
    assert untouched(world.home) == files


def untouched(home: Path) -> dict[str, bytes]:
    """Every file but the audit's own: it writes incidents, holds, heads and when it ended."""
    own = {"incidents", "head.json", "audited.json", "shop.hold.json", "forged.hold.json", "holds.jsonl", "mlflow.db"}
    return {
        str(path): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file() and not own & set(path.parts)
    }


def test_a_tag_that_guards_nothing_is_a_warning_and_opens_no_incident(world: World) -> None:
    add_free_tag(world)
    report = world.audit()
    assert [(one.kind, one.severity) for one in report.findings] == [("version-tag", "warning")]
    assert (report.critical, report.opened) == ((), ())


# --- what is right, and what a crash leaves ---


def test_every_move_that_the_ledger_knows_is_right(world: World) -> None:
    world.promote("3")
    assert world.audit().findings == ()
    world.rollback()
    world.do(ADMIN, Change("delete_version", "shop", "3"))
    assert world.audit().findings == ()


def test_long_values_are_compared_to_their_last_character(world: World) -> None:
    world.tag(TRAINER, "3", "nightshift.note", "x" * 4000)
    world.do(TRAINER, Change("update_version", "shop", "3"), description="y" * 5000)
    assert world.audit().findings == ()
    world.client.set_model_version_tag("shop", "3", "nightshift.note", "x" * 3999 + "z")
    (found,) = world.audit().critical
    assert "nightshift.note of version 3" in found.what
    assert len(found.what) < 800


@pytest.mark.parametrize("die", ["before", "after"])
def test_a_change_that_never_ended_may_have_been_made_or_not_and_is_named(world: World, die: str) -> None:
    world.tag(APPROVER, "3", "approval", "approved", die=die)
    world.do(TRAINER, Change("create_version", "shop", tags={"nightshift.key": "4"}), die=die)
    report = world.audit()
    assert [(one.kind, one.severity) for one in report.findings] == [("unfinished", "warning")] * 2
    assert "zoe asked for set_version_tag 3 approval approved of shop" in report.findings[0].what
    # a third value is neither outcome
    world.client.set_model_version_tag("shop", "3", "approval", "rejected: x")
    (found,) = world.audit().critical
    assert "says 'requested' or 'approved'" in found.what


def test_a_registration_that_never_ended_explains_one_version_only(world: World) -> None:
    world.do(TRAINER, Change("create_version", "shop", tags={"nightshift.key": "4"}), die="after")
    world.client.create_model_version("shop", "store:/y", tags={"nightshift.key": "4"})
    (found,) = world.audit().critical
    assert (found.kind, found.about[0]) == ("version-unknown", "5")


def test_a_later_line_says_which_outcome_a_change_that_never_ended_had(world: World) -> None:
    world.tag(APPROVER, "3", "approval", "approved", die="before")
    world.tag(APPROVER, "3", "approval", "rejected: no", status=403)
    world.client.set_model_version_tag("shop", "3", "approval", "approved")
    (found,) = world.audit().critical
    assert "says 'requested'" in found.what


def test_an_alias_moved_around_the_guard_and_covered_by_a_later_move_is_still_found(world: World) -> None:
    move_alias(world)
    world.promote("3")  # the guard's line says that it met version 3
    (found,) = [one for one in world.audit().critical if one.kind == "alias"]
    assert "points to version 3, and the journal says '2'" in found.what
    assert "met it so" in found.what
    assert not found.holds


def test_a_promotion_that_a_crash_cut_off_is_a_warning(world: World) -> None:
    world.tag(APPROVER, "3", "approval", "approved")
    world.line("promotion", "3", "2", "zoe")
    report = world.audit()
    assert [(one.kind, one.severity) for one in report.findings] == [("ledger-journal", "warning")]
    assert "promotion of version 3" in report.findings[0].what
    world.do(SERVICE, Change("set_alias", "shop", "2", alias="previous"))
    world.do(SERVICE, Change("set_alias", "shop", "3", alias="champion"))
    report = world.audit()
    assert [(one.kind, one.severity) for one in report.findings] == [("manifest", "warning")]
    edit_manifest_by(world)  # no crash does that
    assert [one.kind for one in world.audit().critical] == ["manifest", "manifest"]


def test_a_move_that_a_crash_cut_off_and_its_line_carried_on_is_right(world: World) -> None:
    world.tag(APPROVER, "3", "approval", "approved")
    world.tag(SERVICE, "3", "approval.by", "zoe")
    line = world.line("promotion", "3", "2", "zoe")
    world.do(SERVICE, Change("set_alias", "shop", "2", alias="previous"))
    world.do(SERVICE, Change("set_alias", "shop", "3", alias="champion"), die="before")
    assert world.audit().critical == ()
    world.do(SERVICE, Change("set_alias", "shop", "3", alias="champion"))
    world.manifest(line, "3", "2", "zoe")
    assert world.audit().findings == ()


def test_a_line_of_the_ledger_belongs_to_one_move_however_fast_they_follow() -> None:
    """Clocks may differ by seconds, so a line may seem to be there before the first champion was set."""
    at = "2026-11-25T12:00:00.000+00:00"
    model = {"kind": "set_alias", "model": "shop", "alias": "champion"}
    entries: list[Entry] = []
    for version, was in (("1", None), ("2", "1"), ("1", "2")):
        body = {"request": version, "user": "bot", "ours": True, "change": {**model, "version": version}}
        entries.append(Entry(len(entries) + 1, at, "asked", {**body, "before": {"champion": was}}, GENESIS, GENESIS))
        entries.append(Entry(len(entries) + 1, at, "done", {**body, "status": 200, "after": {}}, GENESIS, GENESIS))
    ledger = [
        Entry(1, at, "promotion", {"version": 2, "was": 1}, GENESIS, GENESIS),
        Entry(2, at, "rollback", {"version": 1, "was": 2}, GENESIS, GENESIS),
    ]
    expected = expected_state(entries)
    assert list(ledger_findings("shop", expected, ledger)) == []
    (found,) = ledger_findings("shop", expected, ledger[:1])
    assert "moved from version 2 to 1" in found.what


def test_a_torn_last_line_is_what_a_crash_leaves(world: World) -> None:
    with journal_path(world.home).open("a") as file:
        file.write('{"seq": 99')
    assert [(one.kind, one.severity) for one in world.audit().findings] == [("journal", "warning")]


def test_a_change_under_way_while_the_audit_looks_is_no_finding(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is read first; the change is made and written down before the journal is."""
    looks = iter([True])

    def read_all(client: MlflowClient) -> object:
        found = read_really(client)
        if next(looks, False):
            world.tag(APPROVER, "3", "approval", "approved")
        return found

    monkeypatch.setattr("tasks.registry.auditing.read_all", read_all)
    assert world.audit().findings == ()


def test_others_models_are_not_ours_to_audit(world: World) -> None:
    world.client.create_registered_model("theirs")
    world.client.create_model_version("theirs", "store:/z", tags={"colour": "red"})
    assert world.audit().findings == ()
    with pytest.raises(RegistryError, match="no registered model 'theirs' of ours; there are: shop"):
        world.audit("theirs")


def test_thousands_of_versions_and_lines_are_compared_in_one_pass() -> None:
    at, entries, versions = "2026-11-25T12:00:00.000+00:00", [], {}

    def add(kind: str, number: int, change: dict[str, object], **more: object) -> None:
        body = {"request": f"r{number}", "user": "ann", "change": {"model": "big", **change}, "ours": True, **more}
        entries.append(Entry(len(entries) + 1, at, kind, body, GENESIS, GENESIS))

    for number in range(1, 5001):
        tags = {"nightshift.key": str(number)} | {f"nightshift.{n}": "x" * 50 for n in range(20)}
        create = {"kind": "create_version", "tags": tags}
        add("asked", number, create, before={})
        add("done", number, create, status=200, after={"version": str(number), "created": "5", "description": ""})
        versions[str(number)] = VersionSeen("5", dict(tags), "", "None")
    begun = time.process_time()
    expected = expected_state(entries)
    assert differences(expected, {"big": ModelSeen({}, "", versions, {})}, {}, {}) == ()
    versions["4711"].tags["nightshift.3"] = "y"
    (found,) = differences(expected, {"big": ModelSeen({}, "", versions, {})}, {}, {})
    assert "version 4711" in found.what
    assert time.process_time() - begun < 5
