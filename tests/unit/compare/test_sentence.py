"""What a comparison ends with: no sentence claims what its interval doesn't show."""

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.compare.figures import Compared, Figures, Hours, compared, find
from tasks.compare.sentence import closing, footing, hours_words, score_words
from tasks.compared import Difference, Marks
from tests.unit.compare.figures_made import answers, failed, figures, marks, training

THESE, FEW = "shown of these trainings", "40 graded items are too few for a bound"
START = (marks("reasoning", answers(0.3, 200, 1)), marks("house", answers(0.3, 200, 2)))


def difference(delta: float, lower: float, upper: float, deltas: tuple[float, ...], **changes: object) -> Difference:
    values = {
        "method": "ppo", "other": "dpo", "suite": "reasoning", "measure": "right", "seeds": tuple(range(len(deltas))),
        "deltas": deltas, "n": 200, "items": 200, "delta": delta, "lower": lower, "upper": upper, "alpha": 0.05,
        "enough": True,
    }  # fmt: skip
    return Difference.model_validate(values | changes)


def said(one: Difference) -> str:
    return score_words(compared(one, []))


def test_the_sentences_of_the_issue_are_made_from_figures_like_these() -> None:
    hours = Hours(method="dpo", other="ppo", unit="GPU-hours", seeds=(0, 1, 2), ratio=0.21, lower=0.19, upper=0.24)
    assert hours_words(hours) == "DPO used 0.21× [0.19, 0.24] of PPO's GPU-hours"
    open_ = difference(0.012, -0.004, 0.028, (0.010, 0.012, 0.014))
    assert said(open_) == "PPO's reasoning score is higher by 1.2 points [−0.4, 2.8]: not shown"
    lower = difference(-0.062, -0.080, -0.044, (-0.060, -0.062, -0.064))
    assert said(lower) == "PPO's reasoning score is lower by 6.2 points [4.4, 8.0]"


@pytest.mark.parametrize(
    ("one", "finding", "because"),
    [
        (difference(0.1, 0.0, 0.2, (0.1, 0.1, 0.1)), "not shown", ""),
        (difference(0.1, -0.1, 0.2, (0.1,)), "not shown", ""),
        (difference(0.1, 1e-9, 0.2, (0.1, 0.1, 0.1)), "not shown", ""),
        (difference(0.1, 0.05, 0.2, (0.25, -0.05, 0.1)), "not shown", "the seeds disagree on which is better"),
        (difference(0.1, 0.05, 0.2, (0.1, 0.1)), THESE, "2 seeds are too few to speak of the methods"),
        (difference(0.1, 0.05, 0.2, (0.1,)), THESE, "1 seed is too few to speak of the methods"),
        (difference(0.1, 0.05, 0.2, (0.02, 0.1, 0.18)), THESE, "seeds differ by as much"),
        (difference(0.1, 0.05, 0.2, (0.1,) * 3, enough=False, n=40), "not shown", FEW),
        (difference(0.1, 0.05, 0.2, (0.1, 0.11, 0.09)), "shown", ""),
    ],
)  # fmt: skip
def test_what_is_found_of_a_difference_and_why_no_more(one: Difference, finding: str, because: str) -> None:
    found = compared(one, [])
    assert (found.finding, found.because) == (finding, because)
    words = score_words(found)
    assert words.endswith("]") if finding == "shown" else finding in words
    assert because in words


def test_a_difference_of_trainings_that_did_not_all_finish_is_not_one_of_the_methods() -> None:
    one = difference(0.1, 0.05, 0.2, (0.1, 0.11, 0.09))
    rest = [training("dpo", seed, START) for seed in range(3)] + [failed("ppo", 3)]
    found = compared(one, rest)
    assert found.finding == "shown of these trainings"
    assert found.because.startswith("1 of 4 trainings did not finish")


numbers = st.floats(-1, 1, allow_nan=False)


@settings(max_examples=500)
@given(st.lists(numbers, min_size=3, max_size=3).map(sorted), st.lists(numbers, min_size=1, max_size=6), st.booleans())
def test_no_sentence_claims_a_difference_whose_interval_includes_zero(
    three: list[float], deltas: list[float], enough: bool
) -> None:
    lower, delta, upper = three
    one = difference(delta, lower, upper, tuple(deltas), enough=enough)
    found = compared(one, [])
    words = score_words(found)
    if lower <= 0 <= upper or not enough or len({value > 0 for value in deltas}) > 1:
        assert found.finding == "not shown"
        assert ": not shown" in words
    if found.finding == "shown":
        assert len(deltas) >= 3
        assert found.whole_lower is not None
        assert found.whole_upper is not None
        assert found.whole_lower > 0 or found.whole_upper < 0
        assert "not" not in words
    if found.finding != "not shown":  # then no bound is written as if it were nothing
        first = re.search(r"\[([^,]+),", words)
        assert first is not None
        assert float(first[1].replace("−", "-")) > 0


@pytest.mark.parametrize("bound", [(math.nan, 0.2), (0.1, math.nan), (math.nan, math.nan)])
def test_a_bound_that_is_no_number_shows_nothing(bound: tuple[float, float]) -> None:
    one = difference(0.1, 0.05, 0.2, (0.1, 0.1, 0.1)).model_copy(
        update=dict(zip(("lower", "upper"), bound, strict=True))
    )
    if math.isnan(bound[0]) and not bound[1] < 0:
        assert find(one, (0.05, 0.2), [])[0] == "not shown"
    whole = difference(0.1, 0.05, 0.2, (0.1, 0.1, 0.1))
    assert find(whole, bound, [])[0] != "shown" or bound[0] > 0


@settings(max_examples=300)
@given(st.floats(1e-6, 1e6), st.floats(1, 1e3), st.floats(1, 1e3))
def test_no_sentence_claims_a_ratio_whose_interval_includes_one(ratio: float, down: float, up: float) -> None:
    hours = Hours(
        method="dpo", other="ppo", unit="GPU-hours", seeds=(0, 1), ratio=ratio, lower=ratio / down, upper=ratio * up
    )
    assert hours_words(hours).endswith(": not shown") == (ratio / down <= 1 <= ratio * up)


def test_hours_of_one_seed_have_no_interval_and_are_not_shown() -> None:
    hours = Hours(method="dpo", other="ppo", unit="GPU-hours", seeds=(0,), ratio=0.2, lower=None, upper=None)
    assert hours_words(hours) == "DPO used 0.20× of PPO's GPU-hours with one seed, which has no interval: not shown"


def three_seeds() -> Figures:
    def suites(right: float, seed: int, at: int) -> list[Marks]:
        return [marks("reasoning", answers(right, 200, seed + at)), marks("house", answers(0.5, 200, seed))]

    runs = [
        training(method, seed, suites(right, seed, at), hours=hours * (1 + 0.02 * seed))
        for method, right, hours, at in (("dpo", 0.5, 1.0, 10), ("ppo", 0.7, 5.0, 20))
        for seed in range(3)
    ]
    return figures(runs, START, "reasoning")


def test_a_whole_comparison_ends_with_hours_target_what_else_is_told_apart_and_what_it_rests_on() -> None:
    made = three_seeds()
    first, *rest = closing(made)
    assert first.startswith("DPO used 0.20× [")
    assert "of PPO's GPU-hours; PPO's reasoning score is higher by" in first
    assert first.endswith("on 1 other suite no difference is shown.")
    assert rest == footing(made)
    assert "the same 64 preferences from the same start, with 3 seeds" in rest[0]
    assert "hold together at 95% for all 2 comparisons (Bonferroni)" in rest[1]
    assert "nothing was registered" in rest[-1]


def test_two_seeds_are_said_to_be_too_few() -> None:
    runs = [training(method, seed, START) for method in ("dpo", "ppo") for seed in range(2)]
    assert any(
        "With 2 seeds nothing is shown of the methods as such" in one for one in footing(figures(runs, START, "house"))
    )


def test_trainings_that_failed_are_named_and_a_method_without_any_other_has_no_difference() -> None:
    runs = [training("dpo", 0, START), training("dpo", 1, START), failed("ppo", 0), failed("ppo", 1, state="Unhealthy")]
    made = figures(runs, START, "house", methods=["dpo", "ppo"])
    first, *rest = closing(made)
    assert first == (
        "What DPO used of PPO's device-hours can't be said: no seed of both finished; "
        "PPO's scores can't be compared: no training of PPO finished."
    )
    assert "Not finished: 2 of 2 trainings of PPO." in rest
    assert [one.failures for one in made.methods] == [(), ("seed 0: failed: it broke", "seed 1: unhealthy: it broke")]


def test_unequal_budgets_are_said_before_anything_else_the_sentences_rest_on() -> None:
    runs = [training("dpo", 0, START), training("ppo", 0, START, shown=60)]
    made = figures(runs, START, "house")
    assert footing(made)[0].startswith("The budgets were not equal: with seed 0 the methods were not shown the same")
    other = [training("dpo", 0, START), training("ppo", 0, START, shown_digest=f"sha256:{9:064x}")]
    assert figures(other, START, "house").unequal
    assert not three_seeds().unequal


def test_equal_models_are_never_told_apart() -> None:
    runs = [training(method, seed, START) for method in ("dpo", "ppo") for seed in range(3)]
    made = figures(runs, START, "reasoning")
    assert {one.finding for one in made.differences} == {"not shown"}
    assert all(isinstance(one, Compared) and one.difference.delta == 0 for one in made.differences)
