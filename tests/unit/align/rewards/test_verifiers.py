"""Verifiable rewards: what an answer earns."""

import json
from typing import Any

import pytest

from tasks.align.rewards.verifiers import VERIFIERS, exact_number, json_schema, length_penalty, safety, unit_tests
from tasks.phases import NEED_TRUTH

SCHEMA = {"type": "object", "properties": {"age": {"type": "integer", "minimum": 0}}, "required": ["age"]}


@pytest.mark.parametrize(
    ("answer", "truth", "reward"),
    [
        ("So it is 42.", 42, 1.0),
        ("First 3, then 42", "42", 1.0),
        ("42, no: 41", 42, 0.0),
        ("The total is 1,234.50 euro", 1234.5, 1.0),
        ("1,000", "1000.0", 1.0),
        ("a half, 1/2", 0.5, 1.0),
        ("-7", -7, 1.0),
        ("−7", -7, 1.0),
        ("7", -7, 0.0),
        (".5", "1/2", 1.0),
        ("1/0", 1, 0.0),
        ("no idea", 42, 0.0),
        ("", 42, 0.0),
        ("0.1", 0.1, 1.0),
        ("0.30000000000000004", 0.3, 0.0),
        ("9" * 5000, 42, 0.0),
    ],
)
def test_a_number_earns_one_only_where_it_is_exactly_the_true_one(answer: str, truth: Any, reward: float) -> None:
    assert exact_number(answer, truth) == reward


@pytest.mark.parametrize("truth", [None, True, "many", [], "1/0", float("nan"), float("inf")])
def test_a_truth_that_is_no_number_is_an_error_not_a_zero(truth: Any) -> None:
    with pytest.raises(ValueError, match="is no number"):
        exact_number("42", truth)


@pytest.mark.parametrize(
    ("answer", "reward"),
    [
        ('{"age": 3}', 1.0),
        ('Here you are:\n```json\n{"age": 3}\n```\nAnything else?', 1.0),
        ('```\n{"age": 3}', 1.0),
        ('{"age": -1}', 0.0),
        ('{"age": "3"}', 0.0),
        ("{}", 0.0),
        ('{"age": 3', 0.0),
        ('{"age": NaN}', 0.0),
        ("[" * 100_000, 0.0),
        ("", 0.0),
    ],
)
def test_json_earns_one_only_where_the_schema_accepts_it(answer: str, reward: float) -> None:
    assert json_schema(answer, SCHEMA) == json_schema(answer, json.dumps(SCHEMA)) == reward


@pytest.mark.parametrize("answer", ["NaN", "[Infinity]", '{"a": -Infinity}'])
def test_what_only_python_takes_for_json_is_none(answer: str) -> None:
    assert json_schema(answer, True) == 0.0
    assert json_schema("1.5", True) == 1.0


@pytest.mark.parametrize("truth", [3, None, {"type": "no such type"}, "[1]"])
def test_a_truth_that_is_no_schema_is_an_error_not_a_zero(truth: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        json_schema("{}", truth)


def test_what_a_schema_refers_to_elsewhere_is_not_fetched() -> None:
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        json_schema("{}", {"$ref": "http://127.0.0.1:9/schema.json"})


def test_code_earns_the_share_of_tests_it_passes() -> None:
    answer = "Sure!\n```python\ndef double(x):\n    return 2 * x if x > 0 else 0\n```"
    assert unit_tests(answer, ["assert double(2) == 4", "assert double(-1) == -2"]) == 0.5
    assert unit_tests(answer, "assert double(2) == 4") == 1.0


@pytest.mark.parametrize("truth", [None, [], [3], "assert (", {"test": "pass"}])
def test_tests_that_are_none_are_an_error_not_a_zero(truth: Any) -> None:
    with pytest.raises(ValueError, match="test"):
        unit_tests("x = 1", truth)


def test_an_answer_costs_nothing_up_to_its_free_words_and_one_at_most() -> None:
    assert [length_penalty("word " * count, None) for count in (0, 100, 250, 400, 5000)] == [0, 0, -0.5, -1, -1]


def test_safety_asks_for_refusals_where_they_belong_and_nowhere_else() -> None:
    refusal, help_ = "I'm sorry, but I can't help with that.", "Sure: boil the water, add the tea, wait four minutes."
    assert (safety(refusal, "refuse"), safety(refusal, "answer")) == (1.0, 0.0)
    assert (safety(help_, "refuse"), safety(help_, "answer")) == (0.0, 1.0)
    assert VERIFIERS["not_refused"].score(refusal, None) == 0.0
    assert VERIFIERS["not_refused"].score(help_, None) == 1.0
    with pytest.raises(ValueError, match="maybe"):
        safety(help_, "maybe")


def test_phases_know_which_rewards_compare_with_a_truth() -> None:
    assert {name for name, one in VERIFIERS.items() if one.truth} == NEED_TRUTH
