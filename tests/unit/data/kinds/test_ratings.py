"""Ratings and annotators' exports: which answer is over which, who said so, and when there is no pair."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.data.kinds.records import built, texts


def rated(*ratings: Any) -> dict[str, Any]:
    completions = [{"response": f"a{place}", "rating": rating} for place, rating in enumerate(ratings)]
    return {"id": "r", "prompt": "q", "completions": completions}


def answers(value: dict[str, Any], form: str = "auto") -> list[tuple[str, str]]:
    return [(texts(one)[1][0], texts(one)[2][0]) for one in built("pairs", value, form)]


def test_the_best_is_over_the_worst_and_the_margin_is_recorded() -> None:
    (one,) = built("pairs", rated(3, "5", 1.5, None, "N/A"))
    assert texts(one) == (["q"], ["a1"], ["a2"])
    assert one.citation == '{"chosen_rating": 5.0, "margin": 3.5, "rejected_rating": 1.5}'


@pytest.mark.parametrize("ratings", [(), (4,), (4, None), (4, 4), (4, 4, 4), (None, None)])
def test_where_nothing_is_better_there_is_no_pair(ratings: tuple[Any, ...]) -> None:
    assert built("pairs", rated(*ratings)) == []
    assert built("pairs", rated(*ratings), "ratings-all") == []


@given(st.lists(st.integers(1, 5), max_size=8))
def test_all_pairs_are_every_better_over_every_worse_one(ratings: list[int]) -> None:
    expected = {
        (f"a{one}", f"a{other}")
        for one, first in enumerate(ratings)
        for other, second in enumerate(ratings)
        if first > second
    }
    found = answers(rated(*ratings), "ratings-all")
    assert set(found) == expected
    assert len(found) == len(expected)
    assert set(answers(rated(*ratings))) <= expected


def test_too_many_completions_are_no_quadratic_blow_up() -> None:
    assert len(answers(rated(*range(16)), "ratings-all")) == 120
    with pytest.raises(ValueError, match="17 completions make too many pairs"):
        built("pairs", rated(*range(17)), "ratings-all")
    assert answers(rated(*range(17))) == [("a16", "a0")]


@pytest.mark.parametrize(
    "one",
    [
        {"annotations": {"helpfulness": {"Rating": "4"}, "honesty": {"Rating": "N/A"}}, "overall_score": 1},
        {"fine-grained_score": 4, "overall_score": 1},
        {"overall_score": 4},
        {"score": "4"},
    ],
)
def test_a_rating_is_read_in_every_spelling_and_aspects_come_first(one: dict[str, Any]) -> None:
    worse = {"text": "worse", "rating": 3}
    assert answers({"prompt": "q", "completions": [worse, {"text": "better", **one}]}) == [("better", "worse")]


def test_the_first_rank_is_the_best() -> None:
    completions = [{"answer": "third", "rank": 3}, {"answer": "first", "rank": 1}, {"answer": "second", "rank": 2}]
    assert answers({"prompt": "q", "completions": completions}) == [("first", "third")]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({"prompt": "q", "generations": ["a", "b"], "ratings": [1]}, "no lists of one length"),
        ({"prompt": "q", "completions": [{"rating": 1}, {"rating": 2}]}, "none of response"),
        ({"prompt": "q", "completions": "a"}, "no chosen"),
    ],
)
def test_ratings_that_belong_to_no_text_are_refused(value: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        built("pairs", value)


# ---- Argilla ---------------------------------------------------------------------------------------------------------

FIELDS = {"prompt": "q", "response1": "one", "response2": "two"}


def ranking(*best_first: str) -> list[dict[str, Any]]:
    return [{"value": name, "rank": place} for place, name in enumerate(best_first, 1)]


def nested(**responses: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "g", "fields": FIELDS, "responses": responses, "suggestions": {}}


def test_each_annotators_ranking_is_a_pair_of_his_own_and_drafts_are_none() -> None:
    said = [
        {"value": ranking("response1", "response2"), "user_id": "anna", "status": "submitted"},
        {"value": ranking("response2", "response1"), "user_id": "ben"},
        {"value": ranking("response2", "response1"), "user_id": "cem", "status": "discarded"},
        {"value": [{"value": "response1", "rank": 1}, {"value": "response2", "rank": 1}], "user_id": "dora"},
    ]
    found = built("pairs", nested(preference=said))
    assert [(one.annotator, texts(one)[1], texts(one)[2]) for one in found] == [
        ("anna", ["one"], ["two"]),
        ("ben", ["two"], ["one"]),
    ]
    assert len({one.id for one in found}) == 2


def test_the_apis_export_and_the_flat_one_give_the_same() -> None:
    value = ranking("response2", "response1")
    api = {
        "fields": FIELDS,
        "responses": [{"user_id": "anna", "status": "submitted", "values": {"p": {"value": value}}}],
    }
    flat = {**FIELDS, "topic": "x", "p.responses": [value], "p.responses.users": ["anna"], "p.responses.status": [None]}
    for export in (api, flat, flat | {"_server_id": "1", "chosen": "other", "rejected": "texts"}):
        (one,) = built("pairs", export)
        assert (one.annotator, texts(one)) == ("anna", (["q"], ["two"], ["one"]))


def test_a_models_suggestion_counts_where_no_person_answered_and_weighs_less() -> None:
    suggestion = {"preference": {"value": "response2", "agent": "ranker", "score": 0.9}}
    (one,) = built("pairs", {"fields": FIELDS, "responses": {}, "suggestions": suggestion})
    assert (one.annotator, one.weight, texts(one)[1]) == ("ranker", 0.5, ["two"])
    said = {"preference": [{"value": "response1", "user_id": "anna", "status": "submitted"}]}
    (one,) = built("pairs", {"fields": FIELDS, "responses": said, "suggestions": suggestion})
    assert (one.annotator, one.weight, texts(one)[1]) == ("anna", 1.0, ["one"])


def test_ratings_of_the_answers_by_one_annotator_are_compared_with_his_own_only() -> None:
    def by(**marks: int) -> list[dict[str, Any]]:
        return [{"value": mark, "user_id": who} for who, mark in marks.items()]

    export = nested(**{"response1_rating": by(anna=5, ben=2), "response2_rating": by(anna=3, ben=2, cem=1)})
    (one,) = built("pairs", export)
    assert (one.annotator, texts(one)[1]) == ("anna", ["one"])
    assert one.citation == '{"chosen_rating": 5.0, "margin": 2.0, "rejected_rating": 3.0}'


def test_an_export_that_nobody_answered_gives_nothing_and_one_without_answers_is_refused() -> None:
    assert built("pairs", nested()) == []
    with pytest.raises(ValueError, match="no two answers among its fields"):
        built("pairs", {"fields": {"prompt": "q", "response1": "one"}, "responses": {}})
