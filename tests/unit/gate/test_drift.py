"""Drift's measures: golden values, and that each is better the less has changed."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.digest import digest_of
from tasks.gate.drift import as_results, closeness, drift_cards, fixed_limits, kl_per_token, measure, repetition
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.lm.language import same_language
from tasks.recipe import DRIFT_MEASURES, DriftSpec


def card(*measures: dict[str, float], answers: str = "yes") -> Scorecard:
    results = tuple(
        ItemResult(id=f"i{n}", right=True, score=1.0, answers=(answers,), measures=tuple(one.items()))
        for n, one in enumerate(measures)
    )
    digest = digest_of("x")
    return Scorecard(model=digest, suite="drift", items=digest, scorer=digest, results=results)


def measured(**changes: Any) -> dict[str, float]:
    given_: dict[str, Any] = {
        "answer": "a b c d e",
        "tokens": 8,
        "anchor_tokens": 10,
        "kl": 0.25,
        "refused": False,
        "same_language": True,
    } | changes
    return measure(given_.pop("answer"), given_.pop("tokens"), given_.pop("anchor_tokens"), given_.pop("kl"), **given_)


@pytest.mark.parametrize(
    ("mine", "anchors", "expected"), [(8, 10, 0.8), (10, 8, 0.8), (5, 5, 1.0), (0, 7, 0.0), (0, 0, 1.0)]
)
def test_closeness_is_the_shorter_length_over_the_longer(mine: int, anchors: int, expected: float) -> None:
    assert closeness(mine, anchors) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two three four five", 0.0),
        ("one two three", 0.0),
        ("", 0.0),
        ("go on go on go on go on", 3 / 5),
        ("Go on, go on! GO ON; go on.", 3 / 5),
    ],
)
def test_repetition_is_the_share_of_runs_of_four_words_that_were_there_before(text: str, expected: float) -> None:
    assert repetition(text) == pytest.approx(expected)


def test_kl_of_the_same_distribution_is_nothing_and_of_another_is_the_textbooks() -> None:
    p, q = np.log([[0.5, 0.3]]), np.log([[0.25, 0.3]])
    assert kl_per_token(p, p) == 0.0
    # the rest: 0.2 against 0.45
    expected = 0.5 * math.log(2) + 0.2 * math.log(0.2 / 0.45)
    assert kl_per_token(p, q) == pytest.approx(expected)
    assert kl_per_token(np.vstack([p, p]), np.vstack([q, p])) == pytest.approx(expected / 2)
    assert kl_per_token(np.zeros((0, 2)), np.zeros((0, 2))) == 0.0
    with pytest.raises(ValueError, match="can't be compared"):
        kl_per_token(p, q[:, :1])


def test_a_model_that_rules_a_word_out_is_far_away_and_not_infinite() -> None:
    assert 10 < kl_per_token(np.log([[0.9, 0.05]]), np.array([[-200.0, math.log(0.9)]])) < 100


@given(st.lists(st.floats(0.01, 1), min_size=6, max_size=6), st.lists(st.floats(0.01, 1), min_size=6, max_size=6))
def test_words_merged_into_a_rest_never_raise_the_divergence(a: list[float], b: list[float]) -> None:
    p, q = np.array(a) / sum(a), np.array(b) / sum(b)
    exact = float((p * np.log(p / q)).sum())
    assert -1e-12 <= kl_per_token(np.log(p[None, :3]), np.log(q[None, :3])) <= exact + 1e-9


@pytest.mark.parametrize(
    ("name", "better", "worse"),
    [
        ("length", {"tokens": 10}, {"tokens": 3}),
        ("refusal", {}, {"refused": True}),
        ("repetition", {}, {"answer": "go on go on go on go on"}),
        ("language", {}, {"same_language": False}),
        ("kl", {"kl": 0.0}, {"kl": 2.0}),
    ],
)
def test_every_measure_is_better_the_less_has_changed(name: str, better: dict[str, Any], worse: dict[str, Any]) -> None:
    good, bad = as_results(card(measured(**better), measured(**worse)).results, name)
    assert good.score == 1.0
    assert good.score > bad.score
    if DRIFT_MEASURES[name] == "right":
        assert (good.right, bad.right) == (True, False)


def test_a_card_of_drift_becomes_one_card_a_measure() -> None:
    cards = drift_cards(card(measured()), ["length", "kl"])
    assert list(cards) == ["drift-length", "drift-kl"]
    assert cards["drift-kl"].results[0].score == pytest.approx(math.exp(-0.25))
    assert cards["drift-length"].suite == "drift-length"


def test_fixed_limits_are_means_over_the_whole_card() -> None:
    spec = DriftSpec(max_kl=0.2, max_length_ratio=1.3, max_empty=0.4)
    kl, ratio, empty = fixed_limits(spec, card(measured(kl=0.1, tokens=5), measured(kl=0.3, tokens=10)))
    assert (kl.value, kl.breached) == (pytest.approx(0.2), False)
    assert (ratio.value, ratio.breached) == (pytest.approx(20 / 15), True)
    assert (empty.value, empty.breached) == (0.0, False)
    assert fixed_limits(spec, card(measured(), answers=" \n"))[2].breached


def test_a_limit_without_evidence_has_no_value() -> None:
    spec = DriftSpec(max_kl=0.2, max_empty=0.1)
    assert [one.value for one in fixed_limits(spec, None)] == [None, None]
    assert [one.value for one in fixed_limits(spec, card())] == [None, None]
    half = measured()
    del half["kl"]
    assert fixed_limits(spec, card(measured(), half))[0].value is None


@pytest.mark.parametrize(
    ("expected", "text", "same"),
    [
        ("en", "Hello, how can I help you with your order today?", True),
        ("de", "I am sorry, but I can't help you with this order.", False),
        ("de", "Das geht leider nicht, aber ich kann Ihnen gern helfen.", True),
        ("fr", "OK", True),
        ("", "Merci beaucoup pour votre aide, je vous en prie.", True),
        ("xx-unknown", "Merci beaucoup pour votre aide, je vous en prie.", True),
        ("en", "Merci beaucoup pour votre aide, je vous en prie.", False),
    ],
)
def test_an_answer_counts_as_another_language_only_where_that_is_sure(expected: str, text: str, same: bool) -> None:
    assert same_language(expected, text) is same
