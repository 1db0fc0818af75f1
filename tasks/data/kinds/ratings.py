"""Pairs out of ratings: one prompt, several completions, a number for each (UltraFeedback, Cui et al. 2023).

A pair's ratings and their difference stand in its ``citation``.
"""

from itertools import combinations
from statistics import fmean
from typing import Any, NamedTuple

from tasks.data.kinds.fields import Fields, canonical, common, first_of, named, number, part_id, text_of
from tasks.data.kinds.layouts import instruction
from tasks.data.kinds.messages import Messages, messages, with_system
from tasks.data.records import Record
from tasks.data.rows import Built

MOST = 16  # completions whose pairs are all taken: 120

_TEXTS = ("response", "completion", "text", "content", "answer", "generation", "output")
PARALLEL = ("generations", "completions", "responses")


class Rated(NamedTuple):
    answer: Messages
    rating: float
    model: str | None


def best_over_worst(record: Record) -> list[Built]:
    """The best completion over the worst; nothing where all are rated alike.

    Raises:
        ValueError: there are no completions with ratings.
    """
    rated = _rated(record.value)
    if len(rated) < 2:
        return []
    best, worst = (pick(rated, key=lambda one: one.rating) for pick in (max, min))
    if best.rating == worst.rating:
        return []
    return [_built(record, _prompt(record.value), best, worst, record_id_of(record), "ratings/best-worst")]


def all_pairs(record: Record) -> list[Built]:
    """Every better completion over every worse one.

    Raises:
        ValueError: likewise, or there are more than ``MOST`` of them.
    """
    rated = _rated(record.value)
    if len(rated) > MOST:
        raise ValueError(f"{len(rated)} completions make too many pairs; form ratings takes the best over the worst")
    if len(rated) < 2:
        return []
    prompt = _prompt(record.value)
    return [
        _built(record, prompt, best, worst, part_id(record, f"{one}-{other}"), "ratings/all")
        for (one, first), (other, second) in combinations(enumerate(rated), 2)
        if first.rating != second.rating
        for best, worst in [(first, second) if first.rating > second.rating else (second, first)]
    ]


def record_id_of(record: Record) -> str:
    return str(common(record.value)["id"])


def _built(record: Record, prompt: Messages, best: Rated, worst: Rated, name: str, builder: str) -> Built:
    fields = common(record.value)
    for side, one in (("chosen_model", best), ("rejected_model", worst)):
        if one.model is not None:
            fields[side] = one.model
    margin = {
        "chosen_rating": best.rating,
        "rejected_rating": worst.rating,
        "margin": best.rating - worst.rating,
    }
    return Built(
        prompt, best.answer, worst.answer, **{**fields, "id": name}, builder=builder, citation=canonical(margin)
    )


def _prompt(value: Fields) -> Messages:
    given = first_of(value, ("messages", "prompt", "question"))
    prompt = messages(given, "prompt", "user") if given is not None else instruction(value)
    return with_system(value.get("system"), prompt)


def _rated(value: Fields) -> list[Rated]:
    """The completions that have a rating, in the record's order."""
    name = next((name for name in PARALLEL if isinstance(value.get(name), list)), None)
    if name is None:
        raise ValueError(f"no list of completions; {named(value)}")
    completions: list[Any] = value[name]
    if all(type(one) is dict for one in completions):
        return [one for given in completions if (one := _of_object(given)) is not None]
    ratings, models = first_of(value, ("ratings", "scores")), first_of(value, ("generation_models", "models"))
    if not isinstance(ratings, list) or len(ratings) != len(completions):
        raise ValueError(f"{name} and ratings are no lists of one length; {named(value)}")
    if not isinstance(models, list) or len(models) != len(completions):
        models = [None] * len(completions)
    return [
        Rated(messages(text, name, "assistant"), rating, text_of(model))
        for text, given, model in zip(completions, ratings, models, strict=True)
        if (rating := number(given)) is not None
    ]


def _of_object(one: Fields) -> Rated | None:
    rating = _rating(one)
    if rating is None:
        return None
    text = first_of(one, _TEXTS)
    if type(text) is not str:
        raise ValueError(f"a completion has none of {', '.join(_TEXTS)} as text: {one!r:.80}")
    return Rated([{"role": "assistant", "content": text}], rating, text_of(one.get("model")))


def _rating(one: Fields) -> float | None:
    """A completion's own rating, or the mean of its aspects', or what UltraFeedback sums up, or its rank turned round.

    UltraFeedback's aspects come before its ``overall_score``, of which 1 and 10 are known to be mixed up.
    """
    for name in ("rating", "score"):
        if (found := number(one.get(name))) is not None:
            return found
    aspects = one.get("annotations")
    if type(aspects) is dict:
        each = [number(part.get("Rating") if type(part) is dict else part) for part in aspects.values()]
        if known := [rating for rating in each if rating is not None]:
            return fmean(known)
    for name in ("fine-grained_score", "overall_score"):
        if (found := number(one.get(name))) is not None:
            return found
    rank = number(one.get("rank"))
    return None if rank is None else -rank
