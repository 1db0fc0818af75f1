"""The rollback drill on a real registry: a shadow moves, what serves stays, and a rollback that would fail is known."""

import itertools
from types import SimpleNamespace

import pytest

from tasks.errors import DrillFailed, NothingToDrill
from tasks.registry.client import Registry
from tasks.registry.drill import drill, read_drills, shadow_name
from tasks.registry.manifest import manifest_path, read_manifest
from tests.audited import World


def registry(world: World) -> Registry:
    return Registry(world.client, "shop")


def test_a_drill_moves_a_shadow_back_and_forth_and_nothing_that_serves(world: World) -> None:
    serving = manifest_path(world.home, "shop").read_bytes()
    done = drill(registry(world), world.store, world.home)
    assert (done.champion, done.previous, done.problem) == (2, 1, "")
    assert 0 < done.seconds <= 10
    aliases = {name: int(version) for name, version in world.client.get_registered_model("shop").aliases.items()}
    assert aliases == {"anchor": 1, "champion": 2, "previous": 1, "drill": 2}
    assert manifest_path(world.home, "shop").read_bytes() == serving
    shadow = read_manifest(world.home, shadow_name("shop"))
    assert shadow is not None
    assert (shadow.version, shadow.by) == (2, "drill")
    (kept,) = read_drills(world.home)
    assert {**kept, "at": ""} == {"at": "", **done.model_dump()}


def test_a_drill_fails_where_the_previous_version_is_damaged(world: World) -> None:
    path = world.store.path(world.base.base.files[0].digest_)
    path.chmod(0o644)
    path.write_text("other weights")
    with pytest.raises(DrillFailed, match="from version 2 to 1 would fail: version 1 of shop is damaged"):
        drill(registry(world), world.store, world.home)
    (kept,) = read_drills(world.home)
    assert "has been changed" in kept["problem"]


def test_a_drill_that_takes_too_long_fails_and_is_kept_with_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0, 11)
    # the drill's own clock: threads that other tests left look at the process's
    monkeypatch.setattr("tasks.registry.drill.time", SimpleNamespace(monotonic=lambda: next(clock)))
    with pytest.raises(DrillFailed, match=r"took 11\.0 s, and may take 10"):
        drill(registry(world), world.store, world.home)
    (kept,) = read_drills(world.home)
    assert kept["seconds"] == 11


def test_a_drill_fails_where_the_registry_does_not_do_what_it_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = registry(world)
    monkeypatch.setattr(shop, "swap_alias", lambda alias, number, expected: None)
    with pytest.raises(DrillFailed, match="the alias names None"):
        drill(shop, world.store, world.home)


def test_without_a_version_to_go_back_to_there_is_nothing_to_drill(world: World) -> None:
    world.client.delete_registered_model_alias("shop", "previous")
    with pytest.raises(NothingToDrill, match="champion is 2, previous None"):
        drill(registry(world), world.store, world.home)
    assert read_drills(world.home) == []
