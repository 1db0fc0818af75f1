"""Which topics a hardening round is for: of suites that didn't pass, the clearest losses first."""

import random
from collections.abc import Sequence
from typing import Any

import pytest

from tasks.contracts import Role
from tasks.gate.fresh import count_fresh, moved_on
from tasks.gate.rotation import window
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.suites import Bank, Item, Message, Rotation, Scorer, Suite, build_suite
from tasks.gate.weak import LEAST, weak_topics
from tests.unit.gate.report_records import digest, suite, verdict

SUITES = ("reasoning", "safety")


def item(name: str, topic: str) -> Item:
    return Item(
        id=name, topic=topic, messages=(Message(role="user", content=name),), choices=("x", "y"), answer=0
    )  # fmt: skip


def bank_of(name: str, sizes: dict[str, int]) -> Suite:
    items = [item(f"{name}-{topic}-{n:03d}", topic) for topic, size in sizes.items() for n in range(size)]
    return build_suite(name, Scorer(), items)


def card(shown: Suite, right: dict[str, Sequence[bool]]) -> Scorecard:
    """Topic → whether each of its items, in their order, is right."""
    left = {topic: list(values) for topic, values in right.items()}
    results = tuple(
        ItemResult(id=one.id, right=(value := left[one.topic].pop(0)), score=0.9 if value else 0.1)
        for one in shown.items
    )
    return Scorecard(
        model=digest("a"), suite=shown.name, items=shown.items_digest, scorer=digest("c"), results=results
    )  # fmt: skip


def share(right: int, of: int) -> list[bool]:
    values = [number < right for number in range(of)]
    random.Random(3).shuffle(values)
    return values


def found(
    sizes: dict[str, int], ours: dict[str, int], theirs: dict[str, int], most: int = 9, able: Any = None, **changes: Any
) -> list[tuple[str, str]]:
    shown = bank_of("reasoning", sizes)
    counts: dict[Role, dict[str, int]] = {"candidate": ours, "champion": theirs}
    cards: dict[tuple[Role, str], Scorecard] = {}
    for role, count in counts.items():
        marks: dict[str, Sequence[bool]] = {topic: share(count[topic], size) for topic, size in sizes.items()}
        cards[role, "reasoning"] = card(shown, marks)
    judged = verdict("FAIL", suites=(suite("reasoning", **{"verdict": "FAIL", **changes}),))
    topics = weak_topics(judged, {"reasoning": shown}, cards, able or {"reasoning": set(sizes)}, most)
    return [(one.topic, one.why) for one in topics]


SIZES = {"money": 60, "clock": 60, "logic": 60, "maps": 60}


def test_a_topic_proven_worse_comes_first_then_those_below_by_how_clearly() -> None:
    theirs = dict.fromkeys(SIZES, 40)
    ours = {"money": 39, "clock": 8, "logic": 38, "maps": 45}
    assert found(SIZES, ours, theirs) == [("clock", "worse"), ("logic", "below"), ("money", "below")]
    assert found(SIZES, ours, theirs, most=1) == [("clock", "worse")]


def test_where_nothing_is_below_the_champion_the_topics_of_the_lowest_score_are_taken() -> None:
    theirs = {"money": 50, "clock": 6, "logic": 30, "maps": 55}
    same = found(SIZES, theirs, theirs, most=2, verdict="INCONCLUSIVE")
    assert same == [("clock", "low"), ("logic", "low")]


def test_topics_without_twins_and_topics_of_a_few_families_are_left_out() -> None:
    sizes = SIZES | {"rare": LEAST - 1}
    theirs, ours = dict.fromkeys(sizes, 4), dict.fromkeys(sizes, 0)
    able = {"reasoning": {"money", "rare"}}
    assert found(sizes, ours, theirs, able=able) == [("money", "worse")]
    assert found(sizes, ours, theirs, able={"safety": {"money"}}) == []


@pytest.mark.parametrize("word", ["PASS", "BLOCK"])
def test_a_suite_that_passed_or_was_not_judged_has_no_weak_topics(word: str) -> None:
    theirs = dict.fromkeys(SIZES, 40)
    assert found(SIZES, dict.fromkeys(SIZES, 1), theirs, verdict=word) == []


def test_a_graded_suite_is_looked_at_by_its_scores_and_few_families_prove_less() -> None:
    sizes = {"money": 12, "clock": 12}
    theirs = dict.fromkeys(sizes, 6)
    ours = {"money": 0, "clock": 5}
    assert found(sizes, ours, theirs, measure="probability") == [("money", "worse"), ("clock", "below")]
    assert found({"money": LEAST}, {"money": 3}, {"money": 4}, measure="score") == [("money", "below")]


def test_items_that_a_stopped_scoring_left_out_are_not_looked_at() -> None:
    shown = bank_of("reasoning", {"money": 20})
    whole = card(shown, {"money": share(20, 20)})
    part = whole.model_copy(update={"results": whole.results[: LEAST - 1], "stopped": True})
    cards: dict[tuple[Role, str], Scorecard] = {("candidate", "reasoning"): part, ("champion", "reasoning"): whole}
    judged = verdict("FAIL", suites=(suite("reasoning", verdict="FAIL"),))
    assert weak_topics(judged, {"reasoning": shown}, cards, {"reasoning": {"money"}}, 3) == ()


def banked(gate: int, sealed: int, rotation: Rotation | None) -> Bank:
    items = [item(f"g{n}", "t") for n in range(gate)]
    items += [item(f"s{n}", "t").model_copy(update={"split": "sealed"}) for n in range(sealed)]
    return Bank(build_suite("suite", Scorer(), items), rotation)


def test_a_hardened_candidate_is_judged_on_items_that_no_judgement_of_the_night_has_seen() -> None:
    tenth = Rotation(every=60, share=0.1)
    bank = banked(40, 90, tenth)
    shown = []
    for judgements in range(3):
        epochs = moved_on(lambda name, bank: 1, ["suite"], judgements)
        shown.append({"suite": window(bank, epochs("suite", bank), 1000).suite})
    assert count_fresh(shown[1], shown[:1]) == {"suite": (40, 40)}
    assert count_fresh(shown[2], shown[:2]) == {"suite": (40, 40)}
    assert count_fresh(shown[1], []) == {"suite": (40, 40)}


def test_sealed_families_reach_as_far_as_there_are_and_the_rest_was_seen() -> None:
    bank = banked(40, 15, Rotation(every=60, share=0.07))
    first = window(bank, 0, 1000)
    again = window(bank, moved_on(lambda name, bank: 0, ["suite"], 1)("suite", bank), 1000)
    assert count_fresh({"suite": again.suite}, [{"suite": first.suite}]) == {"suite": (15, 40)}
    assert again.exhausted


def test_other_suites_and_those_without_a_rotation_plan_stay_on_their_items() -> None:
    tenth = Rotation(every=60, share=0.1)
    assert moved_on(lambda name, bank: 3, ["other"], 2)("suite", banked(40, 90, tenth)) == 3
    assert moved_on(lambda name, bank: 0, ["suite"], 2)("suite", banked(40, 90, None)) == 0
