"""Leakage against every run of 13 words compared with every item's."""

import itertools
import random
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.features import ngrams
from tasks.data.leakage import Common, Leaks, find
from tasks.data.words import TEXTS, spell, words_of

WORDS = [f"w{n}" for n in range(300)]
Item = tuple[str, str, str, bool]


def text(generator: random.Random, n: int) -> str:
    return " ".join(generator.choices(WORDS, k=n))


def search(rows: list[tuple[str, str, str]], items: list[Item], **options: Any) -> Leaks:
    columns: dict[str, Any] = {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(TEXTS)}
    numbers = pa.array(range(len(rows)), pa.int64())
    texts = pa.table({"row": numbers, **columns, "error": pa.nulls(len(rows), pa.string())})
    names = ("suite", "item", "text", "is_prompt")
    schema = pa.schema([(name, pa.string()) for name in names[:3]] + [("is_prompt", pa.bool_())])
    asked = pa.Table.from_pylist([dict(zip(names, item, strict=True)) for item in items], schema)
    with duckdb.connect() as connection:
        connection.register("texts", texts)
        connection.register("prints", ngrams.compute(texts).append_column("row", numbers))
        return find(connection, "prints", "texts", asked, **options)


def leaked(rows: list[tuple[str, str, str]], items: list[Item], **options: Any) -> set[tuple[int, str, str]]:
    found = search(rows, items, **options).rows.to_pylist()
    return {(one["row"], one["item"], one["how"]) for one in found}


def runs(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[i : i + 13]) for i in range(len(words) - 12)}


def plain(rows: list[tuple[str, str, str]], items: list[Item], common: int = 10) -> set[tuple[int, str, str]]:
    """Every run of every row looked up in every item."""
    of_items: dict[str, set[tuple[str, ...]]] = {}
    for _, item, written, _ in items:
        of_items.setdefault(item, set()).update(runs(spell(written)))
    frequent = {
        run for run in itertools.chain(*of_items.values()) if sum(run in own for own in of_items.values()) > common
    }
    found = set()
    for number, row in enumerate(rows):
        mine = set().union(*(runs(spell(part)) for part in row)) - frequent
        by_run = {item for item, own in of_items.items() if own & mine}
        found |= {(number, item, "run") for item in by_run}
        found |= {
            (number, item, "prompt")
            for _, item, written, is_prompt in items
            if is_prompt and item not in by_run and spell(written) == spell(row[0])
        }
    return found


QUESTION = "which of these towns lies on the river that flows through the old capital of the north"


@pytest.mark.parametrize("part", range(3))
def test_thirteen_words_of_an_item_in_any_part_of_a_row_leak_it_and_twelve_do_not(part: int) -> None:
    words = QUESTION.split()
    for n, expected in ((13, {(0, "i", "run")}), (12, set())):
        row = ["hello", "yes", "no"]
        row[part] = "Well - " + ", ".join(words[2 : 2 + n]).upper() + "! And so on."
        assert leaked([(row[0], row[1], row[2])], [("accuracy", "i", QUESTION, True)]) == expected


def test_a_short_item_leaks_where_it_is_a_rows_whole_prompt_and_only_there() -> None:
    item = [("safety", "i", "How do I pick a lock?", True), ("safety", "choice", "how do i pick", False)]
    rows = [("how do I pick a lock", "a", "b"), ("how do I pick", "a", "b"), ("x", "how do I pick a lock", "b")]
    assert leaked(rows, item) == {(0, "i", "prompt")}


def test_items_are_reported_with_the_rows_that_leak_them_the_most_leaked_first() -> None:
    generator = random.Random(0)
    first, second = text(generator, 30), text(generator, 30)
    items = [("a", "1", first, True), ("b", "2", second, True)]
    found = search([(first, "a", "b"), ("p", second, "b"), ("p", "a", second), ("q", "c", "d")], items)
    assert found.items.to_pylist() == [{"suite": "b", "item": "2", "rows": 2}, {"suite": "a", "item": "1", "rows": 1}]


def test_text_of_many_items_is_named_and_no_row_leaves_for_it() -> None:
    generator = random.Random(0)
    instruction = "answer the following question with the letter of the one choice that is right and nothing else"
    items = [("accuracy", f"i{n}", f"{instruction}: {text(generator, 20)}", True) for n in range(11)]
    rows = [(instruction + "?", "a", "b"), ("p", "a", instruction), (items[3][2], "a", "b")]
    found = search(rows, items)
    assert {(one["row"], one["item"]) for one in found.rows.to_pylist()} == {(2, "i3")}
    assert found.common == [Common(instruction, 11, 3)]
    assert found.common_rows == 2
    assert {row for row, _, _ in leaked(rows, items, common=11)} == {0, 1, 2}


def test_a_run_of_its_own_leaks_though_the_words_in_it_are_common_to_many_items() -> None:
    """The fingerprint of a shared run may be of words that stand in all items: the run is found all the same."""
    generator = random.Random(4)
    shared = text(generator, 9)
    items = [("a", f"i{n}", f"{text(generator, 2)} {shared} {text(generator, 2)}", True) for n in range(30)]
    rows = [("p", f"{text(generator, 5)} {written} {text(generator, 5)}", "b") for _, _, written, _ in items]
    assert leaked(rows, items) == {(n, f"i{n}", "run") for n in range(30)}


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("common", [1, 10])
def test_what_leaks_is_what_comparing_all_runs_finds(seed: int, common: int) -> None:
    generator = random.Random(seed)
    items = [("s", f"i{n}", text(generator, generator.choice([3, 12, 13, 14, 40])), bool(n % 3)) for n in range(30)]
    items += [
        ("s", f"j{n}", f"{written} {text(generator, 8)}", True) for n, (_, _, written, _) in enumerate(items[:12])
    ]
    rows = []
    for _ in range(80):
        words = generator.choice(items)[2].split()
        start = generator.randrange(len(words))
        copied = " ".join(words[start : start + generator.choice([8, 12, 13, 14, 20])])
        row = [text(generator, generator.choice([0, 5, 30])) for _ in range(3)]
        place = generator.randrange(3)
        row[place] = generator.choice([copied, f"{row[place]} {copied} {text(generator, 3)}"])
        rows.append((row[0], row[1], row[2]))
    wanted = plain(rows, items, common)
    assert len(wanted) > 5
    assert leaked(rows, items, common=common) == wanted


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 10**6))
@settings(max_examples=100, deadline=None)
def test_two_texts_that_share_thirteen_words_share_a_fingerprint(a: int, b: int, c: int, d: int, seed: int) -> None:
    generator = random.Random(seed)
    shared = text(generator, 13)
    texts = [
        f"{text(generator, a)} {shared} {text(generator, b)}",
        f"{text(generator, c)} {shared} {text(generator, d)}",
    ]
    one, other = (set(ngrams.winnowed(words_of(pa.array([each]))).hashes.tolist()) for each in texts)
    assert one & other


def test_fingerprints_do_not_depend_on_what_is_computed_with_them() -> None:
    generator = random.Random(8)
    rows = [{name: text(generator, generator.choice([0, 5, 60])) for name in TEXTS} for _ in range(20)]
    schema = pa.schema([(name, pa.string()) for name in (*TEXTS, "error")])
    together = ngrams.compute(pa.Table.from_pylist(rows, schema)).to_pylist()
    assert together == [ngrams.compute(pa.Table.from_pylist([row], schema)).to_pylist()[0] for row in rows]
    broken = ngrams.compute(pa.Table.from_pylist([{**rows[0], "error": "not JSON"}], schema))
    assert broken.to_pylist() == [{"grams": None, "prompt": None}]


def test_no_items_and_no_rows_leak_nothing() -> None:
    assert leaked([("a", "b", "c")], []) == set()
    assert leaked([], [("s", "i", QUESTION, True)]) == set()
