"""Which items flipped: the right ones, in the right order, with the answers the models gave."""

from typing import Any

import pytest

from tasks.contracts import Flip
from tasks.gate.flips import (
    NOT_KEPT,
    answer_of,
    check_words,
    count_flips,
    find_flips,
    interleave,
    prompt_of,
    right_of,
)
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.suites import Check, Item, Message, Scorer, Suite
from tests.unit.gate.report_answers import flip
from tests.unit.gate.report_records import digest

CITIES = ("Oslo", "Bern", "Rome")


def item(id_: str, **changes: Any) -> Item:
    fields: dict[str, Any] = {
        "topic": "geography",
        "messages": (Message(role="user", content=f"Which city is meant by {id_}?"),),
        "choices": CITIES,
        "answer": 0,
    }
    return Item(id=id_, **fields | changes)


def generated(id_: str, *checks: Check, **changes: Any) -> Item:
    return item(id_, choices=(), answer=None, checks=checks or (Check(kind="exact", texts=("Oslo",)),), **changes)


def result(id_: str, right: bool, score: float, *logprobs: float, **changes: Any) -> ItemResult:
    return ItemResult(id=id_, right=right, score=score, logprobs=logprobs, **changes)


def suite(*items: Item, scorer: Scorer | None = None) -> Suite:
    return Suite(name="accuracy", scorer=scorer or Scorer(), items=items)


def card(*results: ItemResult, name: str = "accuracy") -> Scorecard:
    return Scorecard(model=digest("c"), suite=name, items=digest("1"), scorer=digest("2"), results=results)


def ids(flips: list[Flip]) -> list[str]:
    return [one.id for one in flips]


# ---- which, and in what order


def test_lost_items_are_the_worst_and_won_items_the_best() -> None:
    items = [item(name) for name in ("lost", "won", "same")]
    old = card(result("lost", True, 0.9), result("won", False, 0.1), result("same", True, 0.8))
    new = card(result("lost", False, 0.2), result("won", True, 0.7), result("same", True, 0.8))
    worst, best = find_flips(suite(*items), new, old, 5)
    assert (ids(worst), ids(best)) == (["lost"], ["won"])
    assert (worst[0].champion, worst[0].candidate, worst[0].delta) == (1.0, 0.0, -1.0)
    assert (best[0].champion, best[0].candidate, best[0].delta) == (0.0, 1.0, 1.0)


def test_among_equals_the_item_whose_score_moved_further_comes_first_then_the_id() -> None:
    items = [item(name) for name in ("b", "a", "near", "far")]
    old = card(*(result(name, True, 0.9) for name in ("b", "a", "near", "far")))
    new = card(result("b", False, 0.3), result("a", False, 0.3), result("near", False, 0.4), result("far", False, 0.1))
    worst, _ = find_flips(suite(*items), new, old, 3)
    assert ids(worst) == ["far", "a", "b"]


def test_on_a_graded_suite_flipped_items_come_before_those_that_only_moved_further() -> None:
    items = [item(name) for name in ("moved", "flipped", "still")]
    old = card(result("moved", True, 0.99), result("flipped", True, 0.55), result("still", True, 0.5))
    new = card(result("moved", True, 0.51), result("flipped", False, 0.45), result("still", True, 0.5))
    worst, best = find_flips(suite(*items), new, old, 5, "probability")
    assert ids(worst) == ["flipped", "moved"]
    assert worst[1].delta == pytest.approx(-0.48)
    assert best == []


def test_on_a_right_or_wrong_suite_an_item_that_only_moved_is_no_flip() -> None:
    old, new = card(result("moved", True, 0.99)), card(result("moved", True, 0.51))
    assert find_flips(suite(item("moved")), new, old, 5, "right") == ([], [])


def test_an_item_without_a_result_of_both_models_is_left_out() -> None:
    items = [item(name) for name in ("both", "old", "new", "none")]
    old, new = (
        card(result("both", True, 0.9), result("old", True, 0.9)),
        card(result("both", False, 0.1), result("new", False, 0.1)),
    )
    worst, best = find_flips(suite(*items), new, old, 5)
    assert (ids(worst), best) == (["both"], [])


def test_a_flip_says_suite_topic_prompt_right_answer_and_both_answers() -> None:
    old, new = (
        card(result("x", True, 0.9, -0.1, -3.0, -4.0), name="s"),
        card(result("x", False, 0.2, -3.0, -4.0, -0.1), name="s"),
    )
    worst, _ = find_flips(suite(item("x")), new, old, 1)
    assert worst == [
        Flip(
            suite="s",
            id="x",
            topic="geography",
            prompt="Which city is meant by x?",
            right="Oslo",
            champion_answer="Oslo",
            candidate_answer="Rome",
            champion=1.0,
            candidate=0.0,
            delta=-1.0,
        )
    ]


# ---- answers


def test_the_answer_to_a_choice_is_the_likeliest_choice() -> None:
    assert answer_of(suite(item("x")), item("x"), result("x", False, 0.2, -3.0, -0.5, -0.9)) == "Bern"
    assert answer_of(suite(item("x")), item("x"), result("x", True, 0.6, -0.3, -0.5, -0.9)) == "Oslo"


def test_a_tie_with_the_right_choice_shows_the_wrong_one_since_it_counts_as_wrong() -> None:
    assert answer_of(suite(item("x")), item("x"), result("x", False, 0.5, -0.5, -0.5, -0.9)) == "Bern"


def test_with_means_over_tokens_a_wrong_choice_is_named_only_where_there_is_one() -> None:
    scorer = Scorer(normalise="tokens")
    two = item("x", choices=("Oslo", "Bern"))
    assert answer_of(suite(two, scorer=scorer), two, result("x", False, 0.2, -9.0, -5.0)) == "Bern"
    # by sums Oslo is the likeliest, and by means it isn't: sums must not decide
    three = item("x")
    assert answer_of(suite(three, scorer=scorer), three, result("x", False, 0.2, -1.0, -5.0, -6.0)) == NOT_KEPT


def test_means_over_characters_or_bytes_are_taken_from_the_choices_themselves() -> None:
    # by sums the short one is likelier, by characters the long one; by bytes the short one, whose letters take two
    choices = ("yes", "žž", "nnnn")
    one = item("x", choices=choices)
    logprobs = (-9.0, -4.0, -4.4)
    for normalise, expected in (("none", "žž"), ("characters", "nnnn"), ("bytes", "žž")):
        scorer = Scorer.model_validate({"normalise": normalise})
        assert answer_of(suite(one, scorer=scorer), one, result("x", False, 0.1, *logprobs)) == expected


def test_the_answer_to_a_generated_item_is_the_stored_one_marked_most_like_the_item() -> None:
    scorer = Scorer(kind="checks", samples=3)
    one = generated("x")
    assert answer_of(suite(one, scorer=scorer), one, result("x", True, 1.0, answers=("Oslo",))) == "Oslo"
    several = result("x", False, 0.4, answers=("Oslo", "Bern", "maybe Oslo"), marks=(1.0, 0.0, 0.5))
    assert answer_of(suite(one, scorer=scorer), one, several) == "maybe Oslo"
    assert answer_of(suite(one, scorer=scorer), one, result("x", False, 0.0)) == ""


def test_a_conversation_shows_who_said_what() -> None:
    talk = item("x", messages=(Message(role="user", content="Hi"), Message(role="assistant", content="Hello")))
    assert prompt_of(talk) == "user: Hi\nassistant: Hello"
    assert prompt_of(item("x")) == "Which city is meant by x?"


# ---- what is right


@pytest.mark.parametrize(
    ("check", "words"),
    [
        (Check(kind="exact", texts=("Oslo", "oslo city")), "exactly “Oslo” or “oslo city”"),
        (Check(kind="number", number=12.5), "the number 12.5"),
        (Check(kind="number", number=1234567.0, tolerance=0.5), "the number 1234567 ± 0.5"),
        (Check(kind="regex", pattern="^a+$"), "matches ^a+$"),
        (Check(kind="contains", texts=("a", "b")), "contains “a” and “b”"),
        (Check(kind="excludes", texts=("a",)), "is without “a”"),
        (Check(kind="starts", texts=("Dear",)), "begins with “Dear”"),
        (Check(kind="ends", texts=("Bye",)), "ends with “Bye”"),
        (Check(kind="words", least=3, most=9), "words: at least 3 and at most 9"),
        (Check(kind="sentences", most=2), "sentences: at most 2"),
        (Check(kind="bullets", least=3, most=3), "bullets: exactly 3"),
        (Check(kind="lines", least=2), "lines: at least 2"),
        (Check(kind="json"), "JSON"),
        (Check(kind="json", texts=("a", "b")), "JSON with the keys “a”, “b”"),
        (Check(kind="upper"), "in upper case"),
        (Check(kind="lower"), "in lower case"),
        (Check(kind="extract", pattern=r"\d+", texts=("14", "fourteen")), "answers “14” or “fourteen”"),
        (Check(kind="refuses"), "declines"),
        (Check(kind="answers"), "answers, and doesn’t decline"),
    ],
)
def test_a_check_is_said_in_words(check: Check, words: str) -> None:
    assert check_words(check) == words


def test_every_kind_of_check_has_words() -> None:
    from typing import get_args

    from tasks.gate.flips import _WORDS
    from tasks.gate.suites import CheckKind

    assert set(_WORDS) == set(get_args(CheckKind))


def test_what_is_right_is_the_right_choice_or_all_checks_or_nothing() -> None:
    assert right_of(item("x")) == "Oslo"
    assert right_of(generated("x", Check(kind="refuses"), Check(kind="words", most=5))) == "declines; words: at most 5"
    assert right_of(item("x", choices=(), answer=None)) == ""


# ---- counts and order


def test_won_and_lost_items_are_counted_by_topic() -> None:
    items = [item(str(i), topic=topic) for i, topic in enumerate(("dates", "dates", "tables", "tables", "", "dates"))]
    before, after = (True, False, True, True, False, True), (False, True, True, False, True, False)
    old = card(*(result(str(i), right, 0.5) for i, right in enumerate(before)))
    new = card(*(result(str(i), right, 0.5) for i, right in enumerate(after)))
    counts = [tuple(one) for one in count_flips(suite(*items), new, old)]
    assert counts == [
        ("accuracy", "", 1, 1, 0),
        ("accuracy", "dates", 3, 1, 2),
        ("accuracy", "tables", 2, 0, 1),
    ]


def test_every_suites_first_comes_before_any_suites_second() -> None:
    flips = [flip("a", "a1", 1.0, 0.0), flip("a", "a2", 1.0, 0.0), flip("b", "b1", 1.0, 0.0), flip("c", "c1", 1.0, 0.0)]
    assert ids(interleave(flips, ["b", "a"])) == ["b1", "a1", "c1", "a2"]
    assert interleave([], ["a"]) == []
