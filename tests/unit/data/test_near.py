"""Near-duplicates and contradictions against all pairs compared one by one."""

import functools
import importlib
import itertools
import random
from fractions import Fraction
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.features import signatures
from tasks.data.jaccard import Sets
from tasks.data.near import Found, Left, find, leaving
from tasks.data.words import TEXTS, spell

Texts = tuple[str, str, str]
WORDS = [f"w{n}" for n in range(400)]


def table(rows: list[Texts], first: int = 0, errors: list[str | None] | None = None) -> pa.Table:
    columns: dict[str, Any] = {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(TEXTS)}
    numbers = pa.array(range(first, first + len(rows)), pa.int64())
    return pa.table({"row": numbers, **columns, "error": pa.array(errors or [None] * len(rows), pa.string())})


def search(rows: list[Texts], n_old: int = 0, **options: Any) -> Found:
    texts = table(rows)
    signed = signatures.compute(texts).append_column("row", texts["row"])
    with duckdb.connect() as connection:
        connection.register("texts", texts)
        connection.register("new_rows", signed.slice(n_old))
        connection.register("old_rows", signed.slice(0, n_old))
        return find(connection, "new_rows", "texts", old="old_rows" if n_old else None, **options)


def found(rows: list[Texts], n_old: int = 0, **options: Any) -> set[tuple[int, int, str]]:
    pairs = search(rows, n_old, **options).pairs.to_pylist()
    assert len({(one["a"], one["b"]) for one in pairs}) == len(pairs)
    return {(one["a"], one["b"], one["relation"]) for one in pairs}


@functools.cache
def shingles(text: str) -> set[tuple[str, str]]:
    return set(itertools.pairwise(["", *spell(text, symbols=True), ""]))


def jaccard(a: str, b: str) -> Fraction:
    x, y = shingles(a), shingles(b)
    return Fraction(len(x & y), len(x | y))


def plain(rows: list[Texts], n_old: int = 0, threshold: Fraction = Fraction(4, 5)) -> set[tuple[int, int, str]]:
    """All pairs with a new row, one by one."""
    pairs = set()
    for (i, a), (j, b) in itertools.combinations(enumerate(rows), 2):
        straight = min(jaccard(a[1], b[1]), jaccard(a[2], b[2]))
        swapped = min(jaccard(a[1], b[2]), jaccard(a[2], b[1]))
        if j >= n_old and jaccard(a[0], b[0]) >= threshold and max(straight, swapped) >= threshold:
            pairs.add((i, j, "duplicate" if straight >= swapped else "contradiction"))
    return pairs


def text(generator: random.Random, n: int) -> str:
    return " ".join(generator.choices(WORDS, k=n))


def changed(generator: random.Random, words: str, n: int) -> str:
    several = words.split()
    for place in generator.sample(range(len(several)), n):
        several[place] = generator.choice(WORDS)
    return " ".join(several)


def related_rows(seed: int, n: int) -> list[Texts]:
    """Rows that stem from each other: copies, changed a little or more, with answers swapped or mixed, at all
    distances.
    """
    generator = random.Random(seed)
    rows: list[Texts] = []
    for _ in range(n):
        if not rows or generator.random() < 0.3:
            rows.append((text(generator, 30), text(generator, 40), text(generator, 40)))
            continue
        prompt, one, other = generator.choice(rows)
        if generator.random() < 0.4:
            one, other = other, one
        how = generator.choice([0, 0, 1, 2, 3, 6])
        rows.append(
            (changed(generator, prompt, how // 2), changed(generator, one, how), changed(generator, other, how))
        )
    return rows


def test_a_row_that_differs_in_case_spaces_and_punctuation_is_a_duplicate() -> None:
    rows = [("Where is my order?", "It left today.", "No idea"), ("where is  my order", "It left, today!", "No idea.")]
    assert found(rows) == {(0, 1, "duplicate")}


def test_swapped_answers_are_a_contradiction_and_no_duplicate() -> None:
    rows = [("Is it waterproof?", "Yes it is", "No it is not"), ("Is it waterproof?", "No it is not", "Yes it is")]
    assert found(rows) == {(0, 1, "contradiction")}


def test_one_other_answer_is_enough_to_be_no_duplicate() -> None:
    generator = random.Random(1)
    prompt, one, other, third = (text(generator, 50) for _ in range(4))
    assert found([(prompt, one, other), (prompt, one, third), (text(generator, 50), one, other)]) == set()


def test_answers_that_are_alike_themselves_go_by_the_closer_matching() -> None:
    """Where only a word was corrected, a near row's answers match straight and swapped."""
    answer = "please send it back within thirty days and we will return the money to the card that you paid with"
    better, worse = answer, answer.replace("thirty", "forty")
    assert jaccard(better, worse) >= Fraction(4, 5)
    assert found([("how", better, worse), ("how", better, worse), ("how", worse, better)]) == {
        (0, 1, "duplicate"),
        (0, 2, "contradiction"),
    }


def test_where_both_answers_are_the_same_rows_are_duplicates() -> None:
    prompt, answer = text(random.Random(6), 40), text(random.Random(7), 20)
    assert found([(prompt, answer, answer), (f"{prompt} please", answer, answer)]) == {(0, 1, "duplicate")}


def test_labels_of_one_answer_that_say_the_opposite_contradict_each_other() -> None:
    assert found([("how", "do this", ""), ("how", "", "do this"), ("how", "do this", "")]) == {
        (0, 1, "contradiction"),
        (0, 2, "duplicate"),
    }


def test_unreadable_rows_are_near_to_nothing() -> None:
    rows: list[Texts] = [("", "", ""), ("", "", ""), ("a", "b", "c")]
    signed = signatures.compute(table(rows, errors=["broken", "broken", None]))
    assert signed["words"].is_null().to_pylist() == [True, True, False]
    with duckdb.connect() as connection:
        connection.register("texts", table(rows))
        connection.register("new_rows", signed.append_column("row", pa.array([0, 1, 2])))
        assert len(find(connection, "new_rows", "texts").pairs) == 0


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("n_old", [0, 60])
def test_what_is_found_is_what_comparing_all_pairs_finds(seed: int, n_old: int) -> None:
    """Copies are paired with the first of their kind only, so what is found is a part; what leaves is the same."""
    rows = related_rows(seed, 90)
    pairs, wanted = found(rows, n_old), plain(rows, n_old)
    assert pairs <= wanted
    firsts = {(prompt, *sorted(answers)): at for at, (prompt, *answers) in reversed(list(enumerate(rows)))}
    single = {(a, b) for a, b, _ in wanted if {a, b} <= set(firsts.values())}
    assert single <= {(a, b) for a, b, _ in pairs}
    assert len(single) > 5


def test_a_new_copy_is_near_to_what_the_old_row_that_it_copies_is_near_to() -> None:
    """Of old rows only the kin of new ones is looked at; rows of equal words have all bands in common."""
    generator = random.Random(11)
    prompt, one, other = (text(generator, 60) for _ in range(3))
    near = (prompt, one.replace(one.split()[30], "else", 1), other)
    marked = (" ?! ".join(prompt.split()), one.upper(), other)
    swapped = (prompt, other, one)
    bands = signatures.compute(table([(prompt, one, other), marked, swapped]))["bands"].to_pylist()
    assert bands[0] == bands[1] == bands[2]
    kin = {(0, 2, "duplicate"), (0, 3, "contradiction"), (1, 2, "duplicate"), (1, 3, "contradiction")}
    assert found([(prompt, one, other), near, marked, swapped], n_old=2) == kin


@pytest.mark.parametrize("seed", range(2, 4))
def test_the_rows_that_leave_are_those_that_all_pairs_would_make_leave(seed: int) -> None:
    rows = related_rows(seed, 90)
    wanted = [{"a": a, "b": b, "relation": relation, "similarity": 1.0} for a, b, relation in plain(rows)]
    left = leaving(search(rows).pairs)
    assert [(one.row, one.reason) for one in left] == [
        (one.row, one.reason) for one in leaving(pa.Table.from_pylist(wanted))
    ]
    assert {one.reason for one in left} == {"duplicate", "contradiction"}


def test_the_similarity_is_the_least_of_the_three_parts() -> None:
    rows = related_rows(3, 60)
    for one in search(rows).pairs.to_pylist():
        a, b = rows[one["a"]], rows[one["b"]]
        crosswise = one["relation"] == "contradiction"
        answers = [(a[1], b[2]), (a[2], b[1])] if crosswise else [(a[1], b[1]), (a[2], b[2])]
        assert one["similarity"] == pytest.approx(float(min(jaccard(x, y) for x, y in [(a[0], b[0]), *answers])))


@given(st.lists(st.text(alphabet="ab c.é你", max_size=12), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_jaccard_is_that_of_the_sets_themselves(texts: list[str]) -> None:
    sets = Sets([table([(one, one, one) for one in texts])])
    pairs = list(itertools.product(range(len(texts)), repeat=2))
    a, b = (sets.texts[0][np.array(side)] for side in zip(*pairs, strict=True))
    assert sets.similarity(a, b).tolist() == [float(jaccard(texts[i], texts[j])) for i, j in pairs]
    some = [value if value >= 0.5 else 0.0 for value in sets.similarity(a, b).tolist()]
    found_some = sets.similarity(a, b, at_least=0.5)
    assert np.where(found_some >= 0.5, found_some, 0.0).tolist() == some


@pytest.mark.parametrize(("n_words", "edits"), [(12, 0), (35, 2), (71, 4)])
def test_rows_at_the_threshold_meet_in_a_band_as_often_as_the_bands_promise(n_words: int, edits: int) -> None:
    """150 pairs, prompt and both answers at a similarity of 0.8 or a little more: 1 - (1 - 0.8⁶)²¹ = 0.998 is
    promised.
    """
    generator = random.Random(5)
    rows: list[Texts] = []
    while len(rows) < 300:
        texts: Texts = (text(generator, n_words), text(generator, n_words), text(generator, n_words))
        if edits:
            other: list[str] = [changed(generator, one, edits) for one in texts]
        else:
            other = [f"{one} {generator.choice(WORDS)}" for one in texts]  # 12 shared shingles of 15
        if all(Fraction(4, 5) <= jaccard(*pair) <= Fraction(81, 100) for pair in zip(texts, other, strict=True)):
            rows += [texts, (other[0], other[1], other[2])]
    bands = np.array(signatures.compute(table(rows))["bands"].to_pylist())
    met = (bands[::2] == bands[1::2]).any(axis=1)
    assert met.mean() >= 0.98
    assert 3 <= (bands[::2] == bands[1::2]).sum(axis=1).mean() <= 8  # 21 * 0.8⁶ = 5.5


def test_swapped_answers_have_one_signature_and_other_sides() -> None:
    signed = signatures.compute(
        table([("p q", "a b c", "a b d"), ("p q", "a b d", "a b c"), ("p q", "a b c", "a b c")])
    )
    bands, sides = signed["bands"].to_pylist(), signed["side"].to_pylist()
    assert bands[0] == bands[1] != bands[2]
    assert signed["words"][0] == signed["words"][1] != signed["words"][2]
    assert sides[0] != sides[1]
    assert signed["answers_size"].to_pylist() == [8, 8, 8]  # four shingles an answer, those of both counted twice


def test_answers_that_are_alike_themselves_meet_as_often_as_others() -> None:
    """Each answer has 0.8 of its shingles in common; a plain union of both would have 0.67."""
    generator = random.Random(12)
    rows: list[Texts] = []
    for _ in range(60):
        answer = text(generator, 150)
        rows += [("why", f"{answer} {text(generator, 18)}", f"{answer} {text(generator, 18)}") for _ in range(2)]
    assert np.mean([float(jaccard(a[1], b[1])) for a, b in zip(rows[::2], rows[1::2], strict=True)]) == pytest.approx(
        0.8, abs=0.02
    )
    signed = signatures.compute(table(rows))
    bands = np.array(signed["bands"].to_pylist())
    # prompts are the same: a band is shared with probability 0.8³, of which 21 make 10.8; of 0.67³ 6.2
    assert (bands[::2] == bands[1::2]).sum(axis=1).mean() == pytest.approx(21 * 0.8**3, abs=1.5)


def test_signatures_do_not_depend_on_what_is_computed_with_them() -> None:
    rows = related_rows(9, 30)
    together = signatures.compute(table(rows)).to_pylist()
    assert together == [one for row in rows for one in signatures.compute(table([row])).to_pylist()]


def test_what_a_hot_band_skips_is_counted() -> None:
    """60 near rows: 60 * 59 / 2 = 1770 comparisons if all meet; beyond the first ten rows 50 * 49 / 2 a band are
    skipped.
    """
    long = text(random.Random(3), 200)
    rows: list[Texts] = [("why", f"{long} number{n}", "no") for n in range(60)]
    whole, cut = search(rows, most_compared=60), search(rows, most_compared=10)
    assert (len(whole.pairs), whole.hot, whole.skipped) == (1770, 0, 0)
    assert cut.hot >= 10
    assert cut.skipped >= 10 * 49 * 50 // 4
    assert len(leaving(cut.pairs)) == len(leaving(whole.pairs)) == 59


def pairs_of(*pairs: tuple[int, int, str]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(("a", "b", "relation"), pair, strict=True)) for pair in pairs])


def test_of_a_chain_the_direct_duplicates_of_a_kept_row_leave_and_no_others() -> None:
    chain = pairs_of((1, 2, "duplicate"), (2, 3, "duplicate"), (3, 4, "duplicate"))
    assert leaving(chain) == [Left(2, "duplicate", 1), Left(4, "duplicate", 3)]


def test_all_sides_of_a_contradiction_leave_and_what_says_the_same_as_a_side() -> None:
    pairs = pairs_of((1, 5, "duplicate"), (5, 7, "contradiction"), (1, 9, "duplicate"))
    assert leaving(pairs) == [Left(1, "contradiction", 5), Left(5, "contradiction", 7), Left(7, "contradiction", 5)]


@pytest.mark.parametrize("module", ["near", "leakage", "session", "facts", "outputs", "told", "validate"])
def test_no_signature_holds_a_type_of_duckdb(module: str) -> None:
    """Or nanobind writes its leaks on the terminal, behind the night's summary."""
    for function in vars(importlib.import_module(f"tasks.data.{module}")).values():
        held = getattr(function, "__annotations__", {}) if callable(function) else {}
        assert not [one for one in held.values() if "duckdb" in getattr(one, "__module__", "")], function
