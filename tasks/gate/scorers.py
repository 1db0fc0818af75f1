"""How items become results, a function a scorer kind. The engine computes; everything else here is plain.

``SCORERS`` is the table: a new kind is one function and one row.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np

from tasks.gate import answers
from tasks.gate.drift import Anchored, kl_per_token, measure
from tasks.gate.scorecard import ItemResult, item_result
from tasks.gate.suites import Item, Scorer
from tasks.lm.language import same_language
from tasks.lm.refusal import is_refusal


class ScoringEngine(Protocol):
    """What a scorer needs of an engine (tasks/gate/scoring_engine.py has them)."""

    def choice_logprobs(self, items: Sequence[Item], scorer: Scorer) -> list[list[tuple[float, int]]]:
        """For each item, for each choice: its summed log-probability in nats, and its tokens."""
        ...

    def generate(self, items: Sequence[Item], scorer: Scorer) -> list[list[list[int]]]:
        """For each item, for each sample: token ids, the end-of-turn token included. A sample depends on its prompt and
        number alone, never on the batch."""
        ...

    def answer(self, tokens: Sequence[int], scorer: Scorer) -> str:
        """An answer's text."""
        ...

    def likeliest(
        self, items: Sequence[Item], answers: Sequence[Sequence[int]], count: int
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each answer, at each of its tokens, the likeliest words and their log-probabilities: (tokens, count)."""
        ...

    def logprobs_at(
        self, items: Sequence[Item], answers: Sequence[Sequence[int]], ids: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """For each answer, at each of its tokens, the log-probabilities of these words: (tokens, k)."""
        ...


# requests that a judge model gets at a time: a server of one's own batches them, a hosted one's rate limit bears them
ASKED_AT_ONCE = 8


class Context(NamedTuple):
    """What a scorer may need beside model and items.

    Attributes:
        anchored: item id → the anchor's answer, for drift.
        grades: scorer digest → (item, answer) → mark in [0, 1], for judge and reward models.
    """

    anchored: Mapping[str, Anchored] = {}
    grades: Mapping[str, Callable[[Item, str], float]] = {}


def score_items(
    engine: ScoringEngine, scorer: Scorer, items: Sequence[Item], context: Context
) -> list[ItemResult | None]:
    """Results of these items, in their order; None for one whose log-probabilities aren't finite."""
    return SCORERS[scorer.kind](engine, scorer, items, context)


def _choice(engine: ScoringEngine, scorer: Scorer, items: Sequence[Item], _: Context) -> list[ItemResult | None]:
    found = []
    for item, choices in zip(items, engine.choice_logprobs(items, scorer), strict=True):
        sums, tokens = [total for total, _ in choices], [count for _, count in choices]
        found.append(item_result(item.id, sums, tokens, _answer(item), scorer, item.choices))
    return found


def _answer(item: Item) -> int:
    if item.answer is None:
        raise ValueError(f"{item.id} has choices and no answer")
    return item.answer


def _checks(engine: ScoringEngine, scorer: Scorer, items: Sequence[Item], _: Context) -> list[ItemResult | None]:
    return _marked(engine, scorer, items, lambda item, text: float(answers.right(item, text)))


def _graded(engine: ScoringEngine, scorer: Scorer, items: Sequence[Item], context: Context) -> list[ItemResult | None]:
    return _marked(engine, scorer, items, context.grades[scorer.digest], ASKED_AT_ONCE)


def _marked(
    engine: ScoringEngine,
    scorer: Scorer,
    items: Sequence[Item],
    mark: Callable[[Item, str], float],
    at_once: int = 1,
) -> list[ItemResult | None]:
    """Generated answers, each with its mark; up to ``at_once`` of them are marked at a time."""
    texts = _texts(engine, scorer, items)
    answered = [(item, text) for item, samples in zip(items, texts, strict=True) for text in samples]
    with ThreadPoolExecutor(at_once) as pool:
        each = iter(list(pool.map(lambda one: mark(*one), answered)))
    found: list[ItemResult | None] = []
    for item, samples in zip(items, texts, strict=True):
        marks = tuple(islice(each, len(samples)))
        mean = sum(marks) / len(marks)
        found.append(ItemResult(id=item.id, right=mean > 0.5, score=mean, answers=tuple(samples), marks=marks))
    return found


def _texts(engine: ScoringEngine, scorer: Scorer, items: Sequence[Item]) -> list[list[str]]:
    generated = engine.generate(items, scorer)
    return [[engine.answer(sample, scorer) for sample in samples] for samples in generated]


def _drift(engine: ScoringEngine, scorer: Scorer, items: Sequence[Item], context: Context) -> list[ItemResult | None]:
    """Greedy answers, measured, and the distance from the anchor over the anchor's own answers."""
    anchors = [context.anchored[item.id] for item in items]
    mine = engine.logprobs_at(
        items,
        [one.answer for one in anchors],
        [one.ids for one in anchors],
    )
    found: list[ItemResult | None] = []
    for item, (tokens,), anchor, logprobs in zip(items, engine.generate(items, scorer), anchors, mine, strict=True):
        if not bool(np.isfinite(logprobs).all()):
            found.append(None)
            continue
        text = engine.answer(tokens, scorer)
        measures = measure(
            text,
            len(tokens),
            len(anchor.answer),
            kl_per_token(anchor.logprobs, logprobs),
            refused=is_refusal(text),
            same_language=same_language(item.topic, text),
        )
        found.append(
            ItemResult(
                id=item.id, right=True, score=measures["length"], answers=(text,), measures=tuple(measures.items())
            )
        )
    return found


def conversation(item: Item) -> list[dict[str, str]]:
    return [message.model_dump() for message in item.messages]


Score = Callable[[Any, Scorer, Sequence[Item], Context], list[ItemResult | None]]
SCORERS: dict[str, Score] = {
    "choice": _choice,
    "checks": _checks,
    "judge": _graded,
    "reward": _graded,
    "drift": _drift,
}
