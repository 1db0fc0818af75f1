"""What the ledger says: decisions are counted once each, items age, re-anchoring is never forgotten."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_of
from infra.ledger import Entry, append, read_ledger
from tasks.gate import decisions

ANCHOR, OTHER = digest_of("anchor"), digest_of("other anchor")
START = datetime(2026, 11, 1, tzinfo=UTC)


def ledger(tmp_path: Path, *lines: tuple[str, dict[str, Any]]) -> tuple[Entry, ...]:
    path = tmp_path / "ledger.jsonl"
    for number, (kind, body) in enumerate(lines):
        append(path, kind, body, START + timedelta(days=number))
    return read_ledger(path)


def decision(number: int, anchor: str = ANCHOR, items: Mapping[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
    return "decision", {
        "identity": digest_of(["identity", number]),
        "night": digest_of(["night", number]),
        "name": f"night-{number}",
        "core": digest_of(["core", number]),
        "anchor": anchor,
        "items": dict(items or {}),
    }


def identity(number: int) -> str:
    return digest_of(["identity", number])


def test_decisions_are_counted_by_anchor_and_the_same_one_is_not_counted_again(tmp_path: Path) -> None:
    entries = ledger(tmp_path, decision(1), decision(2, OTHER), decision(3))
    assert decisions.decisions_before(entries, ANCHOR) == 2
    assert decisions.decisions_before(entries, OTHER) == 1
    # judged again, a night has the number that it had
    assert decisions.decisions_before(entries, ANCHOR, identity(1)) == 0
    assert decisions.decisions_before(entries, ANCHOR, identity(3)) == 1
    assert decisions.decisions_before(entries, ANCHOR, identity(9)) == 2
    assert decisions.written(entries, "decision", identity(3))
    assert not decisions.written(entries, "verdict", identity(3))


def test_the_same_scorecards_of_the_same_models_are_one_decision_and_any_other_is_another() -> None:
    cards = [digest_of("a"), digest_of("b")]
    one = decisions.decision_identity(digest_of("night"), [ANCHOR, OTHER, None], cards)
    assert one == decisions.decision_identity(digest_of("night"), [ANCHOR, OTHER, None], cards[::-1])
    others = [
        decisions.decision_identity(digest_of("another seed's night"), [ANCHOR, OTHER, None], cards),
        decisions.decision_identity(digest_of("night"), [OTHER, ANCHOR, None], cards),
        decisions.decision_identity(digest_of("night"), [ANCHOR, OTHER, None], cards[:1]),
    ]
    assert len({one, *others}) == 4


def test_re_anchoring_begins_a_new_count_also_with_the_same_model(tmp_path: Path) -> None:
    again = ("reanchor", {"old": ANCHOR, "new": ANCHOR, "by": "eva", "reason": "a new plan", "losses": {}})
    entries = ledger(tmp_path, decision(1), decision(2), again, decision(3))
    assert decisions.decisions_before(entries, ANCHOR) == 1


def test_losses_of_all_re_anchorings_add_up(tmp_path: Path) -> None:
    def act(losses: dict[str, float]) -> tuple[str, dict[str, Any]]:
        return "reanchor", {"old": ANCHOR, "new": OTHER, "by": "eva", "reason": "spring", "losses": losses}

    entries = ledger(tmp_path, act({"safety": -0.02}), act({"safety": -0.01, "house": 0.05}))
    assert decisions.lost_before(entries) == pytest.approx({"safety": -0.03, "house": 0.05})
    first, second = decisions.reanchorings(entries)
    assert (first.by, first.reason, first.losses[0].anchor_delta) == ("eva", "spring", -0.02)
    assert [one.name for one in second.losses] == ["safety", "house"]


def test_a_night_in_the_registry_that_the_ledger_does_not_know_is_found(tmp_path: Path) -> None:
    entries = ledger(tmp_path, decision(1), decision(2))
    nights = [digest_of(["night", number]) for number in (1, 2, 3)]
    assert decisions.unknown_nights(entries, nights) == [nights[2]]
    assert decisions.unknown_nights(entries, nights[:2]) == []
    assert decisions.unknown_nights((), nights[:1]) == nights[:1]


def test_rotation_does_not_count_the_nights_own_decision(tmp_path: Path) -> None:
    entries = ledger(tmp_path, decision(1), decision(2), ("rotation", {"suites": ["safety"], "by": "eva"}))
    assert decisions.decisions_of_others(entries, digest_of(["core", 2])) == 1
    assert decisions.decisions_of_others(entries, digest_of(["core", 9])) == 2
    assert [decisions.rotations(entries, name) for name in ("safety", "house")] == [1, 0]


def test_items_age_by_the_decisions_they_took_part_in_and_lost_lists_age_all(tmp_path: Path) -> None:
    lists: dict[str, list[str] | None] = {"one": ["a", "b"], "two": ["b", "c"], "lost": None}

    def read(blob: Mapping[str, Any]) -> list[str] | None:
        return lists[blob["name"]]

    entries = ledger(
        tmp_path,
        decision(1, items={"safety": {"name": "one"}}),
        decision(2, OTHER, items={"safety": {"name": "two"}}),  # a bank doesn't forget with the anchor
        decision(3, items={"house": {"name": "one"}}),
        decision(4, items={"safety": {"name": "lost"}}),
    )
    ages = decisions.ages(entries, "safety", read, identity(9))
    assert [decisions.age_of(ages, id_) for id_ in "abcd"] == [2, 3, 2, 1]
    before = decisions.ages(entries, "safety", read, identity(2))
    assert [decisions.age_of(before, id_) for id_ in "abcd"] == [1, 1, 0, 0]


def test_history_and_spreads_come_from_the_verdicts(tmp_path: Path) -> None:
    def told(number: int, delta: float, spread: float) -> tuple[str, dict[str, Any]]:
        return "verdict", {
            "identity": identity(number),
            "night": digest_of(["night", number]),
            "name": f"night-{number}",
            "verdict": "PASS",
            "suites": [{"name": "safety", "delta": delta, "anchor_delta": delta - 0.01, "lifetime": delta - 0.02}],
            "spreads": {"safety": [150 + number, spread]},
        }

    promoted = ("promotion", {"night": digest_of(["night", 2]), "version": 3})
    entries = ledger(tmp_path, told(1, 0.01, 0.1), told(2, 0.02, 0.3), promoted, told(3, 0.03, 0.2))
    past = decisions.past_nights(entries)
    assert [(one.night, one.promoted, one.suites[0].delta) for one in past] == [
        ("night-1", False, 0.01),
        ("night-2", True, 0.02),
        ("night-3", False, 0.03),
    ]
    assert decisions.measured_spreads(entries) == {"safety": (153, 0.2)}
    assert decisions.measured_spreads(entries, nights=1) == {"safety": (153, 0.2)}
    assert decisions.measured_spreads(entries[:2]) == {"safety": (152, pytest.approx(0.2))}


def test_of_two_phases_of_a_night_only_the_chosen_one_was_promoted(tmp_path: Path) -> None:
    def said(number: int, **phase: Any) -> tuple[str, dict[str, Any]]:
        body = {"identity": identity(number), "night": digest_of("n"), "name": "n", "verdict": "PASS", "suites": []}
        return "verdict", body | {"spreads": {}} | phase

    promotion = ("promotion", {"night": digest_of("n"), "version": 2})
    entries = ledger(tmp_path, said(1, phase=1, chosen=False), said(2, phase=2, chosen=True), promotion)
    past = decisions.past_nights(entries)
    assert [(one.phase, one.chosen, one.promoted) for one in past] == [(1, False, False), (2, True, True)]
    (alone,) = decisions.past_nights(ledger(tmp_path / "old", said(1), promotion))
    assert (alone.phase, alone.chosen, alone.promoted) == (None, True, True)


def test_what_was_spent_before_a_night_of_several_is_the_same_before_and_after_they_were_judged(tmp_path: Path) -> None:
    before = ledger(tmp_path / "before", decision(1))
    after = ledger(tmp_path / "after", decision(1), decision(2), decision(3))
    tonight = (identity(2), identity(3))
    assert decisions.decisions_before(before, ANCHOR, *tonight) == 1
    assert decisions.decisions_before(after, ANCHOR, *tonight) == 1
    assert decisions.decisions_before(after, ANCHOR, identity(3)) == 2
