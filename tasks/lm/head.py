"""The LM head at the positions that predict something, in tiles that stay in the cache, without keeping any logits.

For a frozen head (LoRA) the gradient needs no second look at the vocabulary: with p the next-token distribution at h,
d log p(t) / dh = W[t] − Σ_v p_v W_v, and the expected embedding Σ_v p_v W_v is accumulated in the forward pass beside
the softmax's sum. That is two matrix products instead of three, the entropy log Z − h · Σ_v p_v W_v comes for free, and
one vector a token is kept. A head that is trained recomputes its tiles in the backward pass.
"""

from dataclasses import dataclass
from typing import Any

import torch

TOKENS, WORDS = 512, 1024  # a tile; measured on two cores (benchmarks/lm_head.py)


EXTRAS = ("entropy", "mean_logits", "is_top1", "log_sum_sq_probs")


@dataclass(frozen=True)
class Scored:
    """Per token, float32, of shape (tokens,). All but ``log_probs`` carry no gradient, and are None unless asked for.

    ``log_sum_sq_probs`` is log Σ_v p_v², which WPO's weights need (arXiv 2406.11827).
    """

    log_probs: torch.Tensor
    entropy: torch.Tensor | None
    mean_logits: torch.Tensor | None
    is_top1: torch.Tensor | None
    log_sum_sq_probs: torch.Tensor | None


@dataclass(frozen=True)
class Shape:
    """How logits come from h · W: logits = cap · tanh(scale · (h · W + bias) / cap), without the cap where None."""

    scale: float = 1.0
    cap: float | None = None


def shape_of(config: Any) -> Shape | None:
    """The head's shape from a model's config; None for one with factors that we don't know."""
    text = config.get_text_config()
    if any(getattr(text, name, None) for name in ("logit_scale", "logits_scaling", "lm_head_multiplier")):
        return None
    if getattr(text, "output_multiplier", None):
        return None
    return Shape(cap=getattr(text, "final_logit_softcapping", None))


def score_tokens(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    targets: torch.Tensor,
    shape: Shape,
    extras: tuple[str, ...] = (),
) -> Scored:
    """Log-probabilities of ``targets`` (tokens,) after ``hidden`` (tokens, width) under ``weight`` (words, width)."""
    return Scored(*_Head.apply(hidden, weight, bias, targets, shape, extras))  # pyright: ignore[reportArgumentType]


class _Head(torch.autograd.Function):
    @staticmethod
    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        shape: Shape,
        extras: tuple[str, ...],
    ) -> tuple[torch.Tensor | None, ...]:
        trained = ctx.needs_input_grad[1] or ctx.needs_input_grad[2] or shape.cap is not None
        expect = ctx.needs_input_grad[0] and not trained
        sums = _Sums(hidden, weight.shape[0], expect, extras)
        for rows, columns in _tiles(hidden, weight):
            tile, _ = _logits(hidden[rows], weight, bias, columns, shape)
            sums.add(tile, rows, columns, targets, weight)
        log_z = sums.top + sums.total.log()
        ctx.shape, ctx.trained, ctx.dtype = shape, trained, hidden.dtype
        if sums.expected is not None:
            expected = sums.expected / sums.total[:, None]
            ctx.save_for_backward((weight[targets].float() - expected) * shape.scale)
        elif any(ctx.needs_input_grad):
            ctx.save_for_backward(hidden, weight, bias, targets, log_z)
        found = (
            log_z - sums.weighted / sums.total if "entropy" in extras else None,
            sums.plain / weight.shape[0] if "mean_logits" in extras else None,
            sums.best == targets if "is_top1" in extras else None,
            sums.squares.log() - 2 * sums.total.log() if "log_sum_sq_probs" in extras else None,
        )
        ctx.mark_non_differentiable(*(one for one in found if one is not None))
        return (sums.target - log_z, *found)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[torch.Tensor | None, ...]:  # pyright: ignore
        gradient = grads[0].float()
        if not ctx.trained:
            (direction,) = ctx.saved_tensors
            return (gradient[:, None] * direction).to(ctx.dtype), None, None, None, None, None
        hidden, weight, bias, targets, log_z = ctx.saved_tensors
        needs_hidden, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        to_hidden = torch.zeros_like(hidden, dtype=torch.float32) if needs_hidden else None
        to_weight = torch.zeros_like(weight, dtype=torch.float32) if needs_weight else None
        to_bias = torch.zeros_like(bias, dtype=torch.float32) if needs_bias else None
        for rows, columns in _tiles(hidden, weight):
            tile, slope = _logits(hidden[rows], weight, bias, columns, ctx.shape)
            # d log p(t) / d z_v = [v = t] − p_v, in place
            tile.sub_(log_z[rows, None]).exp_().neg_()
            row, column = _inside(targets[rows], columns)
            tile[row, column] += 1
            tile.mul_(gradient[rows, None]).mul_(slope)
            if to_hidden is not None:
                to_hidden[rows].addmm_(tile, weight[columns].float())
            if to_weight is not None:
                to_weight[columns].addmm_(tile.t(), hidden[rows].float())
            if to_bias is not None:
                to_bias[columns] += tile.sum(0)
        return (
            None if to_hidden is None else to_hidden.to(hidden.dtype),
            None if to_weight is None else to_weight.to(weight.dtype),
            None if to_bias is None else to_bias.to(bias.dtype),
            None,
            None,
            None,
        )


class _Sums:
    """Running sums of a softmax over tiles of words, rescaled whenever a larger logit turns up (online softmax)."""

    def __init__(self, hidden: torch.Tensor, words: int, expect: bool, extras: tuple[str, ...]) -> None:
        count, device = len(hidden), hidden.device
        self.extras = extras
        self.top = torch.full((count,), float("-inf"), device=device)
        self.best = torch.full((count,), words, device=device)
        self.target, self.total, self.squares, self.weighted, self.plain = (
            torch.zeros(count, device=device) for _ in range(5)
        )
        self.expected = torch.zeros(hidden.shape, device=device) if expect else None

    def add(self, tile: torch.Tensor, rows: slice, columns: slice, targets: torch.Tensor, weight: torch.Tensor) -> None:
        row, column = _inside(targets[rows], columns)
        self.target[rows][row] = tile[row, column]
        if "mean_logits" in self.extras:
            self.plain[rows] += tile.sum(1)
        best, where = tile.max(1)
        if "is_top1" in self.extras:
            self.best[rows] = torch.where(best > self.top[rows], where + columns.start, self.best[rows])
        top = torch.maximum(self.top[rows], best)
        shrink = (self.top[rows] - top).exp_()
        self.top[rows] = top
        tile.sub_(top[:, None])
        if "entropy" in self.extras:
            powers = tile.exp()
            total = powers.sum(1)
            # Σ e·z from e·(z − top), which is what lies in the tile
            self.weighted[rows] = self.weighted[rows] * shrink + (powers.mul(tile)).sum(1) + top * total
        else:
            powers = tile.exp_()
            total = powers.sum(1)
        self.total[rows] = self.total[rows] * shrink + total
        if "log_sum_sq_probs" in self.extras:
            self.squares[rows] = self.squares[rows] * shrink * shrink + (powers * powers).sum(1)
        if self.expected is not None:
            self.expected[rows] = (self.expected[rows] * shrink[:, None]).addmm_(powers, weight[columns].float())


def _tiles(hidden: torch.Tensor, weight: torch.Tensor) -> list[tuple[slice, slice]]:
    return [
        (slice(row, min(row + TOKENS, len(hidden))), slice(column, min(column + WORDS, len(weight))))
        for row in range(0, len(hidden), TOKENS)
        for column in range(0, len(weight), WORDS)
    ]


def _inside(targets: torch.Tensor, columns: slice) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose target is a word of this tile, and its column there."""
    (row,) = ((targets >= columns.start) & (targets < columns.stop)).nonzero(as_tuple=True)
    return row, targets[row] - columns.start


def _logits(
    hidden: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, columns: slice, shape: Shape
) -> tuple[torch.Tensor, torch.Tensor | float]:
    """A tile of logits in float32, and their derivative by h · W + bias."""
    tile = (hidden @ weight[columns].t()).float()
    if bias is not None:
        tile += bias[columns]
    if shape.scale != 1.0:
        tile *= shape.scale
    if shape.cap is None:
        return tile, shape.scale
    bent = torch.tanh(tile / shape.cap)
    return bent * shape.cap, (1 - bent * bent) * shape.scale
