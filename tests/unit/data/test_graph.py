"""The preference graph against a plain search over small random graphs, and alpha against its definition."""

import datetime
import itertools
from typing import Any

import networkx
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.agreement import krippendorff
from tasks.data.graph import Judged, judge

SCHEMA = pa.schema(
    [
        ("row", pa.int64()),
        ("prompt", pa.int64()),
        ("better", pa.int64()),
        ("worse", pa.int64()),
        ("time", pa.int64()),
        ("annotator", pa.string()),
    ]
)
Edge = tuple[int, int, int, int | None, str | None]  # prompt, better, worse, time, annotator


def judged(edges: list[Edge]) -> Judged:
    names = SCHEMA.names
    rows = [dict(zip(names, (row, *edge), strict=True)) for row, edge in enumerate(edges)]
    return judge(pa.Table.from_pylist(rows, SCHEMA))


def reasons(edges: list[Edge]) -> dict[int, str]:
    return {one["row"]: one["reason"] for one in judged(edges).leaving.to_pylist()}


def edge(better: int, worse: int, time: int | None = None, annotator: str | None = None, prompt: int = 1) -> Edge:
    return prompt, better, worse, time, annotator


def test_two_rows_that_prefer_opposite_answers_both_leave() -> None:
    assert reasons([edge(1, 2), edge(2, 1), edge(1, 3)]) == {0: "contradiction", 1: "contradiction"}


@pytest.mark.parametrize("length", [3, 4, 50])
def test_a_cycle_of_any_length_leaves_and_what_hangs_on_it_stays(length: int) -> None:
    cycle = [edge(n, (n + 1) % length) for n in range(length)]
    found = judged([edge(100, 0), *cycle, edge(1, 200)]).leaving.to_pylist()
    assert [one["row"] for one in found] == list(range(1, length + 1))
    assert {one["reason"] for one in found} == {"cycle"}
    assert {one["cycle"] for one in found} == {1}


def test_the_same_answers_under_another_prompt_contradict_nothing() -> None:
    assert reasons([edge(1, 2, prompt=7), edge(2, 1, prompt=8)]) == {}


def test_an_annotator_who_changed_their_mind_is_believed_the_last_time() -> None:
    assert reasons([edge(1, 2, 10, "ann"), edge(2, 1, 20, "ann")]) == {0: "relabelled"}
    there_and_back = [edge(1, 2, 10, "ann"), edge(2, 1, 20, "ann"), edge(1, 2, 30, "ann")]
    assert reasons(there_and_back) == {1: "relabelled"}


def test_a_relabel_resolves_nothing_that_others_say() -> None:
    edges = [edge(1, 2, 10, "ann"), edge(2, 1, 20, "ann"), edge(1, 2, 5, "bob")]
    assert reasons(edges) == {0: "relabelled", 1: "contradiction", 2: "contradiction"}


@pytest.mark.parametrize(
    "edges",
    [
        [edge(1, 2, 10, "ann"), edge(2, 1, 20, "bob")],  # two people
        [edge(1, 2, 10, None), edge(2, 1, 20, None)],  # nobody knows who
        [edge(1, 2, None, "ann"), edge(2, 1, 20, "ann")],  # nobody knows when
        [edge(1, 2, 10, "ann"), edge(2, 1, 10, "ann")],  # in one moment
    ],
)
def test_only_the_same_person_at_a_later_time_takes_a_label_back(edges: list[Edge]) -> None:
    assert reasons(edges) == {0: "contradiction", 1: "contradiction"}


@pytest.mark.parametrize(("one", "other"), [(1, 2), (2, 1)])
def test_an_annotator_who_ends_undecided_takes_nothing_back(one: int, other: int) -> None:
    edges = [edge(one, other, 5, "ann"), edge(one, other, 10, "ann"), edge(other, one, 10, "ann")]
    assert reasons(edges) == dict.fromkeys(range(3), "contradiction")


def test_times_may_be_timestamps() -> None:
    days = [datetime.datetime(2026, 11, day) for day in (3, 2)]
    table = pa.table(
        {"row": [0, 1], "prompt": [1, 1], "better": [1, 2], "worse": [2, 1], "time": days, "annotator": ["ann", "ann"]}
    )
    assert judge(table).leaving.to_pylist() == [{"row": 1, "reason": "relabelled", "cycle": None}]


def test_nothing_is_found_in_nothing() -> None:
    found = judged([])
    assert len(found.leaving) == 0
    assert found.agreement.alpha is None
    assert reasons([edge(1, 1)]) == {}


EDGES = st.lists(
    st.tuples(
        st.sampled_from([-(2**63), 5]),
        st.integers(-2, 2).map(lambda n: n * 2**61),
        st.integers(-2, 2).map(lambda n: n * 2**61),
        st.none() | st.integers(-2, 2),
        st.none() | st.sampled_from("ab"),
    ),
    max_size=14,
)


def plain(edges: list[Edge]) -> dict[int, str]:
    """What leaves, edge by edge."""
    left: dict[int, str] = {}
    for row, (prompt, better, worse, time, annotator) in enumerate(edges):
        same = [
            (one[3], (one[1], one[2]))
            for one in edges
            if one[0] == prompt and one[4] == annotator and {one[1], one[2]} == {better, worse} and one[3] is not None
        ]
        if annotator is None or time is None or better == worse:
            continue
        latest = max(moment for moment, _ in same)
        said = {way for moment, way in same if moment == latest}
        if time < latest and said == {(worse, better)}:
            left[row] = "relabelled"
    stand = [(row, one) for row, one in enumerate(edges) if row not in left and one[1] != one[2]]
    graph = networkx.DiGraph([((one[0], one[1]), (one[0], one[2])) for _, one in stand])
    for row, (prompt, better, worse, _, _) in stand:
        if graph.has_edge((prompt, worse), (prompt, better)):
            left[row] = "contradiction"
        elif networkx.has_path(graph, (prompt, worse), (prompt, better)):
            left[row] = "cycle"
    return left


@given(EDGES)
@settings(max_examples=100, deadline=None)
def test_what_leaves_is_what_a_plain_search_finds(edges: list[Edge]) -> None:
    assert reasons(edges) == plain(edges)


@given(EDGES)
@settings(max_examples=50, deadline=None)
def test_what_stays_contradicts_nothing(edges: list[Edge]) -> None:
    left = reasons(edges)
    assert reasons([one for row, one in enumerate(edges) if row not in left]) == {}


def test_agreement_counts_each_annotators_standing_label_once() -> None:
    edges = [
        edge(1, 2, 1, "ann"), edge(2, 1, 2, "ann"), edge(2, 1, 1, "bob"),  # agree, once ann had thought again
        edge(3, 4, 1, "ann"), edge(3, 4, 2, "ann"), edge(3, 4, 2, "bob"),  # agree; ann said it twice
        edge(6, 5, 1, "ann"), edge(5, 6, 1, "bob"),  # differ
        edge(7, 8, 1, "ann"), edge(7, 8, 1, None),  # one rating by somebody known
    ]  # fmt: skip
    found = judged(edges)
    assert (found.agreement.units, found.agreement.ratings, found.nameless) == (3, 6, 1)
    # values of the units by key order: 01 01, 10 10, one of each; alpha = 1 - 5 * (1 * 2 / 1) / (6² - 3² - 3²)
    assert found.agreement.alpha == pytest.approx(1 - 5 * 2 / 18)


def test_alpha_is_the_published_one_of_krippendorffs_example() -> None:
    """Four observers, twelve units, five values: 0.743 (Krippendorff 2011, Computing Krippendorff's Alpha)."""
    observers = ["123321412...", "1233224125.3", ".3332342251.", "12332441251."]
    units = ["".join(one) for one in zip(*observers, strict=True)]
    found = krippendorff(np.array([[unit.count(value) for value in "12345"] for unit in units]))
    assert (found.units, found.ratings) == (11, 40)
    assert found.alpha == pytest.approx(0.743, abs=5e-4)


@given(st.lists(st.lists(st.sampled_from([None, 0, 1, 2]), min_size=4, max_size=4), min_size=1, max_size=12))
@settings(max_examples=80, deadline=None)
def test_alpha_is_one_less_observed_over_expected_disagreement(units: list[list[Any]]) -> None:
    """Of ordered pairs of ratings: those within a unit, weighted by 1 / (its ratings - 1), and those of all."""
    counts = np.array([[unit.count(value) for value in range(3)] for unit in units])
    found = krippendorff(counts, resamples=10)
    rated = [[one for one in unit if one is not None] for unit in units]
    rated = [unit for unit in rated if len(unit) > 1]
    ratings = [one for unit in rated for one in unit]
    if len(set(ratings)) < 2:
        assert found.alpha is None
        return
    observed = sum(sum(a != b for a, b in itertools.permutations(unit, 2)) / (len(unit) - 1) for unit in rated) / len(
        ratings
    )
    pairs = list(itertools.permutations(ratings, 2))
    expected = sum(a != b for a, b in pairs) / len(pairs)
    assert found.alpha == pytest.approx(1 - observed / expected)


def test_the_interval_of_alpha_covers_the_truth_about_as_often_as_it_says() -> None:
    """120 data sets of 150 units and three annotators; the truth from one large set of the same kind."""
    generator = np.random.default_rng(0)

    def drawn(n: int) -> Any:
        truth = generator.integers(0, 2, (n, 1))
        ratings = np.where(generator.random((n, 3)) < 0.25, 1 - truth, truth)
        return np.stack(((ratings == 0).sum(axis=1), (ratings == 1).sum(axis=1)), axis=1)

    alpha = krippendorff(drawn(400_000), resamples=1).alpha
    assert alpha is not None
    intervals = [krippendorff(drawn(150), resamples=300) for _ in range(120)]
    covered = np.mean([found.low <= alpha <= found.high for found in intervals if found.low is not None and found.high])
    assert 0.9 <= covered <= 0.98
