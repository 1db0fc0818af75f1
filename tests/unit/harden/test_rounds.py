"""Rounds of hardening: which tries there are, how each is limited, and that a night's error stays below twice α."""

from fractions import Fraction
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.contracts import Plan, Preferences, WeakTopic
from tasks.harden.rounds import (
    Held,
    TwinRows,
    failing,
    held_so_far,
    judged,
    pairs_of,
    plan_of,
    recipe_of,
    told,
    tries_of,
)
from tasks.harden_spec import HardenSpec
from tasks.phases import Phase
from tasks.recipe import Recipe
from tests.unit.gate.report_records import BLOB, bill, bill_line, fields, suite, verdict

WEAK = WeakTopic(suite="reasoning", topic="money", n=40, champion=0.8, candidate=0.6, upper=-0.1, why="worse")


def recipe(**harden: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "r",
            "sources": ["x"],
            "model": {"name": "m", "source": "m"},
            "phase": [{"max_steps": 10}],
            "data": {"replay": 0.2},
            "budget": {"max_amount": 10.0, "max_hours": 4.0},
            "gate": {
                "target": "house",
                "alpha": 0.04,
                "suites": [{"name": "house", "measure": "right", "margin": 0.1, "budget": 0.1}],
            },
            "harden": harden,
        }
    )


PLAN: Plan = fields()["plan"]
PREFERENCES: Preferences = fields()["preferences"]


def twins(n: int = 40) -> TwinRows:
    return TwinRows(topics=(WEAK,), rows=BLOB, n=n)


def test_nothing_is_tried_unless_it_is_switched_on_and_the_candidate_failed_or_was_left_open() -> None:
    on = recipe(on=True, soup=[0.5, 0.25], max_rounds=2)
    assert tries_of(recipe(soup=[0.5]), verdict("FAIL")) == ()
    assert tries_of(on, verdict("PASS")) == tries_of(on, verdict("BLOCK")) == ()
    expected = [(1, "soup", 0.5), (2, "soup", 0.25), (3, "twins", None), (4, "twins", None)]
    assert list(tries_of(on, verdict("FAIL"))) == list(tries_of(on, verdict("INCONCLUSIVE"))) == expected
    assert on.harden.tries == 4
    assert recipe(soup=[0.5]).harden.tries == 0


def test_a_night_passes_what_is_worse_with_less_than_twice_alpha_whatever_the_number_of_tries() -> None:
    spec = recipe(on=True, soup=[0.1, 0.2, 0.3, 0.4], max_rounds=8)
    alphas = [recipe_of(spec, one.number, Held(0, 0)).gate.alpha for one in tries_of(spec, verdict("FAIL"))]
    assert alphas[:2] == [0.02, 0.01]
    assert sum(map(Fraction, [spec.gate.alpha, *alphas])) < 2 * Fraction(spec.gate.alpha)


def test_a_round_trains_its_own_phase_on_its_own_pairs_within_what_is_left() -> None:
    spec = recipe(
        on=True, max_hours=0.5, max_amount=3.0, phase={"max_steps": 7, "method": "grpo", "reward": "exact_number"}
    )
    found = recipe_of(spec, 1, Held(hours=1.0, amount=2.0))
    assert found.phase == (spec.harden.phase,)
    assert (found.budget.max_hours, found.budget.max_amount) == (1.5, 5.0)
    assert found.data.replay is None
    assert (spec.phase[0].max_steps, spec.gate.alpha, spec.data.replay) == (10, 0.04, 0.2)


def test_hardening_never_takes_more_than_the_nights_own_budget() -> None:
    found = recipe_of(recipe(on=True, max_hours=9.0, max_amount=99.0), 1, Held(hours=3.5, amount=9.5))
    assert (found.budget.max_hours, found.budget.max_amount) == (4.0, 10.0)
    assert recipe_of(recipe(on=True), 1, Held(0, 0)).budget.max_amount == 10.0


def test_hours_that_count_are_those_that_held_the_pool() -> None:
    lines = [bill_line(step, 1.0, seconds=1800.0) for step in ("align", "judge", "score")]
    whole = bill(*lines, amount=1.25)
    assert held_so_far(whole, frozenset({"align", "score"})) == Held(1.0, 1.25)


def test_a_round_takes_as_many_whole_steps_as_its_twins_fill() -> None:
    spec = recipe(on=True, phase={"max_steps": 100, "batch_size": 8})
    made = plan_of(recipe_of(spec, 1, Held(0, 0)), PLAN, twins(43))
    assert made is not None
    assert (made.pairs, made.steps, made.earlier) == (43, 5, None)
    assert plan_of(recipe_of(spec, 1, Held(0, 0)), PLAN, twins(7)) is None
    pairs = pairs_of(PREFERENCES, twins(43))
    assert (pairs.train, pairs.n_train, pairs.house) == (BLOB, 43, PREFERENCES.house)


def test_a_try_is_told_with_its_topics_its_alpha_and_how_many_of_its_items_are_fresh() -> None:
    spec = recipe_of(recipe(on=True), 2, Held(0, 0))
    (one,) = tries_of(recipe(on=True), verdict("FAIL"))
    begun = told(one._replace(number=2), spec, twins(), "it ran out of memory")
    assert (begun.verdict, begun.reason, begun.rows, begun.method) == (None, "it ran out of memory", 40, "dpo")
    assert (begun.alpha, begun.topics[0].delta) == (0.01, pytest.approx(-0.2))
    end = judged(begun, verdict("PASS"), {"safety": (30, 40)})
    assert end.verdict == "PASS"
    assert [(one.name, one.fresh, one.items) for one in end.suites if one.name == "safety"] == [("safety", 30, 40)]
    assert end.candidate == verdict("PASS").candidate


def test_suites_that_failed_or_were_left_open_are_what_a_round_is_for() -> None:
    found = verdict("FAIL", suites=(suite("a", verdict="FAIL"), suite("b"), suite("c", verdict="INCONCLUSIVE")))
    assert failing(found) == {"a", "c"}


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"soup": [1.0]}, "soup has the share 1"),
        ({"soup": [0.5, 0.5]}, "soup names a share twice"),
        ({"on": True, "max_rounds": 0}, "harden is on and tries nothing"),
        ({"phase": {"max_steps": 5, "adapter": "full"}}, "'full' can't be joined"),
        ({"phase": {"max_steps": 5, "method": "ppo"}}, "learns from rewards"),
        ({"phase": {"max_steps": 5, "method": "reward"}}, "trains or needs a reward model"),
        ({"phase": {"max_steps": 5, "method": "grpo", "reward": ["model"]}}, "trains or needs a reward model"),
        ({"phase": {"max_steps": 5, "max_hours": 1.0}}, r"harden\.phase\.max_hours is ignored"),
        ({"phase": {"max_steps": 5, "on": "reasoning"}}, r"harden\.phase\.on is ignored"),
        ({"mix": 1.0}, "mix"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_value(raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HardenSpec.model_validate(raw)


def test_a_round_counts_the_night_s_own_rows_beside_its_twins() -> None:
    given = twins(43).model_copy(update={"mixed": 21})
    spec = recipe_of(recipe(on=True, phase={"max_steps": 100, "batch_size": 8}), 1, Held(0, 0))
    planned = plan_of(spec, PLAN, given)
    assert planned is not None
    assert (planned.pairs, planned.steps) == (64, 8)
    assert pairs_of(PREFERENCES, given).n_train == 64
    assert plan_of(spec, PLAN, given.model_copy(update={"n": 0})) is None  # no twins, no round


def test_a_switch_alone_is_enough() -> None:
    assert HardenSpec.model_validate({"on": True}).phase == Phase(max_steps=64)
