"""The plan: the goal is reached with exact figures, cheaply, and what falls short is named with its amount."""

import math

import pytest

from tasks.gate.power import bound_passes, items_without_disagreement
from tasks.gate.sizes import Option, Plan, Wanted, at_sizes, plan_suites
from tasks.gate.statistics import minimum_detectable, z_of

PSI = math.sqrt(0.08)
SAFETY = Wanted("safety", 1500, (Option("right", PSI, 0.03, 0.06),))
ACCURACY = Wanted("accuracy", 1500, (Option("right", PSI, 0.03, 0.06), Option("probability", 0.1, 0.02, 0.04)))
HOUSE = Wanted("house", 600, (Option("probability", 0.09, 0.015),))
ALL = (SAFETY, ACCURACY, HOUSE)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_suites(ALL)


def test_an_equal_model_passes_everything_with_eighty_percent(plan: Plan) -> None:
    assert plan.reached
    assert 0.8 <= plan.joint.low <= plan.joint.likely <= plan.joint.high < 1
    assert plan.joint.low < 0.82  # and no items are wasted
    assert plan.joint.low == pytest.approx(math.prod(row.together.low for row in plan.suites))
    assert all(row.short is None for row in plan.suites)
    assert plan.anchor_z == pytest.approx(3.64, abs=0.002)


def test_the_rows_are_exact_at_their_size(plan: Plan) -> None:
    for row, one in zip(plan.suites, ALL, strict=True):
        option = next(option for option in one.options if option.measure == row.measure)
        assert row.name == one.name
        assert row.n <= one.available
        assert row.budget is not None
        bound = bound_passes(row.measure, row.n, option.spread, row.margin, 0.05)
        assert bound - 0.05 / 3 <= row.champion <= bound
        assert row.anchor == bound_passes(row.measure, row.n, option.spread, row.budget, 0.05 / 365)
        assert row.mde == minimum_detectable(option.spread, row.n, 0.05)
        assert row.life.warn_after <= row.life.end_after


def test_choices_are_judged_on_p_correct_where_that_needs_fewer_items(plan: Plan) -> None:
    assert plan.suites[1].measure == "probability"
    costly = Wanted("accuracy", 1500, (Option("right", PSI, 0.03, 0.06), Option("probability", 0.4, 0.02, 0.04)))
    assert plan_suites((costly,)).suites[0].measure == "right"


def test_an_open_budget_is_the_smallest_that_the_anchor_nearly_always_passes(plan: Plan) -> None:
    row = plan.suites[2]
    assert row.budget is not None
    assert row.anchor >= 0.99
    assert bound_passes("probability", row.n, 0.09, row.budget - 0.001, 0.05 / 365) < 0.99


def test_sizes_exceed_what_is_needed_even_without_disagreement(plan: Plan) -> None:
    row = plan.suites[0]
    assert row.budget is not None
    floors = items_without_disagreement(0.03, z_of(0.05)), items_without_disagreement(row.budget, z_of(0.05 / 365))
    assert row.at_least == max(floors)
    assert row.n > row.at_least
    assert plan.suites[1].at_least == 99.0


def test_a_tenth_fewer_items_would_miss_the_goal(plan: Plan) -> None:
    fewer = tuple(one._replace(available=int(row.n * 0.9)) for one, row in zip(ALL, plan.suites, strict=True))
    again = plan_suites(fewer)
    assert not again.reached
    assert again.joint.low < 0.8


def test_items_are_where_they_help_most(plan: Plan) -> None:
    # thirty items moved from one suite to another don't raise the joint probability by more than whole numbers do
    def joint(sizes: list[int]) -> float:
        rows = zip(ALL, plan.suites, sizes, strict=True)
        options = [
            (next(option for option in one.options if option.measure == row.measure), row, n) for one, row, n in rows
        ]
        return math.prod(
            bound_passes(row.measure, n, option.spread, row.margin, 0.05)
            * bound_passes(row.measure, n, option.spread, row.budget or 0.0, 0.05 / 365)
            for option, row, n in options
        )

    sizes = [row.n for row in plan.suites]
    best = joint(sizes)
    for giver in range(3):
        for taker in range(3):
            moved = list(sizes)
            moved[giver] -= 30
            moved[taker] += 30
            assert joint(moved) < best + 0.012


def test_a_joint_plan_costs_less_than_equal_shares() -> None:
    both = plan_suites((SAFETY, HOUSE))
    alone = [plan_suites((one,), goal=math.sqrt(0.8)) for one in (SAFETY, HOUSE)]
    assert sum(row.n for row in both.suites) < 0.99 * sum(one.suites[0].n for one in alone)


def test_what_falls_short_is_named_with_its_amount() -> None:
    short = plan_suites((SAFETY._replace(available=300), ACCURACY, HOUSE))
    assert not short.reached
    row = short.suites[0]
    assert row.short is not None
    assert row.short.items is not None
    assert row.n == 300
    assert row.short.margin is not None
    assert row.short.margin > 0.03
    assert row.short.budget is not None
    assert row.short.budget > 0.06
    assert [other.short for other in short.suites[1:]] == [None, None]
    mended = plan_suites((SAFETY._replace(available=300 + row.short.items), ACCURACY, HOUSE))
    assert mended.reached
    option = Option("right", PSI, row.short.margin, row.short.budget)
    assert plan_suites((SAFETY._replace(available=300, options=(option,)), ACCURACY, HOUSE)).reached


def test_fewer_graded_items_than_the_floor_never_pass() -> None:
    row = plan_suites((Wanted("house", 99, (Option("probability", 0.01, 0.1, 0.2),)),)).suites[0]
    assert row.together == (0.0, 0.0, 0.0)
    assert row.short is not None
    assert row.short.items == 1


def test_a_goal_that_the_looks_for_harm_alone_forbid_asks_for_no_items() -> None:
    found = plan_suites((Wanted("house", 5000, (Option("probability", 0.1, 0.03, 0.06),)),), goal=0.96)
    assert not found.reached
    assert found.suites[0].short == (None, None, None)


def test_a_farther_anchor_needs_more_items_or_a_larger_budget() -> None:
    near = plan_suites((Wanted("house", 5000, (Option("probability", 0.1, 0.02),)),)).suites[0]
    far = plan_suites((Wanted("house", 5000, (Option("probability", 0.1, 0.02, None, anchor_spread=0.2),)),)).suites[0]
    assert near.budget is not None
    assert far.budget is not None
    assert far.budget > 1.5 * near.budget


def test_more_planned_decisions_and_smaller_margins_cost_items() -> None:
    def size(decisions: int, margin: float) -> int:
        return plan_suites(
            (Wanted("safety", 100000, (Option("right", PSI, margin, 0.05),)),), decisions=decisions
        ).suites[0].n  # fmt: skip

    assert size(30, 0.03) <= size(365, 0.03) < size(365, 0.02)


@pytest.mark.parametrize(
    "wanted",
    [
        (),
        (Wanted("a", 0, (Option("right", 0.3, 0.03, 0.06),)),),
        (Wanted("a", 100, ()),),
        (Wanted("a", 100, (Option("right", 0.3, 0.0, 0.06),)),),
        (Wanted("a", 100, (Option("right", 0.3, 0.03, 1.0),)),),
        (Wanted("a", 100, (Option("right", math.nan, 0.03, 0.06),)),),
        (Wanted("a", 100, (Option("right", 0.3, math.nan, 0.06),)),),
        (Wanted("a", 100, (Option("right", 0.3, 0.03, 0.06, anchor_spread=1.5),)),),
    ],
)
def test_a_plan_of_nothing_is_refused(wanted: tuple[Wanted, ...]) -> None:
    with pytest.raises(ValueError):
        plan_suites(wanted)


@pytest.mark.parametrize("goal", [0.0, 1.0, math.nan])
def test_a_goal_that_is_none_is_refused(goal: float) -> None:
    with pytest.raises(ValueError, match="goal"):
        plan_suites(ALL, goal=goal)


def test_candidates_that_share_alpha_need_more_items_and_the_anchor_s_bound_stays_what_it_was() -> None:
    alone, two = plan_suites(ALL), plan_suites(ALL, candidates=2)
    assert (two.alpha, two.anchor_z, two.decisions) == (alone.alpha / 2, alone.anchor_z, alone.decisions)
    # at the same sizes an equal model passes less often
    sizes = [row.n for row in alone.suites]
    assert at_sizes(ALL, sizes, candidates=2).joint.low < at_sizes(ALL, sizes).joint.low
    assert at_sizes(ALL, sizes, candidates=2).suites[0].anchor == at_sizes(ALL, sizes).suites[0].anchor
