"""Rotation: worn families retire, sealed and fresh ones enter, twins are never judged, the same way every time."""

import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.errors import SuiteError
from tasks.gate.rotation import epoch_of, guarded, window
from tasks.gate.suites import Bank, Item, Message, Rotation, Scorer, build_suite

TENTH = Rotation(every=60, share=0.1)


def item(name: str, split: str = "gate", family: str = "") -> Item:
    return Item(
        id=name,
        family=family,
        split=split,  # pyright: ignore[reportArgumentType]
        messages=(Message(role="user", content=f"ask {name}"),),
        choices=("x", "y"),
        answer=0,
    )


def bank(gate: int = 40, sealed: int = 10, twins: int = 3, rotation: Rotation | None = TENTH, **more: Any) -> Bank:
    items = [item(f"g{n}") for n in range(gate)] + [item(f"s{n}", "sealed") for n in range(sealed)]
    items += [item(f"t{n}", "twin") for n in range(twins)]
    return Bank(build_suite("suite", Scorer(), items), rotation, **more)


def ids(shown: Any) -> set[str]:
    return {one.id for one in shown.suite.items}


def test_before_any_rotation_the_gate_split_is_judged_and_nothing_else() -> None:
    assert ids(window(bank(), 0, 1000)) == {f"g{n}" for n in range(40)}
    assert {one.id[0] for one in guarded(bank())} == {"g", "s"}


def test_a_rotation_retires_a_share_and_lets_as_many_sealed_ones_in() -> None:
    first, second = ids(window(bank(), 0, 1000)), ids(window(bank(), 1, 1000))
    assert len(first) == len(second) == 40
    assert len(first - second) == len(second - first) == 4
    assert {name[0] for name in second - first} == {"s"}


def test_the_window_is_the_same_every_night_and_items_never_come_back() -> None:
    shown = [ids(window(bank(), epoch, 20)) for epoch in range(10)]
    assert shown == [ids(window(bank(), epoch, 20)) for epoch in range(10)]
    for name in set().union(*shown):
        epochs = [epoch for epoch in range(10) if name in shown[epoch]]
        assert epochs == list(range(epochs[0], epochs[-1] + 1))


def test_a_bank_without_enough_sealed_items_says_that_it_is_exhausted() -> None:
    assert [window(bank(), epoch, 1000).exhausted for epoch in (0, 2, 3, 4)] == [False, False, True, True]
    assert len(ids(window(bank(), 9, 1000))) == 40


def test_families_are_taken_whole_and_count_once() -> None:
    items = [item(f"g{n}", family=f"f{n // 3}") for n in range(30)]
    shown = window(Bank(build_suite("suite", Scorer(), items), TENTH), 0, 10)
    assert len({one.family for one in shown.suite.items}) == 10
    assert len(shown.suite.items) == 30
    fewer = window(Bank(build_suite("suite", Scorer(), items), TENTH), 0, 4).suite.items
    assert (len({one.family for one in fewer}), len(fewer)) == (4, 12)


def test_the_plan_rotates_by_decisions_and_people_beyond_it() -> None:
    assert [epoch_of(bank(), decisions, 0) for decisions in (0, 59, 60, 125)] == [0, 0, 1, 2]
    assert epoch_of(bank(), 60, 2) == 3
    assert epoch_of(bank(rotation=None), 600, 0) == 0


def generator(monkeypatch: pytest.MonkeyPatch, generate: Any) -> None:
    module = ModuleType("expectations.made_up")
    module.generate = generate  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "expectations.made_up", module)


def made(seed: int, count: int, split: str) -> list[dict[str, Any]]:
    return [
        {"id": f"fresh-{seed}-{n}", "prompt": f"{seed} {n}?", "choices": ["x", "y"], "answer": 0, "split": split}
        for n in range(count)
    ]


def test_a_generator_gives_fresh_items_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    generator(monkeypatch, made)
    endless = bank(generator="expectations.made_up:generate")
    shown = [window(endless, epoch, 1000) for epoch in (2, 3, 10, 200)]
    assert not any(one.exhausted for one in shown)
    assert all(len(ids(one)) == 40 for one in shown)
    assert {name.split("-")[0] for name in ids(shown[3])} == {"fresh"}
    assert not ids(shown[2]) & ids(shown[3])


def test_a_generator_that_repeats_what_the_bank_has_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    generator(monkeypatch, lambda seed, count, split: [dict(made(1, 1, split)[0], family="g0")] * count)
    with pytest.raises(SuiteError, match="no family that the bank doesn't have"):
        window(bank(generator="expectations.made_up:generate"), 5, 1000)


@pytest.mark.parametrize(
    ("name", "message"),
    [("os:system", "outside expectations"), ("expectations.gone:generate", "can't be loaded")],
)
def test_a_generator_outside_expectations_or_without_a_module_is_refused(name: str, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        window(bank(generator=name), 5, 1000)


def test_a_bank_without_gate_items_is_refused() -> None:
    with pytest.raises(SuiteError, match="no items of the split `gate`"):
        window(bank(gate=0), 0, 1000)


@given(st.integers(1, 60), st.integers(0, 30), st.integers(0, 30), st.integers(1, 80))
def test_every_window_holds_as_many_families_as_the_first(gate: int, sealed: int, epoch: int, most: int) -> None:
    whole = bank(gate, sealed)
    first, later = window(whole, 0, most), window(whole, epoch, most)
    assert len(later.suite.items) == len(first.suite.items) == min(gate, most)
    assert not {one.split for one in later.suite.items} & {"twin"}
