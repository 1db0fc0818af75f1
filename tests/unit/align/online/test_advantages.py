"""PPO's arithmetic against a slow reference, written from the papers' equations in plain Python."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.align.online.advantages import (
    explained,
    gae,
    kl_tokens,
    masked_mean,
    next_coefficient,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)

Rows = list[list[float]]
NUMBER = st.floats(-5, 5, allow_nan=False, width=32)
SHARE = st.floats(0, 1, width=32)


# ---- the reference: one answer at a time, lists, sums as the papers write them ---------------------------------------


def slow_gae(rewards: list[float], values: list[float], gamma: float, lam: float) -> list[float]:
    """A_t = Σ_l (γλ)^l δ_{t+l} (arXiv 1506.02438, equation 16), of one answer without padding."""
    count = len(rewards)
    deltas = [rewards[t] + (gamma * values[t + 1] if t + 1 < count else 0.0) - values[t] for t in range(count)]
    return [sum((gamma * lam) ** (later - t) * deltas[later] for later in range(t, count)) for t in range(count)]


def slow_policy_loss(new: Rows, old: Rows, advantages: Rows, clip: float) -> float:
    """−E[min(r A, clip(r, 1 − ε, 1 + ε) A)] (arXiv 1707.06347, equation 7)."""
    terms = []
    for row in zip(new, old, advantages, strict=True):
        for one, before, advantage in zip(*row, strict=True):
            ratio = math.exp(one) / math.exp(before)
            terms.append(min(ratio * advantage, max(1 - clip, min(1 + clip, ratio)) * advantage))
    return -sum(terms) / len(terms)


def slow_value_loss(new: Rows, old: Rows, returns: Rows, clip: float) -> float:
    terms = []
    for row in zip(new, old, returns, strict=True):
        for value, before, target in zip(*row, strict=True):
            near = max(before - clip, min(before + clip, value))
            terms.append(0.5 * max((value - target) ** 2, (near - target) ** 2))
    return sum(terms) / len(terms)


def slow_coefficient(coefficient: float, kl: float, target: float) -> float:
    error = (kl - target) / target
    error = -0.2 if error < -0.2 else 0.2 if error > 0.2 else error
    return coefficient * (1 + 0.1 * error)


def padded(rows: Rows, width: int, filling: float = 0.0) -> torch.Tensor:
    return torch.tensor([row + [filling] * (width - len(row)) for row in rows], dtype=torch.float64)


def mask_of(rows: Rows, width: int) -> torch.Tensor:
    return torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


@st.composite
def answers(draw: Any, columns: int) -> list[Rows]:
    """So many columns of the same ragged shape: 1 to 4 answers of 1 to 6 tokens."""
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    return [[draw(st.lists(NUMBER, min_size=n, max_size=n)) for n in lengths] for _ in range(columns)]


def flat(rows: Rows) -> list[float]:
    return [one for row in rows for one in row]


# ---- against the reference -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(answers(2), SHARE, SHARE)
def test_advantages_are_the_papers_sums(columns: list[Rows], gamma: float, lam: float) -> None:
    rewards, values = columns
    mask = mask_of(rewards, 8)
    advantages, returns = gae(padded(rewards, 8, 9.0), padded(values, 8, -7.0), mask, gamma, lam)
    for row, (one, other) in enumerate(zip(rewards, values, strict=True)):
        true = slow_gae(one, other, gamma, lam)
        assert advantages[row, : len(one)].tolist() == pytest.approx(true, abs=1e-5)
        assert returns[row, : len(one)].tolist() == pytest.approx(
            [a + v for a, v in zip(true, other, strict=True)], abs=1e-5
        )
    assert float(advantages[mask == 0].abs().sum()) == 0.0


@settings(max_examples=60, deadline=None)
@given(answers(3), st.floats(0.05, 0.5))
def test_the_policy_loss_is_the_papers_clipped_surrogate(columns: list[Rows], clip: float) -> None:
    new, old, advantages = columns
    mask = mask_of(new, 7)
    a, b, c = (padded(one, 7, 3.0) for one in (new, old, advantages))
    found = policy_loss(a, b, c, mask, clip, mask.sum())
    assert float(found.value) == pytest.approx(slow_policy_loss(new, old, advantages, clip), rel=1e-5, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(answers(3), st.floats(0.05, 2.0))
def test_the_value_loss_is_the_larger_of_both_errors(columns: list[Rows], clip: float) -> None:
    new, old, returns = columns
    mask = mask_of(new, 7)
    a, b, c = (padded(one, 7, 3.0) for one in (new, old, returns))
    found = value_loss(a, b, c, mask, clip, mask.sum())
    assert float(found.value) == pytest.approx(slow_value_loss(new, old, returns, clip), rel=1e-5, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(answers(2))
def test_the_divergence_a_token_is_that_of_its_log_probabilities(columns: list[Rows]) -> None:
    policy, reference = columns
    mask = mask_of(policy, 7)
    found = kl_tokens(padded(policy, 7, 2.0), padded(reference, 7, -3.0), mask)
    true = [math.log(math.exp(p) / math.exp(q)) for p, q in zip(flat(policy), flat(reference), strict=True)]
    assert found[mask == 1].tolist() == pytest.approx(true, abs=1e-5)
    assert float(found[mask == 0].abs().sum()) == 0.0


def test_what_the_values_foresaw_is_one_for_true_ones_and_nothing_for_their_mean() -> None:
    returns, mask = torch.tensor([[1.0, 2.0, 99.0], [3.0, 4.0, 5.0]]), torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert float(explained(returns, returns, mask)) == 1.0
    assert float(explained(torch.full((2, 3), 3.0), returns, mask)) == pytest.approx(0.0, abs=1e-6)
    assert float(explained(-returns, returns, mask)) < 0


@settings(max_examples=60, deadline=None)
@given(st.floats(1e-3, 10), st.floats(0, 20), st.floats(0.01, 5))
def test_the_coefficient_moves_as_ziegler_says(coefficient: float, kl: float, target: float) -> None:
    assert next_coefficient(coefficient, kl, target) == pytest.approx(slow_coefficient(coefficient, kl, target))


def test_the_coefficient_rises_above_the_target_falls_below_it_and_stays_on_it() -> None:
    assert next_coefficient(0.2, 100.0, 1.0) == pytest.approx(0.2 * 1.02)
    assert next_coefficient(0.2, 0.0, 1.0) == pytest.approx(0.2 * 0.98)
    assert next_coefficient(0.2, 1.0, 1.0) == 0.2


@settings(max_examples=40, deadline=None)
@given(answers(1), st.booleans())
def test_whitening_leaves_variance_one_and_the_mean_where_it_is_asked_to(columns: list[Rows], shift: bool) -> None:
    (rows,) = columns
    mask, numbers = mask_of(rows, 7), flat(rows)
    mean = sum(numbers) / len(numbers)
    variance = sum((number - mean) ** 2 for number in numbers) / len(numbers)
    true = [(number - mean) / math.sqrt(variance + 1e-8) + (0 if shift else mean) for number in numbers]
    found = whiten(padded(rows, 7, 100.0), mask, shift_mean=shift)
    assert found[mask == 1].tolist() == pytest.approx(true, rel=1e-4, abs=1e-4)
    assert float(found[mask == 0].abs().sum()) == 0.0


def test_the_score_falls_on_an_answers_last_token_and_every_token_pays_for_its_divergence() -> None:
    kl = torch.tensor([[0.5, -0.25, 9.0], [1.0, 2.0, 3.0]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    found = token_rewards(torch.tensor([10.0, -1.0]), kl, 2.0, mask)
    assert found.tolist() == [[-1.0, 10.5, 0.0], [-2.0, -4.0, -7.0]]


def test_an_answer_without_tokens_earns_nothing() -> None:
    found = token_rewards(torch.tensor([10.0]), torch.ones(1, 2), 1.0, torch.zeros(1, 2))
    assert found.tolist() == [[0.0, 0.0]]


# ---- what holds for all numbers --------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(answers(2))
def test_without_discount_an_advantage_is_the_reward_to_go_minus_the_value(columns: list[Rows]) -> None:
    rewards, values = columns
    mask = mask_of(rewards, 6)
    advantages, returns = gae(padded(rewards, 6), padded(values, 6), mask, 1.0, 1.0)
    for row, (one, other) in enumerate(zip(rewards, values, strict=True)):
        to_go = [sum(one[t:]) for t in range(len(one))]
        assert returns[row, : len(one)].tolist() == pytest.approx(to_go, abs=1e-5)
        expected = [r - v for r, v in zip(to_go, other, strict=True)]
        assert advantages[row, : len(one)].tolist() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(answers(2), SHARE)
def test_with_lambda_zero_an_advantage_is_the_error_of_one_step(columns: list[Rows], gamma: float) -> None:
    rewards, values = columns
    advantages, _ = gae(padded(rewards, 6), padded(values, 6), mask_of(rewards, 6), gamma, 0.0)
    for row, (one, other) in enumerate(zip(rewards, values, strict=True)):
        after = [*other[1:], 0.0]
        expected = [r + gamma * v - now for r, v, now in zip(one, after, other, strict=True)]
        assert advantages[row, : len(one)].tolist() == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(answers(4), st.integers(6, 12), st.sampled_from([0.0, 1e30, math.inf, -math.inf, math.nan]))
def test_padding_changes_nothing_however_much_of_it_and_whatever_it_is(
    columns: list[Rows], width: int, filling: float
) -> None:
    new, old, third, fourth = columns
    results = []
    for many, value in ((6, 0.0), (width, filling)):
        mask = mask_of(new, many)
        a, b, c, d = (padded(one, many, value) for one in (new, old, third, fourth))
        advantages, returns = gae(c, d, mask, 0.9, 0.8)
        results.append(
            [
                *(one[mask == 1].tolist() for one in (advantages, returns, whiten(c, mask), kl_tokens(a, b, mask))),
                float(policy_loss(a, b, c, mask, 0.2, mask.sum()).value),
                float(value_loss(a, b, c, mask, 0.2, mask.sum()).value),
                float(masked_mean(a, mask)),
                token_rewards(torch.ones(len(new)), a, 0.5, mask)[mask == 1].tolist(),
            ]
        )
    for one, other in zip(*results, strict=True):
        assert one == pytest.approx(other)


def test_nothing_pulls_a_ratio_further_out_than_the_clip() -> None:
    logps = torch.tensor([[math.log(1.5), math.log(0.5), math.log(1.5), math.log(0.5)]], requires_grad=True)
    advantages, mask = torch.tensor([[1.0, -1.0, -1.0, 1.0]]), torch.ones(1, 4)
    found = policy_loss(logps, torch.zeros(1, 4), advantages, mask, 0.2, mask.sum())
    found.value.backward()
    assert logps.grad is not None
    gradient = logps.grad[0].tolist()
    # out already, where the advantage pushes to: held. Out on the other side: pulled back
    assert gradient[0] == gradient[1] == 0.0
    assert gradient[2] > 0 > gradient[3]
    assert float(found.clipped) == 0.5


def test_a_step_cut_into_parts_has_the_loss_of_the_whole() -> None:
    torch.manual_seed(0)
    new, old, advantages = torch.randn(3, 4, 5)
    mask = mask_of([[0.0] * 5, [0.0] * 2, [0.0], [0.0] * 4], 5)
    whole = policy_loss(new, old, advantages, mask, 0.2, mask.sum()).value
    parts = [
        policy_loss(new[rows], old[rows], advantages[rows], mask[rows], 0.2, mask.sum()).value
        for rows in (slice(0, 1), slice(1, 4))
    ]
    assert float(sum(parts)) == pytest.approx(float(whole), abs=1e-6)
