"""A promotion with everything around it: exported before, deployed after, undone where a target doesn't serve it."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.errors import NightshiftError, TargetError
from infra.targets import Pointer, PointerTarget
from tasks.registry import rollout
from tasks.registry.initialise import record_policy
from tasks.registry.manifest import read_manifest
from tasks.registry.rollout import deploy_served, last_deployment, roll_back, roll_out
from tasks.registry.service import look, promote_or_say
from tasks.release import DeploySpec, ReleasePolicy
from tests.export_shop import Shop
from tests.registry_world import World

TARGET = "nightshift-pointer/shop"


class Refusing(PointerTarget):
    """A place that can't be pointed to one version: a fault planted by the test."""

    bad: int = 0

    def point(self, to: Pointer) -> None:
        if to.version == self.bad:
            raise TargetError(f"version {to.version} does not start", do="look at the server")
        super().point(to)


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Of its own: what other tests approve in theirs, a look at the registry would promote."""
    return Shop(tmp_path_factory.mktemp("untouched"))


@pytest.fixture
def world(untouched: Shop, tmp_path: Path) -> World:
    made = untouched.copied(tmp_path / "home")
    spec = DeploySpec(form="adapter", export=str(tmp_path / "models"), targets=(TARGET,), notify=("slack-webhook/x",))
    record_policy(made.registry, ReleasePolicy(deploy=spec))
    return made


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """Instead of a saved block, which needs a Prefect server."""
    made = Refusing(url=str(tmp_path / "pointers"), unprobed=True)
    monkeypatch.setattr(rollout, "target_named", lambda reference: made)
    return made


def pointed(target: Refusing) -> int | None:
    found = target.points_to()
    return found.version if found else None


def test_a_promotion_exports_moves_and_points_and_twice_changes_nothing(world: World, target: Refusing) -> None:
    told = roll_out(world.place(), 2, print)
    assert f"{TARGET}: serving" in told
    assert pointed(target) == 2
    manifest = read_manifest(world.home, "shop")
    assert manifest is not None
    assert manifest.artefact is not None
    assert (Path(manifest.artefact) / "manifest.intoto.json").is_file()
    assert last_deployment(world.home, "shop") == (manifest.ledger, True)
    assert [one.kind for one in world.told] == ["promoted"]
    again = roll_out(world.place(), 2, print)
    assert again.endswith("nothing changed")
    assert len(world.told) == 1


def test_a_target_that_does_not_serve_it_brings_the_alias_back_and_people_are_told(
    world: World, target: Refusing
) -> None:
    target.bad = 2
    told = roll_out(world.place(), 2, print)
    assert "does not start" in told
    assert world.aliases()["champion"] == 1
    assert world.registry.version(2).tags["approval"].startswith("rejected: rolled back by the smoke probe")
    manifest = read_manifest(world.home, "shop")
    assert manifest is not None
    assert (manifest.version, manifest.move) == (1, "rollback")
    assert [one.kind for one in world.told] == ["promoted", "incident"]
    # nothing is left to be done again
    asked: list[Any] = []
    look(world.place(), lambda *one: asked.append(one), print)
    assert asked == []
    assert world.aliases()["champion"] == 1


def test_a_rollback_points_back_also_to_a_base_model_that_was_never_exported(world: World, target: Refusing) -> None:
    roll_out(world.place(), 2, print)
    told = roll_back(world.place(), "cat", "too curt", None, print)
    assert f"{TARGET}: serving" in told
    assert pointed(target) == 1
    assert [one.kind for one in world.told] == ["promoted", "rolled back"]


def test_a_deployment_that_a_crash_cut_off_is_made_by_the_next_look(
    world: World, target: Refusing, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "deploy", crash)
        with pytest.raises(KeyboardInterrupt):
            roll_out(world.place(), 2, print)
    assert (world.aliases()["champion"], pointed(target)) == (2, None)
    look(world.place(), lambda *_: None, print)
    assert pointed(target) == 2
    assert deploy_served(world.place(), print, again=True) == ""


def test_an_export_that_cannot_be_made_moves_nothing_and_is_said_on_the_version(
    world: World, target: Refusing, tmp_path: Path
) -> None:
    planted = tmp_path / "models" / "shop" / f"2-{world.model.digest.removeprefix('sha256:')[:12]}-adapter"
    planted.mkdir(parents=True)
    (planted / "config.json").write_text("{}")
    with pytest.raises(NightshiftError):
        promote_or_say(world.place(), 2, print)
    assert world.aliases()["champion"] == 1
    assert pointed(target) is None


def test_without_a_policy_nothing_is_exported_and_no_target_asked(shop: Shop, tmp_path: Path) -> None:
    made = shop.copied(tmp_path / "plain")
    assert roll_out(made.place(), 2, print) == "version 2 of shop is champion; version 1 is previous"
    manifest = read_manifest(made.home, "shop")
    assert manifest is not None
    assert manifest.artefact is None
    assert json.loads(manifest.model_dump_json())["traffic"] == [{"version": 2, "share": 1.0}]


def test_a_way_back_that_no_target_takes_is_told_once_and_tried_again_when_somebody_asks(
    world: World, target: Refusing
) -> None:
    roll_out(world.place(), 2, print)
    target.bad = 1
    assert "INCIDENT" in roll_back(world.place(), "cat", "too curt", None, print)
    for _ in range(3):
        look(world.place(), lambda *_: None, print)
    assert [one.kind for one in world.told] == ["promoted", "rolled back", "incident"]
    assert (world.aliases()["champion"], pointed(target)) == (1, 2)
    target.bad = 0
    told = roll_back(world.place(), "cat", "too curt", None, print)
    assert "serves already" in told
    assert pointed(target) == 1


def test_a_target_that_cannot_be_loaded_is_found_before_anything_moves(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(reference: str) -> Any:
        raise TargetError(f"the target {reference} can't be loaded", do="save it")

    monkeypatch.setattr(rollout, "target_named", gone)
    with pytest.raises(TargetError, match="can't be loaded"):
        roll_out(world.place(), 2, print)
    assert world.aliases() == {"anchor": 1, "champion": 1}
    assert read_manifest(world.home, "shop") is None
