"""A ledger kept elsewhere: nothing twice, nothing left out, and whatever is removed, edited or moved later is named."""

import json
import multiprocessing
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.digest import Digest
from infra.errors import LedgerError, ObjectConflict, ObjectError
from infra.ledger import append, append_to_tail, read_ledger
from infra.ledger_export import Exported, compare_with_export, export_ledger, exported_head, head_key, segment_key
from infra.objects import Held, Objects, Stat, open_objects
from infra.settings import load_settings

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
NAME = "registry"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.jsonl"


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.slow)])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    url = str(tmp_path / "elsewhere") if request.param == "folder" else request.getfixturevalue("s3_url")
    return open_objects(url, load_settings())


@pytest.fixture
def folder(tmp_path: Path) -> Objects:
    return open_objects(str(tmp_path / "elsewhere"), load_settings())


def grow(path: Path, count: int) -> None:
    start = len(read_ledger(path))
    for number in range(start, start + count):
        append(path, "asked", {"night": number}, NOON + timedelta(minutes=number))


def segments(objects: Objects) -> dict[str, bytes]:
    held = {key: objects.get(key) for key in objects.keys(f"ledger/{NAME}/") if key != head_key(NAME)}
    return {key: one.data for key, one in held.items() if one is not None}


def whole(objects: Objects) -> bytes:
    return b"".join(data for _, data in sorted(segments(objects).items()))


def test_what_is_new_is_sent_in_a_segment_of_its_own(path: Path, objects: Objects) -> None:
    grow(path, 3)
    first = export_ledger(path, objects, NAME)
    grow(path, 2)
    second = export_ledger(path, objects, NAME)
    assert (first.lines, second.lines) == (3, 2)
    assert list(segments(objects)) == [segment_key(NAME, 1, 3), segment_key(NAME, 4, 5)]
    assert whole(objects) == path.read_bytes()
    assert second.head == exported_head(objects, NAME)
    assert second.head is not None
    assert (second.head.seq, second.head.digest_) == (5, read_ledger(path)[-1].digest)
    assert compare_with_export(path, objects, NAME) == []


def test_the_names_say_the_first_and_the_last_entry_and_sort_as_they_follow() -> None:
    assert segment_key("registry", 4, 17) == "ledger/registry/000000000004-000000000017.jsonl"


def test_a_second_export_writes_nothing(path: Path, objects: Objects) -> None:
    grow(path, 2)
    export_ledger(path, objects, NAME)
    before = {key: objects.head(key) for key in objects.keys("ledger/")}
    assert export_ledger(path, objects, NAME) == Exported(0, exported_head(objects, NAME))
    assert {key: objects.head(key) for key in objects.keys("ledger/")} == before


def test_a_ledger_that_was_never_written_exports_nothing(path: Path, folder: Objects) -> None:
    assert export_ledger(path, folder, NAME) == Exported(0, None)
    assert compare_with_export(path, folder, NAME) == []
    assert folder.keys() == []


def test_two_ledgers_of_one_place_are_apart(path: Path, folder: Objects, tmp_path: Path) -> None:
    grow(path, 2)
    grow(tmp_path / "other", 1)
    export_ledger(path, folder, NAME)
    export_ledger(tmp_path / "other", folder, f"{NAME}-2")
    assert exported_head(folder, f"{NAME}-2") != exported_head(folder, NAME)
    assert compare_with_export(path, folder, NAME) == compare_with_export(tmp_path / "other", folder, f"{NAME}-2") == []


def test_a_line_cut_by_a_crash_is_sent_only_once_it_is_whole(path: Path, folder: Objects) -> None:
    grow(path, 3)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert export_ledger(path, folder, NAME).lines == 2
    assert compare_with_export(path, folder, NAME) == []
    path.write_bytes(data)
    assert export_ledger(path, folder, NAME).lines == 1
    assert whole(folder) == data


def test_a_long_ledger_goes_in_several_segments(path: Path, folder: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.ledger_export._LINES", 3)
    grow(path, 8)
    assert export_ledger(path, folder, NAME).lines == 8
    assert list(segments(folder)) == [segment_key(NAME, *bounds) for bounds in ((1, 3), (4, 6), (7, 8))]
    assert whole(folder) == path.read_bytes()


@pytest.mark.parametrize("name", ["", "..", "a/../b", "../registry", "a\0"])
def test_a_name_that_would_leave_its_place_is_refused(path: Path, folder: Objects, name: str) -> None:
    grow(path, 1)
    for call in (export_ledger, compare_with_export):
        with pytest.raises(ObjectError, match="can't name an object"):
            call(path, folder, name)


# --- what happened to the ledger since ---


def lines_of(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True)


CHANGES: list[tuple[Callable[[list[bytes]], list[bytes]], list[str]]] = [
    (lambda lines: lines[:-1], ["entry 5 was removed"]),
    (lambda lines: lines[:3], ["entry 4 was removed", "entry 5 was removed"]),
    (lambda lines: [], [f"entry {seq} was removed" for seq in range(1, 6)]),
    (lambda lines: lines[1:], ["entry 1 was removed"]),
    (lambda lines: [*lines[:2], *lines[3:]], ["entry 3 was removed"]),
    (lambda lines: [*lines[:4], lines[4][:-1]], ["entry 5 was removed"]),
    (lambda lines: [*lines[:4], lines[4][:20]], ["entry 5 was removed"]),
    (lambda lines: [lines[0], lines[1].replace(b'"night": 1', b'"night": 9'), *lines[2:]], ["entry 2 was edited"]),
    (lambda lines: [lines[0], lines[1].replace(b": ", b":  "), *lines[2:]], ["entry 2 was edited"]),
    (lambda lines: [lines[0], lines[1].replace(b"\n", b" \n"), *lines[2:]], ["entry 2 was edited"]),
    (lambda lines: [lines[0], b"nothing\n", *lines[2:]], ["line 2 (unreadable) was put", "entry 2 was removed"]),
    (lambda lines: [lines[0], b"\n", *lines[1:]], ["line 2 (unreadable) was put"]),
    (
        lambda lines: [lines[0], lines[2], lines[1], *lines[3:]],
        ["entry 2 was moved after it was exported: it is line 3", "entry 3 was moved"],
    ),
    (lambda lines: [*lines[1:], lines[0]], [f"entry {seq} was moved" for seq in range(1, 6)]),
    (lambda lines: [*lines, lines[1]], ["line 6 (entry 2) was put"]),
    (
        lambda lines: [lines[0], lines[3], *lines[1:]],
        ["line 5 (entry 4) was put", "entry 2 was moved", "entry 3 was moved", "entry 4 was moved"],
    ),
    (
        lambda lines: [lines[0], lines[1].replace(b'"seq": 2', b'"seq": 4'), *lines[2:]],
        ["entry 2 was removed", "line 2 (entry 4) was put"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CHANGES)
def test_every_exported_line_that_is_not_as_it_was_is_named_and_no_other(
    path: Path, folder: Objects, change: Callable[[list[bytes]], list[bytes]], expected: list[str]
) -> None:
    grow(path, 3)
    export_ledger(path, folder, NAME)
    grow(path, 2)
    export_ledger(path, folder, NAME)
    path.write_bytes(b"".join(change(lines_of(path))))
    found = compare_with_export(path, folder, NAME)
    for sentence in expected:
        assert any(one.startswith(f"registry.jsonl: {sentence}") for one in found), found
    assert len(found) == len(expected), found


def test_a_whole_new_ledger_with_a_chain_of_its_own_is_found(path: Path, folder: Objects) -> None:
    grow(path, 4)
    export_ledger(path, folder, NAME)
    path.unlink()
    for number in range(5):
        append(path, "asked", {"night": number, "by": "nobody"}, NOON + timedelta(minutes=number))
    read_ledger(path)  # its chain is whole
    found = compare_with_export(path, folder, NAME)
    assert [one.split(" after")[0] for one in found] == [f"registry.jsonl: entry {n} was edited" for n in range(1, 5)]
    before = segments(folder)
    with pytest.raises(LedgerError, match="no longer has entry 4 as it was exported"):
        export_ledger(path, folder, NAME)
    assert segments(folder) == before


def test_a_deleted_ledger_is_found_and_not_taken_for_a_new_one(path: Path, objects: Objects) -> None:
    grow(path, 2)
    export_ledger(path, objects, NAME)
    path.unlink()
    assert len(compare_with_export(path, objects, NAME)) == 2
    with pytest.raises(LedgerError, match="no longer has entry 2"):
        export_ledger(path, objects, NAME)


def test_a_broken_ledger_is_not_exported(path: Path, folder: Objects) -> None:
    grow(path, 3)
    lines = lines_of(path)
    path.write_bytes(lines[0] + lines[2])
    with pytest.raises(LedgerError, match="entry 2 was removed"):
        export_ledger(path, folder, NAME)
    assert folder.keys() == []


MOST = 7


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[bytes], list[Objects]]:
    """A ledger's lines, and for every length the place it was exported to when it was so long."""
    home = tmp_path_factory.mktemp("exports")
    places = []
    for length in range(1, MOST + 1):
        grow(home / "registry.jsonl", 1)
        places.append(open_objects(str(home / str(length)), load_settings()))
        export_ledger(home / "registry.jsonl", places[-1], NAME)
    return lines_of(home / "registry.jsonl"), places


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=80)
@given(st.data())
def test_any_removal_edit_or_new_order_of_exported_lines_names_each_of_them(
    path: Path, exports: tuple[list[bytes], list[Objects]], data: st.DataObject
) -> None:
    exported = data.draw(st.integers(1, MOST), "exported")
    lines = list(enumerate(exports[0], 1))[: exported + data.draw(st.integers(0, 2), "after")]
    removed = data.draw(st.sets(st.integers(1, exported)), "removed")
    edited = data.draw(st.sets(st.integers(1, exported)), "edited") - removed
    kept = [(seq, edit(data, line) if seq in edited else line) for seq, line in lines if seq not in removed]
    order = data.draw(st.permutations(range(len(kept))), "order")
    shuffled = [kept[index] for index in order]
    path.write_bytes(b"".join(line for _, line in shuffled))

    found = compare_with_export(path, exports[1][exported - 1], NAME)
    named = {int(number) for one in found for number in re.findall(r"entry (\d+) was (?:removed|edited|moved)", one)}
    ours = [seq for seq, _ in shuffled if seq <= exported]
    moved = {seq for seq, right in zip(ours, sorted(ours), strict=True) if seq != right}
    assert named == removed | edited | moved
    strangers = [one for one in found if "was put among" in one]
    assert len(found) == len(strangers) + len(removed) + len(edited) + len(moved)
    if not removed | edited and order == list(range(len(kept))):
        assert found == []


def edit(data: st.DataObject, line: bytes) -> bytes:
    """The same entry, otherwise said."""
    entry = json.loads(line)
    field = data.draw(st.sampled_from(["at", "kind", "previous", "digest", "body", "spaces"]), "field")
    if field == "spaces":
        return line.replace(b", ", b",  ", 1)
    entry[field] = {"night": "another"} if field == "body" else entry[field] + "0"
    return json.dumps(entry).encode() + b"\n"


# --- what happened to the export ---


def rewrite(objects: Objects, key: str, change: Callable[[bytes], bytes]) -> None:
    held = objects.get(key)
    assert held is not None
    objects.put(key, change(held.data))


def remove(objects: Objects, key: str) -> None:
    (Path(objects.url) / key).unlink()


@pytest.fixture
def twice(path: Path, folder: Objects) -> Objects:
    """An export of two segments."""
    for count in (3, 2):
        grow(path, count)
        export_ledger(path, folder, NAME)
    return folder


FIRST, LAST = segment_key(NAME, 1, 3), segment_key(NAME, 4, 5)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda one: remove(one, FIRST), "3 exported entries are missing, the first is 1"),
        (lambda one: rewrite(one, FIRST, lambda data: data.replace(b'"night": 1', b'"night": 7')), "line 2 .* edited"),
        (lambda one: rewrite(one, FIRST, lambda data: data[:-1]), "is not what an export wrote, it has 2 line"),
        (lambda one: rewrite(one, FIRST, lambda data: data + data), "is not what an export wrote, it has 6 line"),
        (lambda one: rewrite(one, LAST, lambda _: b""), "is not what an export wrote, it has 0 line"),
        (lambda one: one.put(segment_key(NAME, 6, 6), b"{}\n"), "000000000006-000000000006.jsonl is not what"),
        (lambda one: one.put(segment_key(NAME, 2, 3), b"{}\n{}\n"), "000000000002-000000000003.jsonl is not what"),
        (lambda one: one.put(f"ledger/{NAME}/1-3.jsonl", b""), "/1-3.jsonl is not what"),
        (lambda one: one.put(f"ledger/{NAME}/notes.txt", b""), "/notes.txt is not what"),
        (lambda one: rewrite(one, head_key(NAME), lambda _: b"{}"), "head.json can't be read"),
        (lambda one: rewrite(one, head_key(NAME), lambda data: data.replace(b'"seq":5', b'"seq":2')), "entries 4 to 2"),
        (lambda one: rewrite(one, head_key(NAME), lambda data: data.replace(b'"registry"', b'"o"')), "head of 'o'"),
        (lambda one: remove(one, head_key(NAME)), r"head.json was removed, and 2 segment"),
    ],
)  # fmt: skip
def test_a_damaged_export_is_named(path: Path, twice: Objects, damage: Callable[[Objects], None], message: str) -> None:
    damage(twice)
    found = compare_with_export(path, twice, NAME)
    assert any(re.search(message, one) for one in found), found


def test_a_head_that_names_another_entry_is_found_and_nothing_is_exported_on_it(path: Path, twice: Objects) -> None:
    other = read_ledger(path)[0].digest
    rewrite(twice, head_key(NAME), lambda data: data.replace(read_ledger(path)[-1].digest.encode(), other.encode()))
    assert any("is not the one that head.json names" in one for one in compare_with_export(path, twice, NAME))
    grow(path, 1)
    with pytest.raises(LedgerError, match="no longer has entry 5"):
        export_ledger(path, twice, NAME)


@pytest.mark.parametrize("data", [b"", b"{}", b'{"seq": -1}', b"\xff", b"[]"])
def test_without_a_readable_head_nothing_is_exported(path: Path, twice: Objects, data: bytes) -> None:
    rewrite(twice, head_key(NAME), lambda _: data)
    grow(path, 1)
    with pytest.raises(LedgerError, match=r"head\.json can't be read"):
        export_ledger(path, twice, NAME)
    remove(twice, head_key(NAME))
    with pytest.raises(LedgerError, match=r"head\.json was removed"):
        export_ledger(path, twice, NAME)


# --- exporters that stop, and several at once ---


class Killed(BaseException):
    """Stands for a process that is gone: no handler of ours runs."""


class Counting:
    """A real place, on which the process is gone before or after its n-th write."""

    def __init__(self, inner: Objects, stop: int = 0, before: bool = False) -> None:
        self.inner, self.stop, self.before, self.writes = inner, stop, before, 0
        self.url = inner.url

    def put(self, key: str, data: bytes, *, absent: bool = False, match: str | None = None, media: str = "") -> str:
        self.writes += 1
        if self.before and self.writes == self.stop:
            raise Killed
        etag = self.inner.put(key, data, absent=absent, match=match, media=media)
        if self.writes == self.stop:
            raise Killed
        return etag

    def put_file(self, key: str, path: Path, *, absent: bool = False, media: str = "") -> str:
        raise NotImplementedError

    def get(self, key: str) -> Held | None:
        return self.inner.get(key)

    def head(self, key: str) -> Stat | None:
        return self.inner.head(key)

    def digest(self, key: str) -> Digest | None:
        return self.inner.digest(key)

    def keys(self, prefix: str = "") -> list[str]:
        return self.inner.keys(prefix)


def writes_of_an_export(path: Path, tmp_path: Path) -> int:
    counting = Counting(open_objects(str(tmp_path / "counted"), load_settings()))
    export_ledger(path, counting, NAME)
    return counting.writes


@pytest.mark.parametrize("before", [True, False])
def test_an_exporter_killed_at_any_write_leaves_nothing_twice_and_nothing_out(
    path: Path, folder: Objects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    monkeypatch.setattr("infra.ledger_export._LINES", 2)
    grow(path, 5)
    writes = writes_of_an_export(path, tmp_path)
    assert writes == 6
    for stop in range(1, writes + 1):
        place = open_objects(f"{folder.url}-{stop}", load_settings())
        with pytest.raises(Killed):
            export_ledger(path, Counting(place, stop, before), NAME)
        assert compare_with_export(path, place, NAME) == [], stop
        grow(path, 1)
        export_ledger(path, place, NAME)
        assert whole(place) == path.read_bytes(), stop
        assert compare_with_export(path, place, NAME) == [], stop


def test_what_a_killed_exporter_announced_can_not_be_cut_off_unseen(path: Path, folder: Objects) -> None:
    grow(path, 3)
    with pytest.raises(Killed):
        export_ledger(path, Counting(folder, 1), NAME)
    assert segments(folder) == {}
    path.write_bytes(b"".join(lines_of(path)[:2]))
    found = compare_with_export(path, folder, NAME)
    assert found == ["registry.jsonl: entries 1 to 3 are not what they were when they were exported"]
    with pytest.raises(LedgerError, match="no longer has entry 3"):
        export_ledger(path, folder, NAME)


def test_a_segment_that_somebody_else_wrote_first_stops_the_export(path: Path, folder: Objects) -> None:
    grow(path, 2)
    folder.put(segment_key(NAME, 1, 2), b"theirs\n")
    with pytest.raises(LedgerError, match=r"head\.json was removed"):
        export_ledger(path, folder, NAME)
    remove(folder, segment_key(NAME, 1, 2))
    with pytest.raises(Killed):
        export_ledger(path, Counting(folder, 1), NAME)
    folder.put(segment_key(NAME, 1, 2), b"theirs\n")
    assert any("is not what an export wrote" in one for one in compare_with_export(path, folder, NAME))


def test_an_exporter_that_stalled_between_its_writes_finds_its_segment_written_and_goes_on(
    path: Path, folder: Objects
) -> None:
    grow(path, 2)
    stalled = Counting(folder)
    real = stalled.inner.put

    class Stalling(Counting):
        def put(self, key: str, data: bytes, **condition: Any) -> str:
            if key != head_key(NAME) and self.writes == 0:
                self.writes = 1
                grow(path, 2)
                assert export_ledger(path, folder, NAME).lines == 2
            return real(key, data, **condition)

    assert export_ledger(path, Stalling(folder), NAME).head == exported_head(folder, NAME)
    assert whole(folder) == path.read_bytes()
    assert compare_with_export(path, folder, NAME) == []


def test_a_head_moved_by_another_is_read_again_and_its_rest_is_sent(path: Path, objects: Objects) -> None:
    grow(path, 2)

    class Late(Counting):
        def put(self, key: str, data: bytes, **condition: Any) -> str:
            if self.writes == 0:
                self.writes = 1
                export_ledger(path, objects, NAME)
                grow(path, 2)
            return self.inner.put(key, data, **condition)

    assert export_ledger(path, Late(objects), NAME).lines == 0
    assert export_ledger(path, objects, NAME).lines == 2
    assert whole(objects) == path.read_bytes()


def test_an_exporter_that_is_always_late_says_so(path: Path, folder: Objects) -> None:
    grow(path, 1)

    class Never(Counting):
        def put(self, key: str, data: bytes, **condition: Any) -> str:
            raise ObjectConflict("somebody was faster", do="try again")

    with pytest.raises(LedgerError, match="found its head moved 50 times"):
        export_ledger(path, Never(folder), NAME)


def _export_while_it_grows(path: Path, url: str, begin: Any, lines: int) -> None:
    objects = open_objects(url, load_settings())
    begin.wait()
    for _ in range(lines):
        append_to_tail(path, "asked", {"by": multiprocessing.current_process().name}, lambda: datetime.now(UTC))
        export_ledger(path, objects, NAME)
    assert compare_with_export(path, objects, NAME) == []


@pytest.mark.slow
def test_processes_that_write_and_export_at_once_leave_no_gap_and_nothing_twice(path: Path, folder: Objects) -> None:
    context = multiprocessing.get_context("spawn")
    begin = context.Barrier(3)
    writers = [context.Process(target=_export_while_it_grows, args=(path, folder.url, begin, 6)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0] * 3
    assert len(read_ledger(path)) == 18
    assert whole(folder) == path.read_bytes()
    assert compare_with_export(path, folder, NAME) == []


def test_exporters_at_once_share_the_lines_between_them(path: Path, objects: Objects) -> None:
    grow(path, 6)
    sent: list[int] = []
    threads = [threading.Thread(target=lambda: sent.append(export_ledger(path, objects, NAME).lines)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sent) == 6
    assert sum(sent) == 6
    assert whole(objects) == path.read_bytes()


class Overtaken:
    """Objects to which another exporter writes between the first look at the head and the next."""

    def __init__(self, objects: Objects, other: Callable[[], object]) -> None:
        self._objects, self._other = objects, other

    def __getattr__(self, name: str) -> Any:
        return getattr(self._objects, name)

    def get(self, key: str) -> Held | None:
        found = self._objects.get(key)
        if self._other is not None:
            other, self._other = self._other, None
            other()
        return found


def test_an_exporter_that_was_overtaken_at_its_first_look_takes_nothing_for_removed(
    path: Path, folder: Objects
) -> None:
    grow(path, 3)
    objects: Any = Overtaken(folder, lambda: export_ledger(path, folder, NAME))
    assert export_ledger(path, objects, NAME).lines == 0
    assert whole(folder) == path.read_bytes()
