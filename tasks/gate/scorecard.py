"""Scorecards: one model's item-level results on one suite, bound to the digests of both."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, model_validator

from infra.digest import Digest, Record, code_revision, digest_of
from tasks.contracts import Engine
from tasks.gate.suites import Scorer

_HERE = Path(__file__).resolve().parent
_LM = _HERE.parent / "lm"
SCORING_CODE = (
    *(
        _HERE / name
        for name in (
            "answers.py",
            "drift.py",
            "drift_reference.py",
            "judge_calibration.py",
            "judge_model.py",
            "judging.py",
            "foreign/extract.py",
            "scorecard.py",
            "scorers.py",
            "scoring_engine.py",
        )
    ),
    *(
        _LM / name
        for name in (
            "attention.py",
            "cache.py",
            "choices.py",
            "decode.py",
            "generate.py",
            "head.py",
            "language.py",
            "layout.py",
            "packed.py",
            "plain.py",
            "quantise.py",
            "raw.py",
            "refusal.py",
            "refusal_declining.py",
            "refusal_languages.py",
            "refusal_patterns.py",
            "refusal_weights.json",
            "flex.py",
            "shared_prefix.py",
            "vllm_decoder.py",
            "weights.py",
            "words.py",
        )
    ),
)


class ItemResult(Record):
    """One model's result on one item.

    Attributes:
        right: the right choice is the likeliest; of generated answers, more than half of them are right.
        score: graded: the right choice's probability among the choices, or the mean mark of the answers.
        logprobs: of the choices, summed over their tokens, in nats.
        answers, marks: generated answers and the mark of each.
        measures: of drift, by name (tasks/gate/drift.py).
    """

    id: str
    right: bool
    score: float = Field(ge=0, le=1)
    logprobs: tuple[float, ...] = ()
    answers: tuple[str, ...] = ()
    marks: tuple[float, ...] = ()
    measures: tuple[tuple[str, float], ...] = ()


class Scorecard(Record):
    """Results of one model on one suite.

    Attributes:
        scorer: of the scorer's parameters, its code, and the engine's settings.
        stopped: scoring ended early because harm was proven on some suite: not every item has a result.
        unscorable: ids whose log-probabilities were not finite: the gate blocks on them.
    """

    model: Digest
    suite: str
    items: Digest
    scorer: Digest
    results: tuple[ItemResult, ...]
    unscorable: tuple[str, ...] = ()
    stopped: bool = False

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Scorecard":
        if len({result.id for result in self.results}) != len(self.results):
            raise ValueError("an item id repeats")
        return self


def scorer_digest(scorer: Scorer, engine: Engine, anchor: Digest | None = None) -> Digest:
    """What a result depends on beside model and items: the scorer, the code that scores, the engine's settings.

    Args:
        anchor: the anchor's model, which measures of drift are taken against.
    """
    against = anchor if scorer.kind == "drift" else None
    used = engine if scorer.kind == "judge" else engine.model_copy(update={"judge": None})
    return digest_of([scorer, used, against, code_revision(*SCORING_CODE)])


def item_result(
    id_: str, logprobs: list[float], tokens: list[int], answer: int, scorer: Scorer, choices: Sequence[str] = ()
) -> ItemResult | None:
    """Turn the choices' summed log-probabilities into a result.

    Args:
        logprobs: per choice, the sum over its tokens, in nats.
        tokens: per choice, how many tokens.
        choices: their texts, which a scorer that divides by characters or bytes needs.

    Returns:
        None where a log-probability isn't finite: a damaged model gets no result rather than a wrong one.
    """
    if not all(math.isfinite(value) for value in logprobs):
        return None
    lengths = {
        "none": [1] * len(logprobs),
        "tokens": tokens,
        "characters": [len(choice) for choice in choices],
        "bytes": [len(choice.encode()) for choice in choices],
    }[scorer.normalise]
    scores = [value / length for value, length in zip(logprobs, lengths, strict=True)]
    top = max(scores)
    weights = [math.exp(score - top) for score in scores]
    # a tie is not a right answer: a model without an opinion must not look right by the order of choices
    right = all(scores[answer] > score for index, score in enumerate(scores) if index != answer)
    return ItemResult(id=id_, right=right, score=weights[answer] / sum(weights), logprobs=tuple(logprobs))


def card_key(model: Digest, items: Digest, scorer: Digest) -> str:
    """Under which name a scorecard is found again: the same digests are never scored twice."""
    return digest_of([model, items, scorer]).removeprefix("sha256:")


def read_card(data: bytes) -> Scorecard:
    """Parse a scorecard.

    Raises:
        ValueError: it is no scorecard; NaN and repeated items are refused.
    """
    try:
        return Scorecard.model_validate(_strict(data))
    except ValidationError as error:
        raise ValueError(error.errors()[0]["msg"]) from None


def _strict(data: bytes) -> Any:
    def refuse(constant: str) -> Any:
        raise ValueError(f"a scorecard holds {constant}")

    return json.loads(data, parse_constant=refuse)
