"""Pairs out of Argilla's exports: what each annotator ranked, rated or chose is a pair of his own.

Both of Argilla 2's exports are read (nested, and flat with dots in its names), and the REST API's lists. Only submitted
responses count; where a question has none, a model's suggestion does, with the weight ``SUGGESTED``.
"""

import re
from collections import defaultdict
from typing import Any, NamedTuple

from tasks.data.kinds.fields import Fields, canonical, common, named, number, part_id, text_of
from tasks.data.kinds.messages import messages, with_system
from tasks.data.records import Record
from tasks.data.rows import Built

SUGGESTED = 0.5  # chosen, not measured: a model said so, and nobody confirmed it

_PROMPTS = ("prompt", "instruction", "question", "input", "messages", "chat", "conversation")
_BESIDE = {"system", "context", *_PROMPTS}
_COUNT = re.compile(r"(\d+|[ab])$")  # response1, answer_b


class Said(NamedTuple):
    """What one annotator said to one question."""

    question: str
    value: Any
    who: str | None
    suggested: bool


def ranked(record: Record) -> list[Built]:
    """A pair an annotator and question: the best answer over the worst; nothing where they are tied.

    Raises:
        ValueError: it is no such export, or has no prompt or fewer than two answers.
    """
    fields, said = _read(record.value)
    name = next((name for name in _PROMPTS if fields.get(name) is not None), None)
    answers = {_plain(key): key for key, text in fields.items() if key not in _BESIDE and type(text) is str}
    if name is None or len(answers) < 2:
        raise ValueError(f"the export has no prompt or no two answers among its fields {sorted(fields)}")
    prompt = with_system(fields.get("system"), messages(fields[name], "prompt", "user"))
    found = []
    for rule, one, scores in _scores(said, answers):
        best, worst = (pick(scores, key=scores.__getitem__) for pick in (max, min))
        if scores[best] == scores[worst]:
            continue
        chosen, rejected = ([{"role": "assistant", "content": fields[key]}] for key in (best, worst))
        who = "suggestion" if one.suggested else one.who or str(len(found))
        own = {"id": part_id(record, f"{one.question}-{who}"), "annotator": one.who}
        if rule == "rating":
            own["citation"] = canonical(
                {
                    "chosen_rating": scores[best],
                    "rejected_rating": scores[worst],
                    "margin": scores[best] - scores[worst],
                }
            )
        weight = SUGGESTED if one.suggested else 1.0
        rest = {**common(record.value), **own}
        found.append(Built(prompt, chosen, rejected, **rest, weight=weight, builder=f"argilla/{rule}"))
    return found


def is_export(value: Fields) -> bool:
    """Whether the keys are those of an export."""
    if type(value.get("fields")) is dict:
        return "responses" in value or "suggestions" in value
    return any(name.endswith((".responses", ".suggestion")) for name in value)


def _scores(said: list[Said], answers: dict[str, str]) -> list[tuple[str, Said, dict[str, float]]]:
    """What each says of the answers, more is better: (rule, who said it, score by field)."""
    found = []
    ratings: dict[tuple[str | None, bool], dict[str, float]] = defaultdict(dict)
    for one in said:
        if isinstance(one.value, list):
            if len(ranks := _ranks(one.value, answers)) >= 2:
                found.append(("ranking", one, ranks))
        elif type(one.value) is str and (key := answers.get(_plain(one.value))) is not None:
            both = _alternatives(_plain(one.value), answers)
            if len(both) == 2:
                found.append(("choice", one, {field: float(field == key) for field in both}))
        elif (rating := number(one.value)) is not None and (key := _rated_field(one.question, answers)) is not None:
            ratings[one.who, one.suggested][key] = rating
    for (who, suggested), scores in ratings.items():
        if len(scores) >= 2:
            found.append(("rating", Said("rating", None, who, suggested), scores))
    return found


def _ranks(value: list[Any], answers: dict[str, str]) -> dict[str, float]:
    """A ranking turned round: rank 1 is the best."""
    ranks = {}
    for one in value:
        if type(one) is dict and type(one.get("value")) is str:
            key, rank = answers.get(_plain(one["value"])), number(one.get("rank"))
            if key is not None and rank is not None:
                ranks[key] = -rank
    return ranks


def _alternatives(plain: str, answers: dict[str, str]) -> list[str]:
    """The answers that the chosen one was chosen from: all, or those of its name, as metadata are flattened too."""
    if len(answers) == 2:
        return list(answers.values())
    return [key for other, key in answers.items() if _COUNT.sub("", other) == _COUNT.sub("", plain)]


def _rated_field(question: str, answers: dict[str, str]) -> str | None:
    """The answer that a rating question is about, by its name: ``response-1`` of ``response-1-rating``."""
    plain = _plain(question)
    about = [key for key in answers if key in plain]
    return answers[max(about, key=len)] if about else None


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _read(value: Fields) -> tuple[Fields, list[Said]]:
    """Fields, and what was said of them: by people where there are any to a question, else by a model."""
    fields = value.get("fields")
    if type(fields) is dict:
        people, models = _responses(value.get("responses")), _suggestions(value.get("suggestions"))
    elif is_export(value):
        fields = {name: one for name, one in value.items() if "." not in name and name not in _META}
        people, models = _flat(value)
    else:
        raise ValueError(f"no fields with responses, as Argilla exports them; {named(value)}")
    answered = {one.question for one in people}
    return fields, people + [one for one in models if one.question not in answered]


_META = {"id", "status", "_server_id", "metadata", "vectors", "tenant", "timestamp", "annotator"}


def _responses(given: Any) -> list[Said]:
    found = []
    if type(given) is dict:  # the client's export: {question: [{value, user_id, status}]}
        for question, several in given.items():
            for one in several if isinstance(several, list) else ():
                if type(one) is dict and one.get("status") in (None, "submitted"):
                    found.append(Said(question, one.get("value"), text_of(one.get("user_id")), False))
    for one in given if isinstance(given, list) else ():  # the API's: [{values: {question: {value}}, user_id, status}]
        if type(one) is dict and one.get("status") in (None, "submitted") and type(one.get("values")) is dict:
            for question, answer in one["values"].items():
                value = answer.get("value") if type(answer) is dict else answer
                found.append(Said(question, value, text_of(one.get("user_id")), False))
    return found


def _suggestions(given: Any) -> list[Said]:
    found = []
    if type(given) is dict:
        given = [{"question_name": question, **one} for question, one in given.items() if type(one) is dict]
    for one in given if isinstance(given, list) else ():
        if type(one) is dict and type(one.get("question_name")) is str:
            found.append(Said(one["question_name"], one.get("value"), text_of(one.get("agent")), True))
    return found


def _flat(value: Fields) -> tuple[list[Said], list[Said]]:
    people, models = [], []
    for name, given in value.items():
        question, dot, what = name.rpartition(".")
        if dot and what == "responses" and isinstance(given, list):
            users, states = (_list(value.get(f"{name}.{part}"), len(given)) for part in ("users", "status"))
            people += [
                Said(question, one, text_of(user), False)
                for one, user, state in zip(given, users, states, strict=True)
                if state in (None, "submitted")
            ]
        elif dot and what == "suggestion" and given is not None:
            models.append(Said(question, given, text_of(value.get(f"{name}.agent")), True))
    return people, models


def _list(value: Any, length: int) -> list[Any]:
    return value if isinstance(value, list) and len(value) == length else [None] * length
