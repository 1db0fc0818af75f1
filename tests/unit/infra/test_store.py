"""The store: written once, checked at every read, and nothing half-written."""

import errno
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.digest import digest_bytes, digest_of
from infra.errors import StoreError
from infra.store import Store, Tree, TreeFile


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


# ---- trees that somebody made to write elsewhere -------------------------------------------------------------------


def hostile(store: Store, *paths: str) -> Tree:
    """A tree whose digest is right and whose paths nothing has looked at."""
    blob = store.put_bytes(b"evil")
    files = tuple(TreeFile.model_construct(path=path, digest_=blob.digest_, size=blob.size) for path in paths)
    return Tree.model_construct(digest_=digest_of(files), files=files)


PATHS = ["../outside", "/tmp/outside-nightshift", "a/../../outside", "..\\outside", "a\x00b", ""]


@pytest.mark.parametrize("path", PATHS)
def test_a_tree_that_leaves_its_folder_is_refused_where_it_is_read(store: Store, path: str) -> None:
    text = hostile(store, path).model_dump_json()
    with pytest.raises(ValidationError, match="the file name"):
        Tree.model_validate_json(text)


@pytest.mark.parametrize("path", PATHS)
def test_checkout_writes_nothing_of_a_tree_that_leaves_its_folder(store: Store, tmp_path: Path, path: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    tree = hostile(store, "fine", path)
    with pytest.raises(StoreError, match="can't be laid out"):
        store.checkout(tree, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "outside").exists()
    assert {one for one in set(tmp_path.rglob("*")) - set(before) if store.root not in one.parents} == {store.root}


def test_checkout_does_not_write_through_a_link_that_lies_in_the_folder(store: Store, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="deep is a symbolic link"):
        store.checkout(hostile(store, "deep/config.json"), tmp_path / "out")
    assert not list(elsewhere.iterdir())


def test_checkout_replaces_a_link_instead_of_writing_to_what_it_names(store: Store, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").symlink_to(victim)
    store.checkout(hostile(store, "config.json"), tmp_path / "out")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "out" / "config.json").is_symlink()


def test_a_link_is_not_stored_as_the_file_it_names(store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("not for the store")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("1")
    (tmp_path / "in" / "tokenizer.model").symlink_to(tmp_path / "secret")
    with pytest.raises(StoreError, match=r"tokenizer\.model is a symbolic link"):
        store.put_tree(tmp_path / "in")


def test_a_name_that_could_not_be_laid_out_again_is_not_stored(store: Store, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a\\b").write_text("1")
    with pytest.raises(StoreError, match="backslash"):
        store.put_tree(tmp_path / "in")
