"""Objects in a folder: killed writers, links that lead out, what the disk refuses."""

import errno
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.errors import ObjectConflict, ObjectError
from infra.objects.folder import FolderObjects
from infra.settings import ROOT


@pytest.fixture
def objects(tmp_path: Path) -> FolderObjects:
    return FolderObjects(tmp_path / "objects")


def left(objects: FolderObjects) -> list[str]:
    return sorted(path.name for path in (objects.root / ".nightshift").iterdir())


def test_objects_are_plain_files_for_whoever_reads_the_folder(objects: FolderObjects) -> None:
    objects.put("model/config.json", b"{}")
    file = objects.root / "model" / "config.json"
    assert file.read_bytes() == b"{}"
    umask = os.umask(0)
    os.umask(umask)
    assert file.stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("key", ["out/a", "out/b/a", "deep/out/a", "file"])
def test_a_link_that_leads_out_is_followed_neither_to_read_nor_to_write(
    objects: FolderObjects, tmp_path: Path, key: str
) -> None:
    outside = tmp_path / "outside"
    (outside / "b").mkdir(parents=True)
    (outside / "a").write_bytes(b"secret")
    (objects.root / "deep").mkdir(parents=True)
    for link in ("out", "deep/out"):
        (objects.root / link).symlink_to(outside)
    (objects.root / "file").symlink_to(outside / "a")
    for call in (objects.get, objects.head, objects.digest, lambda key: objects.put(key, b"changed")):
        with pytest.raises(ObjectError, match=r"leads out of .* through a link"):
            call(key)
    with pytest.raises(ObjectError, match="leads out"):
        objects.keys("out/")
    assert (outside / "a").read_bytes() == b"secret"
    assert sorted(path.name for path in outside.rglob("*")) == ["a", "b"]


def test_an_object_and_a_folder_can_not_share_a_name(objects: FolderObjects) -> None:
    objects.put("a", b"1")
    objects.put("b/c", b"1")
    with pytest.raises(ObjectError, match="can't be written"):
        objects.put("a/b", b"2")
    for absent in (True, False):
        with pytest.raises(ObjectError, match="is a folder with other objects"):
            objects.put("b", b"2", absent=absent)
    assert objects.keys() == ["a", "b/c"]


KILLED = """
import sys
from infra.objects.folder import FolderObjects
from pathlib import Path

objects = FolderObjects(Path(sys.argv[1]))
objects._place = lambda *_: (print("written", flush=True), sys.stdin.read())
objects.put("a", b"new", absent=sys.argv[2] == "absent")
"""


@pytest.mark.parametrize("how", ["absent", "replaced"])
def test_a_writer_killed_before_the_name_is_given_leaves_the_old_object_and_no_rubbish(
    objects: FolderObjects, how: str
) -> None:
    old = None if how == "absent" else objects.put("a", b"old")
    command = [sys.executable, "-c", KILLED, str(objects.root), how]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"written\n"
        # it holds the lock now
        writer.send_signal(signal.SIGKILL)
    assert objects.get("a") == (None if old is None else (b"old", old))
    assert len(left(objects)) == 2
    objects.put("b", b"1")
    assert left(objects) == ["lock"]


def test_a_file_of_a_writer_that_lives_is_not_removed(objects: FolderObjects) -> None:
    with objects._temporary() as (temporary, _):
        objects.put("a", b"1")
        assert temporary.exists()
    assert left(objects) == ["lock"]


@pytest.mark.slow
def test_many_writers_never_sweep_away_what_another_is_writing(objects: FolderObjects) -> None:
    def write(writer: int) -> None:
        for number in range(60):
            objects.put(f"{writer}/{number}", b"%d" % number, absent=number % 2 == 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(objects.keys()) == 8 * 60
    assert left(objects) == ["lock"]


def test_a_name_given_by_somebody_without_our_lock_is_not_replaced(
    objects: FolderObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.write_bytes(b"theirs")
        link(source, target)

    monkeypatch.setattr("infra.objects.folder.os.link", late)
    with pytest.raises(ObjectConflict):
        objects.put("a", b"ours", absent=True)
    assert (objects.root / "a").read_bytes() == b"theirs"


def test_a_full_disk_is_said_and_leaves_the_old_object(objects: FolderObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    etag = objects.put("a", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("infra.objects.folder.os.fsync", full)
    with pytest.raises(ObjectError, match="can't be written: No space left on device"):
        objects.put("a", b"new")
    assert objects.get("a") == (b"old", etag)
    assert left(objects) == ["lock"]


def test_a_place_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    objects = FolderObjects(tmp_path / "file")
    assert objects.get("a") is None
    with pytest.raises(ObjectError, match="can't be written"):
        objects.put("a", b"1")


def test_a_foreign_file_with_a_name_of_no_object_is_named(objects: FolderObjects) -> None:
    objects.put("a/b", b"1")
    (objects.root / "a" / "what?").touch()
    with pytest.raises(ObjectError, match=r"'a/what\?' can't name an object"):
        objects.keys()
