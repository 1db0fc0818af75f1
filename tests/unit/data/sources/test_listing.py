"""What a source holds: files, folders and globs, and what may not be read."""

import os
import pickle
from pathlib import Path

import pytest

from infra.settings import load_settings
from tasks.data.records import Record
from tasks.data.sources.objects import Caps
from tasks.data.sources.opening import identity
from tasks.data.sources.reading import read_object, read_objects
from tasks.errors import SourceError
from tests.sources import RECORDS, jsonl, listed, read, values, write


def tree(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jsonl(RECORDS))
    return root


def names(path: Path | str, kind: str = "pairs") -> list[str]:
    return [one.name for one in listed(path, kind)]


def test_a_folder_is_its_files_of_known_forms_sorted_by_name(tmp_path: Path) -> None:
    tree(tmp_path, "b/2.jsonl", "a.csv.zst", "b/1.parquet", "c/d/e.NDJSON.gz", "readme.txt", "f.jsonl.bak", "g.json")
    assert names(tmp_path) == ["a.csv.zst", "b/1.parquet", "b/2.jsonl", "c/d/e.NDJSON.gz"]


def test_a_source_of_documents_is_its_documents(tmp_path: Path) -> None:
    tree(tmp_path, "a.md", "b/c.html.gz", "d.PDF", "e.parquet", "f.txt", "a.questions.jsonl", "g.jsonl")
    assert names(tmp_path, "documents") == ["a.md", "a.questions.jsonl", "b/c.html.gz", "d.PDF", "f.txt"]


def test_what_isnt_finished_by_its_name_is_left_out(tmp_path: Path) -> None:
    tree(tmp_path, "a.jsonl", ".a.jsonl", ".tmp/b.jsonl", "x/_temporary/0/c.jsonl", "_d.jsonl")
    assert names(tmp_path) == ["_d.jsonl", "a.jsonl"]


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.jsonl", ["a.jsonl", "b.jsonl"]),
        ("?.jsonl", ["a.jsonl", "b.jsonl"]),
        ("[!a].jsonl", ["b.jsonl"]),
        ("2026-*", ["2026-11/a.jsonl", "2026-11/x/c.jsonl", "2026-12/a.jsonl"]),
        ("2026-*/a.jsonl", ["2026-11/a.jsonl", "2026-12/a.jsonl"]),
        ("**/a.jsonl", ["2026-11/a.jsonl", "2026-12/a.jsonl", "a.jsonl"]),
        ("2026-1[1]/**", ["2026-11/a.jsonl", "2026-11/x/c.jsonl"]),
    ],
)
def test_a_glob_finds_what_a_shell_would(tmp_path: Path, glob: str, found: list[str]) -> None:
    tree(tmp_path, "a.jsonl", "b.jsonl", "2026-11/a.jsonl", "2026-11/x/c.jsonl", "2026-12/a.jsonl", "a.txt")
    assert names(tmp_path / glob) == found


def test_a_folder_whose_name_looks_like_a_glob_is_that_folder(tmp_path: Path) -> None:
    tree(tmp_path, "[1]/a.jsonl", "1/b.jsonl")
    assert names(tmp_path / "[1]") == ["a.jsonl"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gone.jsonl", "doesn't exist"),
        ("empty", "holds nothing that ends in"),
        ("notes.txt", "an ending that is none of"),
        ("*.parquet", "holds nothing that ends in"),
        ("gone/*.jsonl", "which is no folder"),
        ("*/../a.jsonl", r"leaves its folder by `..`"),
        ("x" * 300, "can't be read"),
        ("pipe.jsonl", "no regular file"),
    ],
)
def test_a_source_that_can_not_be_one_is_named(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(SourceError, match=message) as caught:
        listed(tmp_path / source)
    assert source in str(caught.value)


def test_a_link_out_of_the_folder_is_refused_by_name_and_the_others_are_read(tmp_path: Path) -> None:
    source = tree(tmp_path / "source", "a.jsonl", "sub/b.jsonl")
    tree(tmp_path / "secret", "c.jsonl")
    (source / "file.jsonl").symlink_to(tmp_path / "secret" / "c.jsonl")
    (source / "up.jsonl").symlink_to("../secret/c.jsonl")
    (source / "folder").symlink_to(tmp_path / "secret")
    (source / "nothing.jsonl").symlink_to("gone.jsonl")
    (source / "inside.jsonl").symlink_to("sub/b.jsonl")
    found = {one.name: one for one in listed(source)}
    assert {name for name, one in found.items() if not one.refused} == {"a.jsonl", "inside.jsonl", "sub/b.jsonl"}
    assert {one.name for one in found.values() if "leads out of the source's folder" in one.refused} == {
        "file.jsonl",
        "up.jsonl",
        "folder",
    }
    (one,) = read_object(found["file.jsonl"], Caps(), load_settings())
    assert (one.line, one.raw) == (0, b"")
    assert "a link that leads out" in one.error  # pyright: ignore[reportAttributeAccessIssue]
    assert found["nothing.jsonl"].refused == "a link that leads nowhere"


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    tree(tmp_path, "a/b.jsonl")
    (tmp_path / "a" / "again").symlink_to("..")
    (tmp_path / "self.jsonl").symlink_to("self.jsonl")
    assert [(one.name, one.refused) for one in listed(tmp_path)] == [
        ("a/b.jsonl", ""),
        ("self.jsonl", "a link that leads nowhere"),
    ]


def test_a_source_that_is_a_link_itself_is_what_it_leads_to(tmp_path: Path) -> None:
    tree(tmp_path / "there", "a.jsonl")
    (tmp_path / "folder").symlink_to("there")
    (tmp_path / "file.jsonl").symlink_to("there/a.jsonl")
    assert names(tmp_path / "folder") == ["a.jsonl"]
    assert values(read(tmp_path / "file.jsonl")) == RECORDS


def test_a_name_that_is_no_utf8_is_refused_and_can_be_shown(tmp_path: Path) -> None:
    tree(tmp_path, "a.jsonl")
    write(Path(os.fsdecode(bytes(tmp_path) + b"/\xff.jsonl")), jsonl(RECORDS))
    strange = next(one for one in listed(tmp_path) if one.refused)
    assert strange.name.encode() == b"\\xff.jsonl" or "udcff" in strange.name
    assert strange.refused == "its name is no UTF-8"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tree(tmp_path, "a.jsonl") / "a.jsonl").chmod(0)
    with pytest.raises(SourceError, match="check its permissions"):
        read(tmp_path / "a.jsonl")


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_very_many_tiny_files_are_listed_and_read(tmp_path: Path, count: int) -> None:
    for n in range(count):
        (tmp_path / f"{n:05}.jsonl").write_bytes(b'{"a": %d}\n' % n)
    found = [(obj.name, list(made)) for obj, made in read_objects(listed(tmp_path), Caps(), load_settings())]
    assert found == [(f"{n:05}.jsonl", [Record({"a": n}, b'{"a": %d}' % n, 1)]) for n in range(count)]


def test_an_object_travels_to_another_process_and_keeps_its_identity(tmp_path: Path) -> None:
    tree(tmp_path, "a.jsonl", "b.jsonl", "c.jsonl")
    (tmp_path / "c.jsonl").write_bytes(b"other")
    objects = listed(tmp_path)
    assert pickle.loads(pickle.dumps(objects)) == objects
    one, same, other = (identity(obj) for obj in objects)
    assert one == same != other
