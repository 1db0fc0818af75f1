"""The store: written once, checked at every read, and nothing half-written."""

import errno
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.digest import digest_bytes
from infra.errors import StoreError
from infra.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def files(store: Store) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file()]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_what_is_put_is_read_back(store: Store, data: bytes) -> None:
    blob = store.put_bytes(data)
    assert blob.digest_ == digest_bytes(data)
    assert blob.size == len(data)
    assert store.read_bytes(blob) == data


def test_the_same_bytes_are_one_object(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    assert store.put_bytes(b"x").digest_ == store.put_file(tmp_path / "file").digest_
    assert len(files(store)) == 1


def test_a_changed_object_is_refused_by_name_whoever_reads_it(store: Store, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "weights").write_bytes(b"good")
    tree = store.put_tree(tmp_path / "folder")
    path = store.path(tree.files[0].digest_)
    path.chmod(0o644)
    path.write_bytes(b"evil")
    with pytest.raises(StoreError, match="has been changed"):
        store.checkout(tree, tmp_path / "out")
    with pytest.raises(StoreError, match="has been changed"):
        store.open_path(tree.files[0].digest_)
    assert not list((tmp_path / "out").glob("*"))


def test_a_missing_object_says_how_to_make_it_anew(store: Store) -> None:
    blob = store.put_bytes(b"x")
    store.path(blob.digest_).unlink()
    with pytest.raises(StoreError, match="--fresh"):
        store.read_bytes(blob)


def test_a_tree_comes_back_with_names_and_bytes_and_its_list_can_not_be_edited(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "deep").mkdir(parents=True)
    (folder / "a").write_text("1")
    (folder / "deep" / "b").write_text("2")
    tree = store.put_tree(folder)
    out = store.checkout(tree, tmp_path / "out")
    assert (out / "a").read_text() + (out / "deep" / "b").read_text() == "12"
    store.checkout(tree, tmp_path / "out")  # twice is no error
    edited = tree.model_copy(update={"files": tree.files[:1]})
    with pytest.raises(StoreError, match="file list of tree"):
        store.checkout(edited, tmp_path / "elsewhere")


def test_checkout_replaces_a_file_that_was_changed_there(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("good")
    tree = store.put_tree(tmp_path / "in")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").write_text("left by a killed attempt")
    assert (store.checkout(tree, tmp_path / "out") / "a").read_text() == "good"


def test_an_empty_folder_is_no_tree(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(StoreError, match="no files to store"):
        store.put_tree(tmp_path / "empty")


def test_a_full_disk_names_the_place_and_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        with path.open("wb") as file:
            file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(StoreError, match="No space left on device") as failed:
        store.put_bytes(b"something long")
    assert "NIGHTSHIFT_HOME" in failed.value.do
    assert str(store.root) in failed.value.what
    assert files(store) == []


@pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}])
def test_json_without_a_form_is_not_stored(store: Store, value: Any) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        store.put_json(value)
