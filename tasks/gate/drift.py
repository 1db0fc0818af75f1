"""Drift: what may change in answers to everyday prompts, held against the anchor's answers to the same prompts. Pure.

Each measure of an answer becomes a result that is better the less has changed, so that it is judged like any suite:
paired, against champion and anchor, with a margin and a budget. What no pair shows is a fixed limit: breached, FAIL;
missing, BLOCK.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import NamedTuple

import numpy as np

from tasks.contracts import FixedLimit
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.recipe import DRIFT_MEASURES, DriftSpec

# a model that repeats itself does so in runs of a few words
RUN = 4

Measures = dict[str, float]


class Anchored(NamedTuple):
    """The anchor's answer to one prompt, and its likeliest words at each of its tokens.

    Attributes:
        answer: token ids, the end-of-turn token included.
        ids: (tokens, k), int32. logprobs: (tokens, k), float32, natural logarithms.
    """

    answer: tuple[int, ...]
    ids: np.ndarray
    logprobs: np.ndarray


def measure(answer: str, tokens: int, anchor_tokens: int, kl: float, *, refused: bool, same_language: bool) -> Measures:
    """The measures of one answer.

    Args:
        tokens: of this answer; ``anchor_tokens``: of the anchor's to the same prompt.
        kl: mean KL(anchor‖model) over the anchor's answer, in nats a token.
    """
    return {
        "tokens": float(tokens),
        "anchor_tokens": float(anchor_tokens),
        "length": closeness(tokens, anchor_tokens),
        "refusal": float(refused),
        "repetition": repetition(answer),
        "language": float(same_language),
        "kl": kl,
    }


def closeness(tokens: int, anchor_tokens: int) -> float:
    """The shorter of two lengths over the longer, in (0, 1]; two empty answers are as long as each other."""
    longer = max(tokens, anchor_tokens)
    return 1.0 if longer == 0 else min(tokens, anchor_tokens) / longer


def repetition(answer: str) -> float:
    """Share of the answer's runs of four words that were there before, in [0, 1)."""
    words = re.findall(r"\w+", answer.lower())
    runs = [tuple(words[i : i + RUN]) for i in range(len(words) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def kl_per_token(anchor: np.ndarray, model: np.ndarray) -> float:
    """Mean KL(anchor‖model) in nats a token, over the anchor's likeliest words and one bucket for all others.

    Merging words can only lower a divergence (data processing), so this is a lower bound, near where k words hold
    nearly all of the mass.

    Args:
        anchor, model: (tokens, k) log-probabilities of the same words.
    """
    if anchor.shape != model.shape:
        raise ValueError(f"log-probabilities of {anchor.shape} and {model.shape} can't be compared")
    if anchor.shape[0] == 0:
        return 0.0
    p, q = _with_rest(anchor), _with_rest(model)
    each = np.where(p > 0, p * (np.log(np.maximum(p, 1e-30)) - np.log(np.maximum(q, 1e-30))), 0.0).sum(1)
    return max(0.0, float(each.mean()))


def _with_rest(logprobs: np.ndarray) -> np.ndarray:
    p = np.exp(logprobs.astype(np.float64))
    return np.concatenate([p, np.clip(1 - p.sum(1, keepdims=True), 0.0, 1.0)], axis=1)


_AS_RESULT: Mapping[str, Callable[[float], float]] = {
    "length": lambda x: x,
    "refusal": lambda x: 1 - x,
    "repetition": lambda x: 1 - x,
    "language": lambda x: x,
    "kl": lambda x: math.exp(-x),
}


def as_results(results: Sequence[ItemResult], name: str) -> list[ItemResult]:
    """One measure of drift as results, better the less has changed."""
    found = []
    for one in results:
        score = min(1.0, max(0.0, _AS_RESULT[name](dict(one.measures)[name])))
        found.append(ItemResult(id=one.id, right=score > 0.5, score=score))
    return found


def drift_cards(card: Scorecard, names: Sequence[str]) -> dict[str, Scorecard]:
    """A drift card as one scorecard a measure, by suite name."""
    return {
        f"drift-{name}": card.model_copy(
            update={"suite": f"drift-{name}", "results": tuple(as_results(card.results, name))}
        )
        for name in names
        if name in DRIFT_MEASURES
    }


def fixed_limits(spec: DriftSpec, card: Scorecard | None) -> list[FixedLimit]:
    """The fixed limits of a recipe; a value is None where the evidence is missing, and the gate then blocks."""
    found = []
    for name, limit, value in (
        ("KL to the anchor, nats a token", spec.max_kl, _mean_kl),
        ("length ratio to the anchor", spec.max_length_ratio, _length_ratio),
        ("empty answers", spec.max_empty, _empty),
    ):
        if limit is None:
            continue
        measured = value(card) if card is not None and card.results else None
        breached = measured is not None and not measured <= limit
        found.append(FixedLimit(name=name, value=measured, limit=limit, breached=breached))
    return found


def _mean_kl(card: Scorecard) -> float | None:
    return _mean(card, "kl")


def _length_ratio(card: Scorecard) -> float | None:
    """Mean length over the anchor's, or the reverse where it is shorter; at least 1. Huge where one says nothing."""
    mine, anchors = _mean(card, "tokens"), _mean(card, "anchor_tokens")
    if mine is None or anchors is None:
        return None
    return (max(mine, anchors) + 1e-9) / (min(mine, anchors) + 1e-9)


def _empty(card: Scorecard) -> float | None:
    return fmean(not any(answer.strip() for answer in one.answers) for one in card.results)


def _mean(card: Scorecard, name: str) -> float | None:
    values = [dict(one.measures).get(name) for one in card.results]
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None
