"""The order of an export's writes: killed anywhere it ends the same, and what is there is never replaced."""

import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_file
from infra.errors import ObjectConflict
from infra.objects import Objects, open_objects
from infra.settings import Settings
from tasks.errors import ExportError
from tasks.registry.export import Exported
from tasks.registry.export_check import verify_export
from tasks.registry.export_files import README, SIGNED
from tests.export_shop import BASE, MERGED, Dying, Killed, Shop, files_in, safetensors


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("at", range(len(MERGED)))
def test_an_export_killed_at_any_write_doesnt_exist_and_ends_the_same_without_sending_anything_twice(
    shop: Shop, tmp_path: Path, settings: Settings, place: Path, at: int, done: bool
) -> None:
    whole = open_objects(str(tmp_path / "whole"), settings)
    shop.export(whole)
    to = open_objects(str(tmp_path / "exports"), settings)
    dying = Dying(to, at, done=done)
    with pytest.raises(Killed):
        shop.export(dying)
    last = done and at == len(MERGED) - 1
    assert (place / SIGNED).exists() == last
    folder = place.relative_to(tmp_path / "exports").as_posix()
    if not last:
        assert "there is no export here" in verify_export(to, shop.key, folder)[0]
    again = Dying(to, -1, done=False)
    shop.export(again)
    assert sorted(dying.written + again.written) == sorted(f"{folder}/{name}" for name in MERGED)
    assert files_in(place) == files_in(tmp_path / "whole" / folder)
    assert verify_export(to, shop.key, folder) == []


def test_a_finished_export_is_found_without_merging_or_writing(shop: Shop, to: Objects) -> None:
    first = shop.export(to)
    before, counting = shop.merges, Dying(to, -1, done=False)
    assert shop.export(counting) == first._replace(sent=())
    assert (counting.written, shop.merges) == ([], before)


def test_another_file_under_a_name_of_ours_is_named_and_no_manifest_is_signed(
    shop: Shop, to: Objects, place: Path
) -> None:
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    with pytest.raises(ExportError, match=r"config\.json is there already and is another file"):
        shop.export(to)
    assert (place / "config.json").read_text() == "{}"
    assert not (place / SIGNED).exists()


def test_a_file_that_is_no_part_of_the_export_stops_it_before_anything_is_written(
    shop: Shop, to: Objects, place: Path
) -> None:
    place.mkdir(parents=True)
    (place / "pytorch_model.bin").write_bytes(b"evil")
    with pytest.raises(ExportError, match=r"holds pytorch_model\.bin, which is no part"):
        shop.export(to)
    assert set(files_in(place)) == {"pytorch_model.bin"}


def test_a_signed_export_that_lost_or_gained_a_file_is_not_taken_for_complete(
    shop: Shop, to: Objects, place: Path
) -> None:
    shop.export(to)
    data = (place / "config.json").read_bytes()
    (place / "config.json").unlink()
    with pytest.raises(ExportError, match=r"is signed, and lacks config\.json"):
        shop.export(to)
    (place / "config.json").write_bytes(data)
    (place / "extra.safetensors").write_bytes(b"x")
    with pytest.raises(ExportError, match=r"holds extra\.safetensors"):
        shop.export(to)


def test_a_signed_export_of_something_else_in_our_place_is_refused(shop: Shop, to: Objects, place: Path) -> None:
    other = Path(shop.export(to, 3, unapproved=True).url)
    place.mkdir(parents=True)
    for name, data in files_in(other).items():
        (place / name).write_bytes(data)
    with pytest.raises(ExportError, match="was exported with version = 3, now it is 2"):
        shop.export(to)


def test_two_exports_at_once_end_with_one_whole_export(shop: Shop, to: Objects, place: Path, tmp_path: Path) -> None:
    """Each holds the other up where both have seen that a file isn't there yet."""
    meet = threading.Barrier(2)

    class Meeting(Dying):
        def digest(self, key: str) -> Any:
            found = self._objects.digest(key)
            if found is None and not meet.broken:
                with suppress(threading.BrokenBarrierError):
                    meet.wait(5)
            return found

    folder = shop.laid_out(tmp_path / "merged", BASE | {"model.safetensors": safetensors(b"\3" * 8)})
    found: list[Any] = []

    def go() -> None:
        try:
            found.append(shop.export(Meeting(to, -1, done=False), merge=lambda model, quantise: folder))
        except Exception as error:  # noqa: BLE001 - the thread's error is the test's
            found.append(error)

    threads = [threading.Thread(target=go) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(one) for one in found] == [Exported, Exported]
    assert found[0].statement == found[1].statement == digest_file(place / SIGNED)
    assert sorted(found[0].sent + found[1].sent) == sorted(MERGED)
    assert verify_export(to, shop.key, place.relative_to(Path(to.url)).as_posix()) == []


def test_a_conflict_that_is_the_same_file_is_none(shop: Shop, to: Objects, place: Path) -> None:
    """Another export's file appears between the look and the write."""

    class Late(Dying):
        def put(self, key: str, data: bytes, **options: Any) -> str:
            if key.endswith(README):
                self._objects.put(key, data)
                raise ObjectConflict("it is there", do="look")
            return self._objects.put(key, data, **options)

    assert README not in shop.export(Late(to, -1, done=False)).sent
    assert verify_export(to, shop.key, place.relative_to(Path(to.url)).as_posix()) == []
