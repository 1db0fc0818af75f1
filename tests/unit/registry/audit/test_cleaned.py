"""A cleaning leaves an audit nothing to find: on a real registry, everything old, and things nobody needs beside it."""

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from infra.errors import ServerError
from tasks.contracts import Inputs
from tasks.registry.client import read_all
from tasks.registry.file_audit import damaged_objects
from tasks.registry.pinned import is_live, pinned
from tasks.retention import clean_home
from tests.audited import SERVICE, TRAINER, World
from tests.keeping import Kept, Spec


@pytest.fixture
def world(home: Path, template: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("tasks.registry.auditing._PAUSE", 0.0)
    return World.copied(template, home)


def make_old(home: Path) -> None:
    for path in home.rglob("*"):
        os.utime(path, (1e9, 1e9))


def test_after_a_cleaning_the_audit_is_clean_and_every_version_is_whole(world: World) -> None:
    world.rollback()
    junk = world.store.put_bytes(b"nobody's")
    make_old(world.home)
    assert [one.kind for one in clean_home(dry_run=True).freed] == ["objects"]
    assert world.store.has(junk.digest_)
    clean_home(dry_run=False)
    assert not world.store.has(junk.digest_)
    assert world.audit().findings == ()
    for number, version in read_all(world.client)["shop"].versions.items():
        assert damaged_objects(version.tags, world.store) == [], number


def test_a_version_deleted_from_the_registry_is_kept_by_the_journal(world: World) -> None:
    blob = world.evidence_of("3")
    world.sql("DELETE FROM model_version_tags WHERE version = 3")
    world.sql("DELETE FROM model_versions WHERE version = 3")
    make_old(world.home)
    clean_home(dry_run=False)
    assert world.store.has(blob.digest_)  # whoever restores the registry finds its version whole


def test_without_the_registry_nothing_is_cleaned(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    junk = world.store.put_bytes(b"nobody's")
    make_old(world.home)
    monkeypatch.setenv("NIGHTSHIFT_MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ServerError, match="doesn't answer"):
        clean_home(dry_run=False)
    assert world.store.has(junk.digest_)


def test_live_is_what_an_alias_names_and_what_may_still_be_promoted(world: World) -> None:
    seen = read_all(world.client)["shop"]
    assert {number: is_live(seen, number) for number in seen.versions} == {"1": True, "2": True, "3": True}
    world.tag(TRAINER, "3", "approval", "rejected: no")
    seen = read_all(world.client)["shop"]
    assert not is_live(seen, "3")
    world.tag(TRAINER, "3", "approval", "approved")
    assert is_live(read_all(world.client)["shop"], "3")
    world.tag(SERVICE, "3", "nightshift.promoted", "2026-11-26")  # long ago: others serve since
    assert not is_live(read_all(world.client)["shop"], "3")


def test_rows_that_another_version_of_the_same_inputs_needs_are_not_let_go(tmp_path: Path) -> None:
    kept = Kept(tmp_path)
    kept.night(1, Spec(age=200, used=200, registered=True))
    before = datetime.fromtimestamp(datetime.now(UTC).timestamp() - 90 * 86_400, UTC)
    (inputs,) = pinned(kept.seen, kept.store, before).let_go
    rows = Inputs.model_validate_json(kept.store.open_path(inputs).read_bytes()).snapshot.shards[0].rows
    assert pinned(kept.seen, kept.store, before).let_go == {inputs: frozenset({rows.digest_})}
    twin = kept.model.versions["1"]
    kept.model.versions["2"] = twin._replace(tags={**twin.tags, "approval": "requested"})
    assert pinned(kept.seen, kept.store, before).let_go == {}
    shutil.rmtree(kept.home / "store")  # evidence that can't be read lets go of nothing
    assert pinned(kept.seen, kept.store, before).let_go == {}
