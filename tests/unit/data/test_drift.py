"""Drift of source mix, length, topic and language: against formulas by hand, against chance, against a real shift."""

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from tasks.data.drift import (
    Marginals,
    by_chance,
    drift,
    jensen_shannon,
    length_bin,
    level_of,
    marginals,
    psi,
    source_of,
    topic_of,
)

COUNTS = st.integers(2, 8).flatmap(
    lambda bins: st.tuples(*[st.lists(st.integers(0, 500), min_size=bins, max_size=bins).filter(any)] * 2)
)


def test_psi_is_the_textbooks_sum() -> None:
    now, before = [30.5, 70.5], [50.5, 50.5]
    p, q = [one / 101 for one in now], [one / 101 for one in before]
    by_hand = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert psi(np.array([30.0, 70.0]), np.array([50.0, 50.0])) == pytest.approx(by_hand)


@settings(max_examples=25, deadline=None)
@given(COUNTS)
def test_jensen_shannon_is_scipys_distance_squared(counts: tuple[list[int], list[int]]) -> None:
    now, before = (np.array(one, float) for one in counts)
    distance = float(jensenshannon(now, before, base=2))
    known = 0.0 if math.isnan(distance) else distance**2  # scipy takes the root of a rounding error below zero
    assert jensen_shannon(now, before) == pytest.approx(known, abs=1e-12)


@settings(max_examples=25, deadline=None)
@given(COUNTS)
def test_both_are_symmetric_finite_and_never_negative_also_with_empty_bins(counts: tuple[list[int], list[int]]) -> None:
    now, before = (np.array(one, float) for one in counts)
    for measure in (psi, jensen_shannon):
        assert 0 <= measure(now, before) < math.inf
        assert measure(now, before) == pytest.approx(measure(before, now), abs=1e-12)
        assert measure(now, now) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("bins", "n", "m"), [(5, 300, 2000), (20, 1000, 1000), (64, 4000, 9000)])
def test_samples_of_one_population_seldom_reach_what_chance_may_do(bins: int, n: int, m: int) -> None:
    rng = np.random.default_rng(11)
    shares = rng.dirichlet(np.full(bins, 3.0))
    drawn = [(rng.multinomial(n, shares).astype(float), rng.multinomial(m, shares).astype(float)) for _ in range(1500)]
    above = sum(psi(one, other) > by_chance(one, other) for one, other in drawn)
    assert 0.002 <= above / len(drawn) <= 0.02


@pytest.mark.parametrize(
    ("index", "chance", "level"),
    [
        (0.09, 0.01, "none"),
        (0.11, 0.01, "some"),
        (0.11, 0.12, "none"),
        (0.26, 0.01, "large"),
        (0.24, 0.3, "too few rows"),
        (0.4, 0.3, "large"),
        (0.29, 0.3, "too few rows"),
    ],
)
def test_the_usual_reading_holds_only_above_chance(index: float, chance: float, level: str) -> None:
    assert level_of(index, chance) == level


def prompts(*texts: str, source: str | None = None) -> pa.Table:
    columns = {"prompt_text": pa.array(texts, pa.string())}
    return pa.table(columns | ({"source": pa.array([source] * len(texts), pa.string())} if source else {}))


ENGLISH = ["Where is my parcel, the one I ordered on Monday?", "How do I change the delivery address of an order?"]
FRENCH = [
    "Où se trouve mon colis, celui que j'ai commandé lundi ?",
    "Comment changer l'adresse de livraison, s'il vous plaît ?",
]


def test_another_language_other_sources_and_other_lengths_are_a_large_shift() -> None:
    before = marginals(prompts(*ENGLISH * 100, source="logs/2026-11-19.jsonl"))
    now = marginals(prompts(*[text * 3 for text in FRENCH * 100], source="forum/1.jsonl"))
    found = {one.name: one for one in drift(now, before)}
    assert {name: one.level for name, one in found.items()} == dict.fromkeys(
        ("source", "length", "topic", "language"), "large"
    )
    assert found["source"].js == pytest.approx(1.0)
    assert found["source"].moved[0] == ("forum/#.jsonl", 0.0, 1.0)
    assert "forum/#.jsonl 0 % → 100 %" in found["source"].says
    assert "en 100 % → 0 %" in found["language"].says


def test_the_next_day_of_the_same_sources_is_no_shift() -> None:
    one = marginals(prompts(*ENGLISH * 50, source="logs/2026-11-19.jsonl"))
    other = marginals(prompts(*ENGLISH * 40, source="logs/2026-11-20.jsonl"))
    assert [(figure.level, round(figure.js, 12)) for figure in drift(one, other)] == [("none", 0)] * 4


def test_a_handful_of_rows_is_too_few_to_tell_a_shift_from_chance() -> None:
    before = marginals(prompts(*ENGLISH * 100))
    (length, topic, *_) = drift(marginals(prompts("Hello, who are you?", ENGLISH[0])), before)
    assert (length.level, topic.level) == ("too few rows", "too few rows")
    assert "too few rows" in length.says


def test_what_one_side_does_not_know_is_not_compared() -> None:
    served = marginals(prompts(*ENGLISH * 30))
    night = marginals(prompts(*ENGLISH * 30, source="a.jsonl"))
    assert [figure.name for figure in drift(night, served)] == ["length", "topic", "language"]
    assert drift(Marginals(rows=0), night) == ()


def test_a_new_topic_is_seen_and_the_same_topics_in_other_words_of_order_are_not() -> None:
    rng = np.random.default_rng(2)

    def asked(words: Sequence[str], count: int) -> pa.Table:
        return prompts(*[f"how is my {rng.choice(words)} {rng.choice(words)}" for _ in range(count)])

    orders = "delivery invoice parcel warehouse address refund return payment discount account".split()
    garden = "tomatoes fertiliser lawnmower compost greenhouse pruning seedlings orchard hedgehog watering".split()
    (topic,) = [
        one for one in drift(marginals(asked(orders, 400)), marginals(asked(orders, 400))) if one.name == "topic"
    ]
    assert topic.level == "none"
    (topic,) = [
        one for one in drift(marginals(asked(garden, 400)), marginals(asked(orders, 400))) if one.name == "topic"
    ]
    assert topic.level == "large"


def test_marginals_are_a_record_that_can_be_stored_and_read_again() -> None:
    told = marginals(prompts(*ENGLISH, " ", source="a.jsonl"))
    assert Marginals.model_validate_json(told.model_dump_json()) == told
    assert (told.rows, sum(count for _, count in told.length)) == (3, 2)
    assert told.digest.startswith("sha256:")


def test_many_sources_are_counted_as_the_largest_and_others() -> None:
    rows = pa.table(
        {"prompt_text": ["x"] * 80, "source": [f"{chr(97 + i % 40)}{chr(97 + i // 40)}.csv" for i in range(80)]}
    )
    counted = dict(marginals(rows).source)
    assert len(counted) == 32
    assert counted["others"] == 80 - 31


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("logs/2026-11-20.jsonl", "logs/#.jsonl"),
        ("a_20261120T101500.csv", "a_#.csv"),
        ("tickets.jsonl", "tickets.jsonl"),
    ],
)
def test_a_source_is_named_without_its_date(name: str, source: str) -> None:
    assert source_of(name) == source


def test_bins_and_topics_by_hand() -> None:
    assert [length_bin("x" * n) for n in (1, 2, 3, 4, 127, 128)] == ["1–1", "2–3", "2–3", "4–7", "64–127", "128–255"]
    assert topic_of("Is my invoice there?") == topic_of("INVOICE, please!") == topic_of("my bills invoice")
    assert topic_of("1234 ?!") is None
