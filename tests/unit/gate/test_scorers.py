"""Answers become results, whoever marks them."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from infra.errors import ServerError
from tasks.gate.scorers import ASKED_AT_ONCE, Context, score_items
from tasks.gate.suites import Item, Message, Scorer

JUDGED = Scorer(kind="judge", rubric="Is it short?", samples=2, temperature=1.0)
ITEMS = [Item(id=f"i{n}", messages=(Message(role="user", content=f"ask {n}"),)) for n in range(20)]


class Speaker:
    """An engine whose answers are known: two samples an item, named after it."""

    def generate(self, items: Sequence[Item], scorer: Scorer) -> list[list[list[int]]]:
        return [[[int(item.id[1:]), sample] for sample in range(scorer.samples)] for item in items]

    def answer(self, tokens: Sequence[int], scorer: Scorer) -> str:
        return f"{tokens[0]}/{tokens[1]}"


def judged(grade: Any) -> list[Any]:
    return score_items(Speaker(), JUDGED, ITEMS, Context(grades={JUDGED.digest: grade}))  # pyright: ignore[reportArgumentType]


def test_a_judge_is_asked_several_at_a_time_and_each_answer_keeps_its_mark() -> None:
    together = threading.Barrier(ASKED_AT_ONCE, timeout=60)

    def grade(item: Item, answer: str) -> float:
        together.wait()  # passes only when so many are asked at once
        number, sample = answer.split("/")
        assert item.id == f"i{number}"
        return (int(number) + int(sample)) / 100

    results = judged(grade)
    assert [one.id for one in results] == [item.id for item in ITEMS]
    assert [one.marks for one in results] == [(n / 100, (n + 1) / 100) for n in range(20)]
    assert results[3].score == pytest.approx(0.035)
    assert results[3].answers == ("3/0", "3/1")


def test_a_judge_that_fails_is_not_asked_about_the_rest() -> None:
    asked: list[str] = []

    def grade(item: Item, answer: str) -> float:
        asked.append(answer)
        if answer != "0/0":
            time.sleep(0.2)  # a reply takes longer than to call off the rest
        raise ServerError("the judge is gone", do="see whether it is up")

    with pytest.raises(ServerError, match="the judge is gone"):
        judged(grade)
    assert len(asked) < 40
