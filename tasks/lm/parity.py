"""Whether two forms of one model are the same model: log-probabilities and greedy choices on a probe set.

What is judged is merged. What is served may be merged too, or base and adapter apart; either way both must agree.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from tasks.errors import ModelError


class Parity(NamedTuple):
    """``gap``: largest difference of a token's log-probability, nats; ``agreement``: share of equal greedy tokens."""

    gap: float
    agreement: float


class Tolerance(NamedTuple):
    gap: float
    agreement: float


# fp32: a wrong merge is off by whole nats; bf16 keeps 8 bits of a weight, and a merged one is rounded once more
TOLERANCE = {torch.float32: Tolerance(1e-2, 0.99), torch.bfloat16: Tolerance(0.5, 0.95)}


class Probe(NamedTuple):
    """Of every scored token: its log-probability, and the word that would be next greedily. Both (tokens,)."""

    logprobs: torch.Tensor
    greedy: torch.Tensor


def compare(before: Probe, after: Probe) -> Parity | None:
    """How far two forms are apart; None where one answers NaN: its scorecards say so by item, and the gate blocks.

    Raises:
        ModelError: the probes are of different tokens, or of none.
    """
    if before.logprobs.shape != after.logprobs.shape or not len(before.logprobs):
        raise ModelError(
            f"probes of {len(before.logprobs)} and {len(after.logprobs)} tokens can't be compared",
            do="give the gate a suite with items",
        )
    gap = float((before.logprobs - after.logprobs).abs().max())
    if not math.isfinite(gap):
        return None
    return Parity(gap, float((before.greedy == after.greedy).float().mean()))


def check(parity: Parity, dtype: torch.dtype) -> None:
    """Refuse forms that are not the same model.

    Raises:
        ModelError: with the gap and the agreement.
    """
    limit = TOLERANCE[dtype]
    if not (parity.gap <= limit.gap and parity.agreement >= limit.agreement):
        raise ModelError(
            f"the merged model is another one than base and adapter: log-probabilities differ by up to {parity.gap:.3g}"
            f" nats a token (tolerance {limit.gap:g}), {parity.agreement:.1%} of greedy tokens agree "
            f"(at least {limit.agreement:.0%})",
            do="find out whether the adapter is damaged or of another base; train it anew with --fresh",
        )


def probe(rows: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> Probe:
    """Put (log-probabilities, greedy tokens) of several answers together."""
    return Probe(torch.cat([logprobs for logprobs, _ in rows]), torch.cat([greedy for _, greedy in rows]))
