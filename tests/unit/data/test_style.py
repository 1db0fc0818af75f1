"""What chosen and rejected answers differ in beside being better, with intervals and warnings."""

import math
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.intervals import paired_difference
from tasks.data.style import BOLD, HEADING, LIST, SYCOPHANTIC, BiasFigure, bias, chosen_rows

PLAIN = "The parcel leaves the warehouse tomorrow and arrives on the day after."
GERMAN = "Das Paket verlässt morgen das Lager und kommt am Tag danach bei Ihnen an."


def pairs(chosen: list[str], rejected: list[str], **columns: list[str | None]) -> pa.Table:
    texts = {"prompt_text": ["when?"] * len(chosen), "chosen_text": chosen, "rejected_text": rejected}
    return pa.table({name: pa.array(values, pa.string()) for name, values in {**texts, **columns}.items()})


def figures(*args, **kwargs) -> dict[str, BiasFigure]:
    return {one.name: one for one in bias(pairs(*args, **kwargs))}


SPOILT = {
    "lists": "- the parcel leaves tomorrow\n- it arrives on the day after.",
    "bold": "The parcel leaves the warehouse **tomorrow** and arrives on the day after.",
    "headings": "## Delivery\nThe parcel leaves tomorrow and arrives on the day after.",
    "refusals": "I'm sorry, but I can't help you with that request. Please ask something else.",
    "sycophancy": "What a great question! The parcel leaves tomorrow, arrives on the day after.",
}


@pytest.mark.parametrize("name", SPOILT)
def test_a_form_that_chosen_answers_have_more_often_warns_and_is_told_with_its_effect(name: str) -> None:
    chosen = [SPOILT[name]] * 60 + [PLAIN] * 40
    rejected = [SPOILT[name]] * 10 + [PLAIN] * 90
    found = figures(chosen, rejected)
    one = found[name]
    known = paired_difference([True] * 60 + [False] * 40, [True] * 10 + [False] * 90)
    assert (one.value, one.lower, one.upper) == pytest.approx(known)
    assert (one.n, one.neutral, one.warns) == (100, 0.0, True)
    assert "+50.0 points (95 %: " in one.says
    assert one.says.endswith(".")
    others = [other for other in SPOILT if other != name]
    assert [found[other].warns for other in others] == [False] * 4
    assert "points" in found[others[0]].says


@pytest.mark.parametrize("name", SPOILT)
def test_the_other_direction_warns_of_the_other_effect(name: str) -> None:
    more = figures([SPOILT[name]] * 80, [PLAIN] * 80)[name]
    less = figures([PLAIN] * 80, [SPOILT[name]] * 80)[name]
    assert (more.value, less.value) == (1.0, -1.0)
    assert more.warns
    assert less.warns
    assert more.says.split(";")[1:] != less.says.split(";")[1:]


def test_a_small_sample_does_not_warn_of_what_chance_may_have_done() -> None:
    assert not any(one.warns for one in bias(pairs([SPOILT["lists"], PLAIN, PLAIN], [PLAIN] * 3)))


def test_longer_chosen_answers_warn_as_a_ratio_and_as_a_share() -> None:
    found = figures(["word " * 30] * 50, ["word " * 20] * 50)
    assert (found["length"].value, found["length"].lower) == pytest.approx((1.5, 1.5))
    assert "1.50 times as long" in found["length"].says
    assert "expect longer answers" in found["length"].says
    assert found["longer"].value == 1.0
    assert found["longer"].warns
    assert "break off early" in figures(["no"] * 50, [PLAIN] * 50)["length"].says


def test_pairs_of_equal_length_say_nothing_of_who_is_longer() -> None:
    found = figures([PLAIN] * 5, [PLAIN] * 5)
    assert found["length"].value == 1.0
    assert "longer" not in found


def test_answers_of_two_models_and_of_two_languages_warn() -> None:
    found = figures([PLAIN] * 40, [GERMAN] * 40, chosen_model=["a"] * 40, rejected_model=["b"] * 39 + [None])
    assert (found["models"].value, found["models"].n, found["models"].warns) == (1.0, 39, True)
    assert (found["languages"].value, found["languages"].n, found["languages"].warns) == (1.0, 40, True)
    same = figures([PLAIN] * 40, [PLAIN] * 40, chosen_model=["a"] * 40, rejected_model=["a"] * 40)
    assert not same["models"].warns
    assert not same["languages"].warns
    assert same["models"].value == same["languages"].value == 0.0


def test_without_pairs_there_are_no_figures() -> None:
    assert bias(pairs([], [])) == ()


def test_the_sample_is_the_same_each_time_and_no_larger_than_asked() -> None:
    rng = random.Random(3)
    many = pairs(["word " * rng.randint(1, 40) for _ in range(500)], ["word " * rng.randint(1, 40) for _ in range(500)])
    assert bias(many, at_most=50) == bias(many, at_most=50)
    assert {one.n for one in bias(many, at_most=50) if one.name == "lists"} == {50}
    assert bias(many, at_most=50, seed=1) != bias(many, at_most=50)


def test_a_sample_of_drawn_rows_loses_only_those_that_leave() -> None:
    drawn = np.random.default_rng(1).random(400)
    rows = pa.table({"drawn": drawn, "place": range(400)})
    sample = rows["place"].take(pa.array(chosen_rows(rows, 50, 0))).to_pylist()
    assert sample == sorted(np.argsort(drawn)[:50].tolist())
    left = rows.filter(pa.array([place not in sample[:5] for place in range(400)]))
    again = left["place"].take(pa.array(chosen_rows(left, 50, 0))).to_pylist()
    assert set(sample[5:]) <= set(again)
    assert chosen_rows(rows, 400, 0).tolist() == list(range(400))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([PLAIN, *SPOILT.values()]), st.sampled_from([PLAIN, *SPOILT.values()])),
        min_size=1,
        max_size=12,
    )
)
def test_swapping_chosen_and_rejected_turns_every_figure_round(told: list[tuple[str, str]]) -> None:
    one, other = (
        figures(*map(list, zip(*told, strict=True))),
        figures(*map(list, zip(*[x[::-1] for x in told], strict=True))),
    )
    for name in SPOILT:
        assert (one[name].value, one[name].lower) == pytest.approx((-other[name].value, -other[name].upper))
    assert math.isclose(one["length"].value * other["length"].value, 1.0)


@pytest.mark.parametrize(
    ("pattern", "holds", "fails"),
    [
        (LIST, ["- a", "a\n1. b", " * x", "2) y", "• z"], ["a - b", "-1 degrees", "2026. was", "10.5 kg", "*bold*"]),
        (BOLD, ["a **b** c", "__x y__"], ["2 ** 3 ** 4", "my__name__here", "** a **", "a*b*c"]),
        (HEADING, ["# A", "text\n### B"], ["#1", "C# is", "#tag", "####### seven"]),
        (
            SYCOPHANTIC,
            ["Great question!", "That's such a good point.", "Wow, what a brilliant idea", "You're absolutely right.",
             "Tolle Frage!", "Vous avez tout à fait raison", "¡Excelente pregunta!", "I completely agree."],
            ["The question is good.", "You have the right to return it.", "A good idea is to wait.", "Right, open it."],
        ),
    ],
)  # fmt: skip
def test_forms_are_told_by_their_signs(pattern, holds: list[str], fails: list[str]) -> None:
    look = pattern.match if pattern is SYCOPHANTIC else pattern.search
    assert [text for text in holds if not look(text)] == []
    assert [text for text in fails if look(text)] == []
