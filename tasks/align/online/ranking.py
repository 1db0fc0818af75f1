"""The arithmetic of DPO on a model's own answers: the best and the worst of a prompt's, and their loss. Pure.

Guo et al. 2024, arXiv 2402.04792: answers are drawn from the policy as it is, ranked, and trained on as a preference.
"""

from typing import NamedTuple

import torch
from torch.nn.functional import logsigmoid


class Ranked(NamedTuple):
    """For each prompt, of shape (prompts,): places of its best and worst answer, and whether these earn differently."""

    best: torch.Tensor
    worst: torch.Tensor
    differ: torch.Tensor


class PairLoss(NamedTuple):
    """A loss to be minimised; mean margin in nats, and share of right ranks, over the pairs that count."""

    value: torch.Tensor
    margin: torch.Tensor
    accuracy: torch.Tensor


def ranked(scores: torch.Tensor) -> Ranked:
    """The first of the highest and the first of the lowest of each row of ``scores``, (prompts, answers)."""
    best, worst = scores.argmax(1), scores.argmin(1)
    places = torch.arange(len(scores), device=scores.device)
    return Ranked(best, worst, scores[places, best] > scores[places, worst])


def pair_loss(
    chosen: torch.Tensor, rejected: torch.Tensor, margins: torch.Tensor, differ: torch.Tensor, beta: float, pairs: int
) -> PairLoss:
    """−log σ(β (log-ratio of chosen − log-ratio of rejected)), summed over the pairs that differ, over all of a step.

    A prompt whose answers all earn the same says nothing: it counts in ``pairs`` and adds nothing, so that a step's
    parts add up to the step whatever lies in each.

    Args:
        chosen, rejected: log-probabilities of whole answers under the policy, (pairs of this part,), in nats.
        margins: log-probability of chosen less that of rejected under the reference.
        pairs: of the whole step.
    """
    logits = beta * (chosen - rejected - margins)
    counted = differ.to(logits.dtype)
    total = counted.sum().clamp(min=1)
    return PairLoss(
        -(logsigmoid(logits) * counted).sum() / pairs,
        (logits.detach() / beta * counted).sum() / total,
        ((logits.detach() > 0) * counted).sum() / total,
    )
