"""Moves of champion as the ledger tells them: what served, what was cut off, what was abandoned."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from infra.digest import digest_of
from infra.ledger import ledger_path, read_ledger
from infra.store import Blob
from tasks.registry.manifest import Line, Manifest, Share
from tasks.registry.moves import Move, abandon, begin, moves_of, served, unfinished


def move(kind: str, version: int, was: int, seq: int = 1) -> Move:
    line = Line(seq=seq, digest_=digest_of(seq))
    return Move("promotion" if kind == "promotion" else "rollback", version, was, "ben", "", "", line)


def manifest(line: Line | None) -> Manifest:
    blob = Blob(digest_=digest_of("x"), size=1)
    return Manifest(
        name="shop", version=2, model=digest_of("m"), model_ref=blob, evidence=None, verdict="PASS", move="promotion",
        by="ben", at="2026-11-26T00:00:00+00:00", ledger=line, traffic=(Share(version=2, share=1.0),),
    )  # fmt: skip


def test_what_served_is_a_stack_that_a_rollback_cuts() -> None:
    assert served([]) == ()
    up = [move("promotion", 2, 1), move("promotion", 5, 2), move("promotion", 7, 5)]
    assert served(up) == (1, 2, 5, 7)
    assert served([*up, move("rollback", 5, 7)]) == (1, 2, 5)
    assert served([*up, move("rollback", 1, 7)]) == (1,)
    assert served([*up, move("rollback", 2, 7), move("promotion", 9, 2)]) == (1, 2, 9)


def test_the_last_move_is_unfinished_until_the_manifest_names_its_line() -> None:
    first, second = move("promotion", 2, 1, 1), move("promotion", 3, 2, 2)
    assert unfinished([], None) is None
    assert unfinished([first], None) == first
    assert unfinished([first], manifest(None)) == first
    assert unfinished([first], manifest(first.line)) is None
    assert unfinished([first, second], manifest(first.line)) == second


def test_a_move_reads_from_the_ledger_as_it_was_written_and_an_abandoned_one_is_none(tmp_path: Path) -> None:
    tags = {"nightshift.night": "n", "nightshift.model": "m"}
    first = begin(tmp_path, "shop", "promotion", 2, 1, tags, "ben", "small bank")
    second = begin(tmp_path, "shop", "rollback", 1, 2, tags, "cat", "too long", (2,))
    entries = read_ledger(ledger_path(tmp_path, "shop"))
    assert moves_of(entries) == [first, second]
    assert (second.left, second.reason, second.by) == ((2,), "too long", "cat")
    abandon(tmp_path, "shop", second, "why")
    assert moves_of(read_ledger(ledger_path(tmp_path, "shop"))) == [first]


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), max_size=20))
def test_what_serves_is_always_on_top_of_what_served_and_nothing_is_in_it_twice(choices: list[int]) -> None:
    moves: list[Move] = []
    champion, fresh = 1, 2
    for choice in choices:
        before = served(moves)
        if choice < 2 or len(before) < 2:
            moves.append(move("promotion", fresh, champion))
            champion, fresh = fresh, fresh + 1
        else:
            target = before[(choice - 2) % (len(before) - 1)]
            moves.append(move("rollback", target, champion))
            champion = target
        stack = served(moves)
        assert stack[-1] == champion
        assert len(set(stack)) == len(stack)
        assert stack[0] == 1
