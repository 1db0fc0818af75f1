"""The pointer target in a real folder and on a real S3 server."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from infra.errors import NightshiftError, TargetError
from infra.objects import open_objects
from infra.settings import load_settings
from infra.targets.base import Pointer, read_pointer
from infra.targets.pointer import PointerTarget


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "serving") if request.param == "folder" else request.getfixturevalue("s3_url")


def pointer(version: int, name: str = "shop", **changes: Any) -> Pointer:
    digest = f"sha256:{version:064x}"
    fields: dict[str, Any] = {"name": name, "version": version, "model": digest, "manifest": digest}
    fields |= {"artefact": f"s3://models/{name}/{version}", "at": "2026-11-26T02:00:00Z"}
    return Pointer(**(fields | changes))


def target_at(place: str, **more: Any) -> PointerTarget:
    return PointerTarget(url=place, unprobed=True, **more)


def raw(place: str) -> bytes:
    held = open_objects(place, load_settings()).get("pointer.json")
    assert held is not None
    return held.data


def test_a_pointer_moves_and_says_where_it_points(place: str) -> None:
    target = target_at(place)
    assert (target.points_to(), target.knows(), target.check()) == (None, True, [])
    for version in (1, 2, 1):
        target.point(pointer(version))
        assert target.points_to() == pointer(version)
    assert target.check() == []


def test_what_a_server_reads_is_one_json_object_with_all_it_needs(place: str) -> None:
    target_at(place).point(pointer(1))
    assert json.loads(raw(place)) == {
        "form": "nightshift/pointer/1",
        "name": "shop",
        "version": 1,
        "model": pointer(1).model,
        "artefact": "s3://models/shop/1",
        "manifest": pointer(1).model,
        "at": "2026-11-26T02:00:00Z",
    }


def test_pointing_twice_writes_once_even_at_another_time(place: str) -> None:
    target = target_at(place)
    target.point(pointer(1))
    before = raw(place)
    target.point(pointer(1, at="2027-01-01T00:00:00Z"))
    assert raw(place) == before


def test_of_two_that_move_it_at_once_one_is_refused_and_nothing_is_lost(place: str) -> None:
    target_at(place).point(pointer(1))
    start, refused = threading.Barrier(4), []

    def move(version: int) -> None:
        start.wait()
        try:
            target_at(place).point(pointer(version))
        except TargetError as error:
            refused.append((version, error.what))

    threads = [threading.Thread(target=move, args=(version,)) for version in (2, 3, 4, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now = target_at(place).points_to()
    assert now is not None
    assert now.version in {2, 3, 4, 5} - {version for version, _ in refused}
    assert all("was moved by somebody else" in what for _, what in refused)


def test_a_move_behind_ones_back_is_refused(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = target_at(place)
    target.point(pointer(1))
    objects = open_objects(place, load_settings())
    held = objects.get("pointer.json")
    target.point(pointer(2))

    class Late:
        """What this one reads is from before the other's write."""

        def get(self, key: str) -> Any:
            return held

        def put(self, *arguments: Any, **options: Any) -> str:
            return objects.put(*arguments, **options)

    monkeypatch.setattr("infra.targets.pointer.open_objects", lambda url, settings: Late())
    with pytest.raises(TargetError, match=r"was moved by somebody else while it was pointed to version 3 of shop"):
        target.point(pointer(3))
    monkeypatch.undo()


def test_another_registered_models_pointer_is_not_overwritten(place: str) -> None:
    target = target_at(place)
    target.point(pointer(1))
    with pytest.raises(TargetError, match="serves shop, not bank"):
        target.point(pointer(1, "bank"))
    assert target.points_to() == pointer(1)
    target_at(place, file="bank.json").point(pointer(1, "bank"))
    assert target_at(place, file="bank.json").points_to() == pointer(1, "bank")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"name": "shop"}', '{"form": "nightshift/pointer/2"}'])
def test_what_is_no_pointer_is_named_and_never_overwritten(place: str, text: str) -> None:
    open_objects(place, load_settings()).put("pointer.json", text.encode())
    target = target_at(place)
    (problem,) = target.check()
    assert "pointer.json holds is no pointer" in problem
    with pytest.raises(TargetError, match="holds is no pointer"):
        target.point(pointer(1))
    assert raw(place) == text.encode()


@pytest.mark.parametrize("file", ["../pointer.json", "/etc/passwd", "a\\b", "a//b"])
def test_a_pointer_can_not_leave_its_place(tmp_path: Path, file: str) -> None:
    target = target_at(str(tmp_path / "serving"), file=file)
    assert len(target.check()) == 1
    with pytest.raises(NightshiftError):
        target.point(pointer(1))
    assert not (tmp_path / "pointer.json").exists()


def test_a_place_of_another_kind_is_a_problem_and_its_password_does_not_show() -> None:
    (problem,) = target_at("https://user:planted@host/x").check()
    assert "is no place for objects" in problem
    assert "planted" not in problem


@pytest.mark.parametrize(
    "change",
    [{"name": "Shop"}, {"name": "../shop"}, {"version": 0}, {"model": "sha256:abc"}, {"artefact": ""}, {"extra": 1}],
)
def test_a_pointer_with_an_invalid_field_can_not_be_read(change: dict[str, Any]) -> None:
    with pytest.raises(TargetError, match=f"no pointer: {next(iter(change))}: "):
        read_pointer(json.dumps(pointer(1).model_dump() | change), "a test")


def test_the_served_name_holds_version_and_digest() -> None:
    assert pointer(3).served_name == "shop-3-000000000000"
    assert not pointer(3).same(None)
    assert pointer(3).same(pointer(3, at="later"))
    assert not pointer(3).same(pointer(3, artefact="elsewhere"))
