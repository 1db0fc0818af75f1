"""The quarantine of training pairs: a file that people edit, in which each pair stands once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.jsonl import dump_lines, load_lines
from tasks.align.pairs import choose
from tasks.align.quarantine import quarantine_file, read_quarantine, send_to_quarantine
from tasks.errors import ModelError

ODD = ["pair-1", "a\u2028b", "a\u2029", "\x85", "line\nbreak", "ü", ""]


def test_nothing_is_in_quarantine_before_the_first_pair_is_sent_there(tmp_path: Path) -> None:
    assert read_quarantine(tmp_path) == frozenset()


def test_pairs_sent_there_are_read_again_whatever_their_ids_hold(tmp_path: Path) -> None:
    send_to_quarantine(tmp_path, ODD, "the gradient norm is nan", "2026-11-20")
    assert read_quarantine(tmp_path) == set(ODD)
    assert load_lines(quarantine_file(tmp_path).read_bytes()) == [
        {"id": name, "reason": "the gradient norm is nan", "night": "2026-11-20"} for name in ODD
    ]


def test_a_pair_stands_there_once_with_its_first_reason(tmp_path: Path) -> None:
    send_to_quarantine(tmp_path, ["pair-1", "pair-2", "pair-1"], "first", "one")
    send_to_quarantine(tmp_path, ["pair-2", "pair-3"], "second", "two")
    records = load_lines(quarantine_file(tmp_path).read_bytes())
    assert [(one["id"], one["reason"]) for one in records] == [
        ("pair-1", "first"),
        ("pair-2", "first"),
        ("pair-3", "second"),
    ]


def test_a_line_taken_out_gives_its_pair_back_and_a_lost_line_end_does_no_harm(tmp_path: Path) -> None:
    send_to_quarantine(tmp_path, ["pair-1", "pair-2"], "why", "one")
    path = quarantine_file(tmp_path)
    path.write_bytes(path.read_bytes().splitlines()[1])
    assert read_quarantine(tmp_path) == {"pair-2"}
    send_to_quarantine(tmp_path, ["pair-3"], "why", "two")
    assert read_quarantine(tmp_path) == {"pair-2", "pair-3"}


@pytest.mark.parametrize("line", ['{"id": "pair-9", "rea', '{"name": "pair-9"}', '["pair-9"]', '{"id": ["pair-9"]}'])
def test_a_line_that_is_none_is_refused_by_its_file(line: str, tmp_path: Path) -> None:
    send_to_quarantine(tmp_path, ["pair-1"], "why", "one")
    with quarantine_file(tmp_path).open("a") as file:
        file.write(line)
    with pytest.raises(ModelError, match=r"training\.jsonl has a line that is no \{id, reason, night\}") as refused:
        read_quarantine(tmp_path)
    assert "take it out" in refused.value.do


@given(st.sets(st.sampled_from(ODD)), st.integers(0, 10), st.integers(0, 3))
def test_a_phase_is_given_none_of_them(left_out: set[str], asked: int, seed: int) -> None:
    lines = dump_lines({"id": name} for name in ODD).splitlines()
    chosen = [pair["id"] for pair in choose(lambda: lines, asked, seed, frozenset(left_out))]
    assert len(set(chosen)) == len(chosen) == min(asked, len(ODD) - len(left_out))
    assert not left_out & set(chosen)
