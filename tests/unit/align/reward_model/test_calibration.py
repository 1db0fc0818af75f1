"""Accuracy with its interval, calibration and temperature: against bins by hand, a library, and a plain search."""

import math
import random
from typing import Any

import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from tasks.align.reward_model.calibration import (
    accuracy,
    calibration,
    effective_size,
    mean_loss,
    sigmoid,
    softplus,
    temperature,
    temperature_that_helps,
    wilson,
)


def logit(probability: float) -> float:
    return math.log(probability / (1 - probability))


@pytest.mark.parametrize(("right", "n"), [(0, 5), (3, 7), (61, 100), (100, 100), (5300, 10_000)])
def test_the_interval_is_the_librarys(right: int, n: int) -> None:
    true = binomtest(right, n).proportion_ci(confidence_level=0.95, method="wilson")
    assert wilson(right / n, n) == pytest.approx((true.low, true.high), abs=1e-9)


def test_accuracy_counts_a_tie_as_wrong() -> None:
    found = accuracy([1.0, -2.0, 0.0, 3.0], ["a", "b", "c", "d"])
    assert (found.n, found.prompts, found.right, found.ties, found.accuracy) == (4, 4, 2, 1, 0.5)
    assert (found.lower, found.upper) == wilson(0.5, 4)


def test_pairs_of_one_prompt_are_worth_fewer() -> None:
    # ten prompts of ten pairs each, five of them all right and five all wrong: ten coins, thrown once each. Their share
    # has the variance 0.25/10 · 10/9, that of a hundred pairs 0.25/100
    alike = [prompt < 5 for prompt in range(10) for _ in range(10)]
    clusters = [str(prompt) for prompt in range(10) for _ in range(10)]
    assert effective_size(alike, clusters) == pytest.approx(100 / (10 * 10 / 9))
    # no two of a prompt, or pairs of a prompt that are unlike each other: as many as there are
    assert effective_size(alike, [str(number) for number in range(100)]) == 100
    assert effective_size([number % 2 == 0 for number in range(100)], clusters) == 100
    # all right: nothing is seen of how alike they are
    assert effective_size([True] * 100, clusters) == 10
    gaps, alone = [1.0 if one else -1.0 for one in alike], [str(number) for number in range(100)]
    narrow, wide = accuracy(gaps, alone), accuracy(gaps, clusters)
    assert wide.lower < narrow.lower


def test_bins_and_their_error_are_those_computed_by_hand() -> None:
    # claims .52 (right), .53 (wrong) | .62 (right) | .97 (right), .99 (wrong), and 1 (right) in the last bin
    gaps = [logit(0.52), -logit(0.53), logit(0.62), logit(0.97), -logit(0.99), 800.0]
    found = calibration(gaps)
    assert [one.n for one in found.bins] == [2, 0, 1, 0, 0, 0, 0, 0, 0, 3]
    assert [(one.low, one.high) for one in found.bins][:2] == [(0.5, 0.55), (0.55, 0.6)]
    assert (found.bins[0].claimed, found.bins[0].right) == pytest.approx((0.525, 0.5))
    assert (found.bins[9].claimed, found.bins[9].right) == pytest.approx(((0.97 + 0.99 + 1) / 3, 2 / 3))
    by_hand = 2 / 6 * 0.025 + 1 / 6 * (1 - 0.62) + 3 / 6 * ((0.97 + 0.99 + 1) / 3 - 2 / 3)
    assert found.error == pytest.approx(by_hand)
    losses = [-math.log(0.52), -math.log(1 - 0.53), -math.log(0.62), -math.log(0.97), -math.log(1 - 0.99), 0.0]
    assert found.loss == pytest.approx(sum(losses) / 6)


def test_claims_that_hold_have_next_to_no_error() -> None:
    rng = random.Random(0)
    gaps = []
    for _ in range(20_000):
        gap = abs(rng.gauss(0, 2))
        gaps.append(gap if rng.random() < sigmoid(gap) else -gap)
    assert calibration(gaps).error < 0.01
    # three times as sure as it may be
    assert calibration([3 * gap for gap in gaps]).error > 0.1
    assert temperature([3 * gap for gap in gaps]) == pytest.approx(3.0, rel=0.03)
    assert temperature([gap / 4 for gap in gaps]) == pytest.approx(0.25, rel=0.03)


def test_the_temperature_is_where_a_librarys_search_finds_the_least_loss() -> None:
    rng = random.Random(1)
    gaps = [rng.gauss(0.8, 2) for _ in range(60)]
    target = 61 / 62

    def loss(log_temperature: float) -> float:
        scaled = [gap / math.exp(log_temperature) for gap in gaps]
        return sum(target * softplus(-gap) + (1 - target) * softplus(gap) for gap in scaled)

    found: Any = minimize_scalar(loss, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    true = math.exp(float(found.x))
    assert temperature(gaps) == pytest.approx(true, rel=1e-4)


def test_gaps_that_are_all_right_or_all_wrong_have_a_temperature_within_its_bounds() -> None:
    assert 0.05 <= temperature([5.0, 7.0, 6.0]) < 5  # Platt's targets: not as sure as can be
    assert temperature([-5.0, -7.0]) == 20.0
    assert temperature([0.0]) == 20.0


def test_a_temperature_is_taken_only_where_it_surely_helps() -> None:
    rng = random.Random(2)
    honest = []
    for _ in range(400):
        gap = abs(rng.gauss(0, 1.5))
        honest.append(gap if rng.random() < sigmoid(gap) else -gap)
    folds = [number % 2 == 0 for number in range(400)]
    assert temperature_that_helps(honest, folds) == 1.0
    boastful = [5 * gap for gap in honest]
    found = temperature_that_helps(boastful, folds)
    assert found == temperature(boastful)
    assert mean_loss([gap / found for gap in boastful]) < mean_loss(boastful)
    # each half by its own would gain, and by the other's it loses
    at_odds = [gap * (5 if fold else 0.2) for gap, fold in zip(honest, folds, strict=True)]
    assert temperature_that_helps(at_odds, folds) == 1.0
    assert temperature_that_helps(boastful[:40], folds[:40]) == 1.0  # too few to tell
    assert temperature_that_helps(boastful, [True] * 400) == 1.0  # one prompt: nothing to try it on
