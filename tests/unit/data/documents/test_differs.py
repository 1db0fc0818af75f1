"""Whether an answer differs from the document: by which rule, and how often that is right."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.documents.differs import differs
from tasks.data.documents.quantities import number, quantities, same

HERE = Path(__file__).parent


class Counts(NamedTuple):
    right: int  # differs, and is found
    wrong: int  # doesn't, and is found: a model would be trained against a correct answer
    missed: int
    left: int


def counts(name: str) -> Counts:
    lines = (HERE / f"differs_{name}.jsonl").read_text().splitlines()
    found = [0, 0, 0, 0]
    for case in map(json.loads, lines):
        flagged = differs(case["answer"], case["document"], case["question"]) is not None
        found[0 if flagged and case["differs"] else 1 if flagged else 2 if case["differs"] else 3] += 1
    return Counts(*found)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # written by hand, half of them in other words than the document's; the rules were made on these
        ("seen", Counts(right=22, wrong=0, missed=0, left=20)),
        # written by hand along with them and not looked at since; when first run: 20, 2, 1, 19
        ("unseen", Counts(right=21, wrong=1, missed=0, left=20)),
        # what SmolLM2-135M-Instruct said, labelled by hand; when first run: 20, 1, 8, 12
        ("sampled", Counts(right=25, wrong=1, missed=3, left=12)),
    ],
)
def test_the_rule_is_right_as_often_as_the_docs_say(name: str, expected: Counts) -> None:
    assert counts(name) == expected


@pytest.mark.parametrize(
    ("answer", "document", "question", "reason"),
    [
        ("Within 30 days.", "Within 45 days.", "How long?", "figure"),
        ("Within two months.", "Within 45 days.", "", "figure"),
        ("It costs $25.", "It costs €25.", "", "figure"),
        ("On 3 May.", "On May 4th, 2026.", "", "figure"),
        ("From 9:00.", "From 8 am.", "", "figure"),
        ("On Sundays.", "Monday to Saturday.", "", "figure"),
        ("Mail help@kestrel.com.", "Mail help@kestrel.example.", "", "figure"),
        ("At most 50 lb.", "At most 31.5 kg.", "", "figure"),
        ("Opened boxes can be returned.", "Opened boxes can't be returned.", "", "negation"),
        ("Opened boxes are excluded from returns.", "Opened boxes are included in returns.", "", "negation"),
        ("Yes, of course.", "No. That is not possible.", "Can I swim there?", "negation"),
        ("I am sorry, I can't know that.", "Open Settings and choose Safety.", "How do I reset it?", "missing"),
        ("It is red.", "It is orange.", "What colour is it?", "missing"),
    ],
)
def test_each_reason_is_found_with_both_sides_named(answer: str, document: str, question: str, reason: str) -> None:
    found = differs(answer, document, question)
    assert found is not None
    assert found.reason == reason
    assert found.detail


@pytest.mark.parametrize(
    ("answer", "document", "question"),
    [
        ("Two weeks.", "Within 14 days.", ""),
        ("About a month, so don't worry.", "Within 30 days.", ""),
        ("It's 4,90 EUR.", "The fee is €4.90.", ""),
        ("Ship it for free.", "There is no fee.", "What is the fee for shipping?"),
        ("You have until May 3.", "The last day is 2026-05-03.", ""),
        ("Weekdays from 8:00.", "From 8 am.", ""),
        ("26.2 miles.", "42.195 km.", ""),
        ("No later than 14 days after delivery.", "Within 14 days after delivery.", ""),
        ("Don't hesitate to return unopened boxes.", "Unopened boxes can be returned.", ""),
        ("Used boxes cannot be returned.", "Only unused boxes can be returned.", ""),
        ("Refunds are not prohibited here.", "Refunds are allowed here.", ""),
        ("No, they are prohibited.", "Dogs are not allowed.", "Are dogs allowed?"),
        (
            "The driver will not pick it up.",
            "Hand it in. The driver doesn't pick it up.",
            "Will the driver pick it up?",
        ),
        ("", "Within 45 days.", "How long?"),
        (" \n ", "Within 45 days.", "How long?"),
    ],
)
def test_the_same_in_other_words_is_no_difference(answer: str, document: str, question: str) -> None:
    assert differs(answer, document, question) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1,000", 1000),
        ("1.000,50", 1000.5),
        ("1,000.50", 1000.5),
        ("4,90", 4.9),
        ("4.90", 4.9),
        ("ten", 10),
        ("1'000", 1000),
    ],
)
def test_numbers_are_read_as_they_are_written_here_and_there(text: str, value: float) -> None:
    assert number(text) == value


def test_the_sun_is_no_sunday_and_a_free_hand_costs_nothing_to_say() -> None:
    assert quantities("the sun sat on the may tree; feel free to ask, you are free to go") == []


def test_a_span_of_days_goes_round_the_end_of_the_week() -> None:
    assert {one.value for one in quantities("Saturday to Monday")} == {"sat", "sun", "mon"}


UNITS = st.sampled_from(["days", "hours", "weeks", "EUR", "%", "kg", "parcels", "km"])


@given(st.integers(2, 999), UNITS)
def test_a_figure_is_the_same_as_itself_in_any_sentence(value: int, unit: str) -> None:
    (one,), (other,) = quantities(f"at most {value} {unit}, please"), quantities(f"it is {value} {unit}.")
    assert same(one, other)


@given(st.integers(2, 999), st.integers(2, 999), UNITS)
def test_another_figure_of_one_unit_is_always_a_difference(one: int, other: int, unit: str) -> None:
    found = differs(f"It is {one} {unit}.", f"It is {other} {unit}.", "How much is it?")
    assert (found is not None) == (one != other)


@given(st.text(max_size=200))
def test_a_text_never_differs_from_itself(text: str) -> None:
    assert differs(text, text) is None


@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=60))
def test_any_texts_are_compared_without_a_fault(answer: str, document: str, question: str) -> None:
    differs(answer, document, question)
