"""The arithmetic of PPO on answers: advantages, losses, divergence and its price. Pure: tensors in, tensors out.

Shapes are (answers, tokens), padded on the right; ``mask`` is 1 on an answer's tokens and 0 behind them. What lies
behind them counts nowhere, whatever it is. An answer is one episode, each of its tokens an action, and nothing comes
after its last.
"""

from typing import NamedTuple

import torch

STEP = 0.2  # most that one look at the divergence may count (Ziegler et al. 2019, arXiv 1909.08593, section 2.2)
GAIN = 0.1  # what it counts
_TINY = 1e-8


class Loss(NamedTuple):
    """A loss to be minimised, and the share of tokens at which its clipping held."""

    value: torch.Tensor
    clipped: torch.Tensor


def gae(
    rewards: torch.Tensor, values: torch.Tensor, mask: torch.Tensor, gamma: float, lam: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Generalised advantages and the returns that values are trained on (Schulman et al. 2015, arXiv 1506.02438).

    δ_t = r_t + γ V_{t+1} − V_t and A_t = δ_t + γλ A_{t+1}, with nothing behind the last token; the return is A_t + V_t.
    An answer that was cut at its longest counts as ended: what it might have earned later isn't guessed at.

    Args:
        rewards: of each token.
        values: V_t, what was expected before the token was drawn.
    """
    mask = mask.to(values.dtype)
    rewards, values = _behind(rewards, mask), _behind(values, mask)
    advantages = torch.zeros_like(values)
    later_value, later = torch.zeros_like(values[:, 0]), torch.zeros_like(values[:, 0])
    for token in reversed(range(values.shape[1])):
        delta = rewards[:, token] + gamma * later_value - values[:, token]
        later = mask[:, token] * (delta + gamma * lam * later)
        later_value = values[:, token]
        advantages[:, token] = later
    return advantages, advantages + values


def whiten(values: torch.Tensor, mask: torch.Tensor, *, shift_mean: bool = True) -> torch.Tensor:
    """Scaled to variance 1 over the tokens, with mean 0 unless ``shift_mean`` is false; 0 behind them."""
    mask = mask.to(values.dtype)
    values, count = _behind(values, mask), mask.sum().clamp_min(1)
    mean = values.sum() / count
    variance = (mask * (values - mean) ** 2).sum() / count
    white = (values - mean) / torch.sqrt(variance + _TINY)
    return mask * (white if shift_mean else white + mean)


def policy_loss(
    logps: torch.Tensor,
    old_logps: torch.Tensor,
    advantages: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
    total: torch.Tensor,
) -> Loss:
    """−min(r A, clip(r, 1−ε, 1+ε) A) with r = π / π_old (Schulman et al. 2017, arXiv 1707.06347, equation 7).

    Args:
        logps: of the drawn tokens under the policy as it is now; ``old_logps``: as it was when they were drawn.
        total: tokens of the whole step, which the sum is divided by: so a step cut into parts stays what it was.
    """
    ratio = _behind(logps - old_logps, mask).exp()
    plain, held = ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages
    return Loss(-_sum(torch.min(plain, held), mask) / total, _sum((held < plain).float(), mask) / total)


def value_loss(
    values: torch.Tensor,
    old_values: torch.Tensor,
    returns: torch.Tensor,
    mask: torch.Tensor,
    clip: float,
    total: torch.Tensor,
) -> Loss:
    """½ max((V − R)², (clip(V, V_old − ε, V_old + ε) − R)²): values don't run away from those the advantages are of."""
    held = old_values + (values - old_values).clamp(-clip, clip)
    plain_error, held_error = (values - returns) ** 2, (held - returns) ** 2
    loss = 0.5 * torch.max(plain_error, held_error)
    return Loss(_sum(loss, mask) / total, _sum((held_error > plain_error).float(), mask) / total)


def kl_tokens(logps: torch.Tensor, ref_logps: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """log π − log ρ of each drawn token, nats: without bias an estimate of KL(π ‖ ρ), and what the token pays for."""
    return _behind(logps - ref_logps, mask)


def token_rewards(scores: torch.Tensor, kl: torch.Tensor, coefficient: float, mask: torch.Tensor) -> torch.Tensor:
    """What each token earns: −β log π/ρ, and the last one the answer's score too (arXiv 1909.08593, equation 2).

    Args:
        scores: (answers,), one a whole answer.
    """
    rewards = -coefficient * _behind(kl, mask)
    lengths = mask.sum(1).long()
    answers = torch.nonzero(lengths > 0)[:, 0]
    rewards[answers, lengths[answers] - 1] += scores[answers].to(rewards.dtype)
    return rewards


def next_coefficient(coefficient: float, kl: float, target: float) -> float:
    """β after a look at the divergence: e = clip(KL / target − 1, −0.2, 0.2), β ← β (1 + 0.1 e) (arXiv 1909.08593).

    Args:
        kl: that was measured, and ``target``, in the same unit: here nats a token.
    """
    error = min(max(kl / target - 1.0, -STEP), STEP)
    return coefficient * (1.0 + GAIN * error)


def masked_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean over the answers' tokens."""
    return _sum(values, mask) / mask.sum().clamp_min(1)


def explained(values: torch.Tensor, returns: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The share of the returns' variance that the values foresaw: 1 all of it, below 0 less than their mean would."""
    spread = masked_mean((returns - masked_mean(returns, mask)) ** 2, mask)
    return 1 - masked_mean((returns - values) ** 2, mask) / spread.clamp_min(_TINY)


def _behind(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """0 behind the answers. By filling, not by multiplying: an infinity there times 0 would be NaN."""
    return values.masked_fill(mask == 0, 0.0)


def _sum(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return _behind(values, mask).sum()
