"""The ledger: what is removed, edited, re-ordered or written by a clock that runs backwards is found and named."""

import json
import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infra.errors import LedgerError
from infra.ledger import append, append_to_tail, ledger_path, problems, read_ledger, read_on

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def filled(tmp_path: Path, count: int = 4) -> Path:
    path = ledger_path(tmp_path, "demo")
    for number in range(count):
        append(path, "decision", {"night": number}, NOON + timedelta(minutes=number))
    return path


def test_entries_come_back_in_order_as_they_were_written(tmp_path: Path) -> None:
    entries = read_ledger(filled(tmp_path))
    assert [(one.seq, one.kind, one.body["night"]) for one in entries] == [(n + 1, "decision", n) for n in range(4)]
    assert entries[1].previous == entries[0].digest
    assert entries[0].at == "2026-11-25T12:00:00.000+00:00"


def test_a_ledger_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert read_ledger(ledger_path(tmp_path, "none")) == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0], lines[2], lines[3]], ":2 does not follow"),
        (lambda lines: lines[1:], ":1 does not follow"),
        (lambda lines: [lines[0], lines[2], lines[1], lines[3]], ":2 does not follow"),
        (lambda lines: [lines[0], lines[1].replace('"night": 1', '"night": 9'), *lines[2:]], ":2 was edited"),
        (lambda lines: [lines[0], lines[1].replace("12:01", "12:02"), *lines[2:]], ":2 was edited"),
        (lambda lines: [*lines, lines[-1]], ":5 does not follow"),
        (lambda lines: [lines[0], "nothing", *lines[2:]], ":2 can't be read"),
        (lambda lines: [lines[0], '{"seq": 2}', *lines[2:]], ":2 can't be read"),
        (lambda lines: [lines[0], "[1]", *lines[2:]], ":2 can't be read"),
    ],
)
def test_a_removed_edited_moved_or_added_line_is_named_and_nothing_can_be_appended(
    tmp_path: Path, change: object, message: str
) -> None:
    path = filled(tmp_path)
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")  # pyright: ignore
    with pytest.raises(LedgerError, match=message):
        read_ledger(path)
    with pytest.raises(LedgerError, match=message):
        append(path, "decision", {}, NOON + timedelta(hours=1))


def test_a_rewritten_line_with_a_digest_of_its_own_breaks_the_next_one(tmp_path: Path) -> None:
    path, other = filled(tmp_path), ledger_path(tmp_path, "other")
    append(other, "decision", {"night": 0}, NOON)
    append(other, "decision", {"night": 99}, NOON + timedelta(minutes=1))
    lines = path.read_text().splitlines()
    lines[1] = other.read_text().splitlines()[1]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(LedgerError, match=":3 does not follow"):
        read_ledger(path)


def test_a_clock_that_runs_backwards_is_refused_and_one_that_lags_by_seconds_is_not(tmp_path: Path) -> None:
    path = filled(tmp_path, 1)
    with pytest.raises(LedgerError, match="runs backwards"):
        append(path, "decision", {}, NOON - timedelta(seconds=6))
    append(path, "decision", {}, NOON - timedelta(seconds=4))
    assert len(read_ledger(path)) == 2


def test_a_line_cut_by_a_crash_is_left_out_and_replaced(tmp_path: Path) -> None:
    path = filled(tmp_path, 2)
    with path.open("a") as file:
        file.write('{"seq": 3, "at": "2026')
    assert len(read_ledger(path)) == 2
    append(path, "decision", {"night": 2}, NOON + timedelta(hours=1))
    assert [one.seq for one in read_ledger(path)] == [1, 2, 3]


def test_a_value_without_a_canonical_form_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    path = filled(tmp_path, 1)
    before = path.read_bytes()
    with pytest.raises(Exception, match="nan"):
        append(path, "decision", {"delta": float("nan")}, NOON + timedelta(hours=1))
    assert path.read_bytes() == before


def _write(path: Path, worker: int) -> None:
    for number in range(20):
        append(path, "decision", {"worker": worker, "number": number}, datetime.now(UTC))


def run_writers(write: Callable[[Path, int], None], path: Path, count: int) -> None:
    workers = [multiprocessing.Process(target=write, args=(path, worker)) for worker in range(count)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()


def test_several_writers_keep_one_chain(tmp_path: Path) -> None:
    path = ledger_path(tmp_path, "demo")
    run_writers(_write, path, 4)
    entries = read_ledger(path)
    assert len(entries) == 80
    assert {(one.body["worker"], one.body["number"]) for one in entries} == {
        (w, n) for w in range(4) for n in range(20)
    }
    assert all(json.loads(line)["digest"] for line in path.read_text().splitlines())


def test_a_line_added_to_the_tail_is_the_one_append_would_have_added(tmp_path: Path) -> None:
    whole, tail = filled(tmp_path), tmp_path / "tail.jsonl"
    for number in range(4):
        append_to_tail(tail, "decision", {"night": number}, lambda number=number: NOON + timedelta(minutes=number))
    assert tail.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("rest", [b"", b'{"seq": 5, "at": "2026', b"x" * 200_000, b"\xff" * 65_536])
def test_a_tail_cut_by_a_crash_is_replaced_whatever_its_length(tmp_path: Path, rest: bytes) -> None:
    path = filled(tmp_path)
    with path.open("ab") as file:
        file.write(rest)
    append_to_tail(path, "decision", {"night": 4, "text": "y" * 200_000}, lambda: NOON + timedelta(hours=1))
    append_to_tail(path, "decision", {"night": 5}, lambda: NOON + timedelta(hours=1))
    assert [one.body["night"] for one in read_ledger(path)] == list(range(6))


@pytest.mark.parametrize("rest", [b"", b"torn", b"x" * 200_000])
def test_a_ledger_that_is_nothing_but_a_torn_line_begins_anew(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "one.jsonl"
    path.write_bytes(rest)
    append_to_tail(path, "decision", {}, lambda: NOON)
    assert [one.seq for one in read_ledger(path)] == [1]


def test_the_tail_takes_no_line_behind_an_edited_one_or_an_earlier_time(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with pytest.raises(LedgerError, match="runs backwards"):
        append_to_tail(path, "decision", {}, lambda: NOON - timedelta(minutes=1))
    path.write_text(path.read_text().replace('"night": 3', '"night": 9'))
    before = path.read_bytes()
    with pytest.raises(LedgerError, match=r"last line .* was edited"):
        append_to_tail(path, "decision", {}, lambda: NOON + timedelta(hours=1))
    assert path.read_bytes() == before


def _write_both_ways(path: Path, worker: int) -> None:
    for number in range(10):
        body = {"worker": worker, "number": number}
        if worker % 2:
            append(path, "decision", body, datetime.now(UTC))
        else:
            append_to_tail(path, "decision", body, lambda: datetime.now(UTC))


def test_writers_of_both_ways_keep_one_chain(tmp_path: Path) -> None:
    path = ledger_path(tmp_path, "demo")
    run_writers(_write_both_ways, path, 3)
    assert len(read_ledger(path)) == 30
    assert problems(path)[1] == []


def test_who_follows_a_ledger_reads_each_line_once_and_checks_that_it_follows(tmp_path: Path) -> None:
    path = filled(tmp_path, 2)
    first, offset = read_on(path, 0, None)
    assert read_on(path, offset, first[-1]) == ((), offset)
    append(path, "decision", {"night": 2}, NOON + timedelta(hours=1))
    (new,), _ = read_on(path, offset, first[-1])
    assert new.body["night"] == 2
    with pytest.raises(LedgerError, match="does not follow"):
        read_on(path, offset, first[0])
