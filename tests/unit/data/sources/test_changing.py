"""A file that is written while it is read: what was appended waits for tomorrow, what was rewritten is read again."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from infra.settings import load_settings
from tasks.data.records import Broken, Record
from tasks.data.sources import opening, reading
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.opening import identity
from tasks.data.sources.reading import TRIES, read_bytes, read_object, settled
from tasks.errors import SourceChanged, SourceError
from tests.sources import PACKERS, Read, listed, parquet, values, write

CAPS = Caps()


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "CHUNK", 64)
    monkeypatch.setattr(reading, "_PAUSE_SECONDS", 0.001)


def lines(word: str, count: int = 50) -> bytes:
    return b"".join(b'{"a": "%s %d"}\n' % (word.encode(), n) for n in range(count))


def meanwhile(obj: SourceObject, change: Callable[[], object], after: int = 3) -> Read:
    """All records, with something done to the file after the first ones."""
    found: Read = []
    for one in read_object(obj, CAPS, load_settings()):
        found.append(one)
        if len(found) == after:
            change()
    return found


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def overwrite(path: Path, data: bytes) -> None:
    """In place: the same file, other bytes."""
    with path.open("r+b") as file:
        file.truncate(0)
        file.write(data)


def age(path: Path, seconds: float) -> None:
    then = path.stat().st_mtime - seconds
    os.utime(path, (then, then))


def same_time(path: Path, other: Path) -> Path:
    os.utime(other, ns=(0, path.stat().st_mtime_ns))
    return other


def test_a_file_that_grows_is_read_to_the_length_it_had(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    (obj,) = listed(path)
    found = meanwhile(obj, lambda: append(path, lines("new")))
    assert [one.raw + b"\n" for one in found] == lines("old").splitlines(keepends=True)


def test_half_a_last_line_of_a_file_that_grows_is_left_for_tomorrow(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old") + b'{"a": "ha')
    (obj,) = listed(path)
    append(path, b'lf"}\n')
    found = list(read_object(obj, CAPS, load_settings()))
    assert len(found) == len(values(found)) == 50
    (obj,) = listed(path)
    assert values(list(read_object(obj, CAPS, load_settings())))[-1] == {"a": "half"}


def test_half_a_last_line_of_a_file_that_holds_still_is_broken(tmp_path: Path) -> None:
    (obj,) = listed(write(tmp_path / "a.jsonl", lines("old") + b'{"a": "ha'))
    assert isinstance(list(read_object(obj, CAPS, load_settings()))[-1], Broken)


@pytest.mark.parametrize("packing", ["gz", "zst"])
def test_a_packed_file_that_grows_gives_what_is_whole(tmp_path: Path, packing: str) -> None:
    packed = PACKERS[f".{packing}"](lines("old")) + PACKERS[f".{packing}"](lines("more"))
    path = write(tmp_path / f"a.jsonl.{packing}", packed[:-10])
    (obj,) = listed(path)
    append(path, packed[-10:])
    found = list(read_object(obj, CAPS, load_settings()))
    assert all(isinstance(one, Record) for one in found)
    assert [one.raw for one in found][:50] == lines("old").splitlines()


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("size", [10, 50, 500])
def test_a_file_rewritten_while_it_is_read_is_never_two_states_at_once(tmp_path: Path, size: int, old: bool) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    if old:
        age(path, 3600)
    (obj,) = listed(path)
    with pytest.raises(SourceChanged, match=r"a\.jsonl (was|has)") as caught:
        meanwhile(obj, lambda: overwrite(path, lines("new", size)))
    assert isinstance(caught.value, SourceError)
    again = settled(listed(path)[0], load_settings(), lambda obj: list(read_object(obj, CAPS, load_settings())))
    assert [one.raw + b"\n" for one in again] == lines("new", size).splitlines(keepends=True)


def test_an_old_file_that_grows_while_it_is_read_is_read_again_and_then_taken(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    age(path, 3600)
    (obj,) = listed(path)
    calls: list[Read] = []

    def use(obj: SourceObject) -> Read:
        found = meanwhile(obj, lambda: None if calls else append(path, lines("new", 1)))
        calls.append(found)
        return found

    assert len(settled(obj, load_settings(), use)) == 51


def test_a_file_that_is_only_touched_is_no_change(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    (obj,) = listed(path)
    assert len(meanwhile(obj, lambda: os.utime(path))) == 50


def test_a_file_replaced_by_another_while_it_is_read_is_read_to_its_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    (obj,) = listed(path)
    write(tmp_path / "new", lines("new"))
    found = meanwhile(obj, lambda: (tmp_path / "new").replace(path))
    assert [one.raw for one in found] == lines("old").splitlines()


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.unlink(),
        lambda path: overwrite(path, lines("new", 3)),
        lambda path: write(path.with_name("b"), lines("new")).replace(path),
        lambda path: same_time(path, write(path.with_name("b"), lines("new"))).replace(path),
    ],
)
def test_a_file_that_changed_since_it_was_listed_is_not_read_as_what_it_was(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    (obj,) = listed(path)
    change(path)
    for use in (lambda: list(read_object(obj, CAPS, load_settings())), lambda: identity(obj)):
        with pytest.raises(SourceChanged, match=r"(since|when) it was listed"):
            use()


def test_a_file_that_never_holds_still_ends_with_what_to_do(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    (obj,) = listed(path)
    calls: list[SourceObject] = []

    def use(obj: SourceObject) -> Read:
        calls.append(obj)
        return meanwhile(obj, lambda: overwrite(path, lines(f"new {len(calls)}")))

    with pytest.raises(SourceError, match=rf"changed each of the {TRIES} times") as caught:
        settled(obj, load_settings(), use)
    assert not isinstance(caught.value, SourceChanged)
    assert len(calls) == TRIES
    assert "rename" in caught.value.do


def test_a_file_that_is_removed_for_good_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    (obj,) = listed(path)
    path.unlink()
    with pytest.raises(SourceError, match=r"a\.jsonl was removed"):
        settled(obj, load_settings(), lambda obj: list(read_object(obj, CAPS, load_settings())))


def test_parquet_that_is_written_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", parquet([{"a": n} for n in range(20)]))
    (obj,) = listed(path)
    with pytest.raises(SourceChanged):
        meanwhile(obj, lambda: append(path, b"more"))


def test_what_is_appended_changes_no_identity_of_what_was_listed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    (obj,) = listed(path)
    before = identity(obj)
    append(path, lines("new"))
    assert identity(obj) == before
    assert identity(listed(path)[0]) != before


def test_a_writer_that_never_stops_costs_no_whole_line_and_gives_no_broken_one(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", lines("old"))
    stop = threading.Event()

    def writes() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.wait(0.0003):
                for part in (b'{"a": "', b'new"}', b"\n"):
                    file.write(part)

    writer = threading.Thread(target=writes)
    writer.start()
    try:
        for _ in range(10):
            (obj,) = listed(path)
            found = settled(obj, load_settings(), lambda obj: list(read_object(obj, CAPS, load_settings())))
            # while it holds still for a moment in the middle of a line, that line counts as broken
            assert all(isinstance(one, Record) for one in found[:-1])
            assert len(found) >= 50
    finally:
        stop.set()
        writer.join()


def test_a_document_is_its_bytes_unpacked_and_one_that_is_too_large_is_broken(tmp_path: Path) -> None:
    def bytes_of(name: str, data: bytes, caps: Caps = CAPS) -> bytes | Broken:
        (obj,) = listed(write(tmp_path / name, data), "documents")
        return read_bytes(obj, caps, load_settings())

    assert bytes_of("a.md", b"# Title") == b"# Title"
    assert bytes_of("a.md.gz", PACKERS[".gz"](b"# Title")) == b"# Title"
    large = bytes_of("b.pdf", b"x" * 2000, Caps(document_bytes=1000))
    assert isinstance(large, Broken)
    assert "more than 1,000 bytes" in large.error
    assert isinstance(bytes_of("c.txt.gz", b"oops"), Broken)
