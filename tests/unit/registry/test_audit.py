"""The audit against a real registry on SQLite: what went around the guard is found, named and held; nothing is repaired."""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from mlflow import MlflowClient

from infra.digest import digest_of
from infra.ledger import GENESIS, Entry, append_to_tail, ledger_path
from infra.registry_guard.changes import Change
from infra.registry_guard.journal import journal_path
from tasks.errors import RegistryError
from tasks.registry.audit import differences
from tasks.registry.auditing import close_incident
from tasks.registry.client import ModelSeen, VersionSeen
from tasks.registry.expected import expected_state
from tasks.registry.file_audit import heads_path
from tasks.registry.findings import Finding
from tasks.registry.hold import hold_path, read_hold, refuse_held, release
from tasks.registry.incidents import read_incident, read_incidents
from tasks.registry.manifest import manifest_path, read_manifest, write_manifest
from tests.audited import ADMIN, APPROVER, SERVICE, TRAINER, World, empty_database


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return empty_database(tmp_path_factory.mktemp("schema"))


@pytest.fixture
def world(tmp_path: Path, empty: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("tasks.registry.auditing._PAUSE", 0.0)
    return World(tmp_path, empty)


def test_a_registry_that_only_the_guard_changed_has_no_finding(world: World) -> None:
    report = world.audit()
    assert report.findings == ()
    assert (report.models, report.versions, report.held, report.opened) == (1, 3, {}, ())
    assert report.lines == len(world.lines()) + len(world.ledger())
    assert read_incidents(world.home) == ({}, [])


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
    world.store.path(world.evidence["2"].digest_).unlink()


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
    """Every file but the audit's own: it writes incidents, holds and heads."""
    own = {"incidents", "head.json", "shop.hold.json", "forged.hold.json", "holds.jsonl", "mlflow.db"}
    return {
        str(path): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file() and not own & set(path.parts)
    }


def test_a_tag_that_guards_nothing_is_a_warning_and_opens_no_incident(world: World) -> None:
    add_free_tag(world)
    report = world.audit()
    assert [(one.kind, one.severity) for one in report.findings] == [("version-tag", "warning")]
    assert (report.critical, report.opened) == ((), ())
