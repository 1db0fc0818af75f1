"""The floor, and the words of a report."""

import math
from typing import Any

import pytest

from tasks.align.reward_model.report import RewardReport, read_report, refuse_weak, report_of, said_of
from tasks.errors import ModelError


def report(right: int, n: int, floor: float = 0.55, **changes: Any) -> RewardReport:
    """Of as many prompts as pairs."""
    held = [{"prompt": [{"role": "user", "content": str(number)}]} for number in range(n)]
    chosen = [1.0 if number < right else -1.0 for number in range(n)]
    made = report_of(chosen, [0.0] * n, held, 100, floor)
    return made.model_copy(update=changes)


@pytest.mark.parametrize(("right", "n", "fits"), [(70, 100, True), (60, 100, False), (600, 1000, True), (6, 6, True)])
def test_it_is_the_lower_bound_that_has_to_reach_the_floor(right: int, n: int, fits: bool) -> None:
    made = report(right, n)
    assert (made.accuracy.lower >= 0.55) == fits
    if fits:
        return refuse_weak(made)
    with pytest.raises(ModelError, match=rf"{right} of {n} held-out pairs right, 60\.0% \[50\.2%, 69\.1%\]") as refused:
        refuse_weak(made)
    assert "bring more pairs: the 100 held-out prompts are too few" in refused.value.do


def test_a_bound_exactly_at_the_floor_passes_and_a_hair_below_does_not() -> None:
    made = report(70, 100)
    refuse_weak(made, made.accuracy.lower)
    with pytest.raises(ModelError):
        refuse_weak(made, math.nextafter(made.accuracy.lower, 1))


def test_a_coin_is_told_to_learn_more_and_not_to_be_counted_longer() -> None:
    with pytest.raises(ModelError, match=r"50\.0%") as refused:
        refuse_weak(report(50, 100))
    assert "train it for more steps" in refused.value.do
    assert "annotators" in refused.value.do


def test_a_bound_that_is_no_number_is_no_proof() -> None:
    made = report(99, 100)
    weird = made.model_copy(update={"accuracy": made.accuracy.model_copy(update={"lower": math.nan})})
    with pytest.raises(ModelError):
        refuse_weak(weird)


def test_mean_and_spread_are_of_all_answers_after_the_temperature() -> None:
    held = [{"prompt": [{"role": "user", "content": str(number)}]} for number in range(200)]
    # right three times in four, and as sure of it as of 1 in 400: too sure
    chosen = [9.0 if number % 4 else 1.0 for number in range(200)]
    rejected = [3.0 if number % 4 else 7.0 for number in range(200)]
    made = report_of(chosen, rejected, held, 10, 0.55)
    assert made.temperature == pytest.approx(6 / math.log(3), rel=0.05)
    rewards = [reward / made.temperature for reward in chosen + rejected]
    assert made.mean == pytest.approx(sum(rewards) / 400)
    assert made.spread == pytest.approx(math.sqrt(sum((one - made.mean) ** 2 for one in rewards) / 400))
    assert made.calibration.loss < made.before.loss
    assert made.calibration.error < 0.02 < made.before.error
    assert f"rewards divided by {made.temperature:.2f}" in said_of(made)
    assert "75.0% [" in said_of(made)


def test_a_report_comes_back_as_it_was_and_what_is_none_is_refused() -> None:
    made = report(70, 100)
    assert read_report(made.model_dump_json(), "here") == made
    for text in ("{}", "[1]", "no JSON", made.model_dump_json().replace('"trained"', '"drained"')):
        with pytest.raises(ModelError, match="here is no report of a reward model"):
            read_report(text, "here")
