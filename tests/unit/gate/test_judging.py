"""A judge model grades nothing before it is set, calibrated and trusted."""

from pathlib import Path
from typing import Any

import pytest

from tasks.gate import judging
from tasks.gate.judge_calibration import Preference
from tasks.gate.rotation import window
from tasks.gate.suites import Bank, Check, Item, Message, Scorer, Suite, build_suite

JUDGED = Scorer(kind="judge", rubric="Is it kind?")


def item(name: str, **more: Any) -> Item:
    return Item(id=name, messages=(Message(role="user", content=f"ask {name}"),), **more)


def suite(pairs: int, **more: Any) -> Suite:
    items = [item(f"g{n}", **more) for n in range(20)]
    twins = [item(f"t{n}", split="twin", choices=("good", "bad"), answer=n % 2) for n in range(pairs)]
    return window(Bank(build_suite("kind", JUDGED, items + twins)), 0, 100).suite


class SimulatedJudge:
    """Stands in for the judge model's client: prefers the right answer where ``wise``, else whatever stands first."""

    wise = True

    def __init__(self, url: str, model: str, rubric: str, cache: Path, *, key: str) -> None:
        self.asked = (url, model, rubric, key)

    def prefer(self, item: Item, first: str, second: str) -> Preference:
        if not self.wise:
            return Preference("A", "A")
        return Preference("A", "B") if item.answer == 0 else Preference("B", "A")

    def grade(self, item: Item, answer: str) -> float:
        return 0.75


@pytest.fixture(autouse=True)
def _simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "JudgeModel", SimulatedJudge)


def open_(suite_: Suite, url: str | None = "http://127.0.0.1:9/v1", model: str | None = "m") -> Any:
    return judging.graders(
        {"kind": suite_, "other": build_suite("o", Scorer(kind="checks"), [checked()])}, url, model, "k", Path("x")
    )


def checked() -> Item:
    return item("c", checks=(Check(kind="upper"),))


def test_a_calibrated_judge_grades_and_other_suites_need_none() -> None:
    grades, problems = open_(suite(40))
    assert problems == []
    assert list(grades) == [JUDGED.digest]
    assert grades[JUDGED.digest](item("a"), "hello") == 0.75


def test_the_labelled_pairs_are_twins_and_never_judged() -> None:
    found = suite(40)
    assert {one.split for one in found.items} == {"gate"}
    assert len(found.calibration) == 40


@pytest.mark.parametrize(("url", "model"), [(None, "m"), ("http://127.0.0.1:9/v1", None)])
def test_a_judge_that_is_not_set_grades_nothing(url: str | None, model: str | None) -> None:
    grades, (problem,) = open_(suite(40), url, model)
    assert grades == {}
    assert "NIGHTSHIFT_JUDGE_URL" in problem


def test_a_judge_that_goes_by_the_place_or_has_no_labels_grades_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "has no labelled pairs" in open_(suite(0))[1][0]
    monkeypatch.setattr(SimulatedJudge, "wise", False)
    grades, (problem,) = open_(suite(40))
    assert grades == {}
    assert "the judge model m can't be trusted" in problem


def test_checks_of_an_item_are_asked_before_the_judge() -> None:
    grades, _ = open_(suite(40, checks=(Check(kind="upper"),)))
    assert grades[JUDGED.digest](checked(), "no capitals") == 0.0
    assert grades[JUDGED.digest](checked(), "ALL CAPITALS") == 0.75


def test_a_reward_scorer_has_no_model_in_this_release() -> None:
    rewarded = build_suite("r", Scorer(kind="reward"), [item("a")])
    assert "no reward model is trained" in judging.graders({"r": rewarded}, None, None, "", Path("x"))[1][0]
