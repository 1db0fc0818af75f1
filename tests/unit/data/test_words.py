"""Words as hashes against words as text: the same split, equal hashes for equal words and for no others."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.words import LONGEST, hash_sequences, parts, runs_of, spell, words_of

LETTERS = "aAbBzZ09äÖßéΩй你好はไทย한 \n\t.,!?-_'\"()[]+<=>€👍🏽²ﬁ\u0301\u0308\u200b𝒳𠀀"
TEXTS = st.lists(st.text(alphabet=LETTERS, max_size=30), max_size=12)


def spelled(texts: list[str], *, symbols: bool = False) -> tuple[list[str], list[int]]:
    words = [spell(text, symbols=symbols) for text in texts]
    return list(itertools.chain(*words)), [0, *itertools.accumulate(map(len, words))]


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.booleans())
def test_texts_are_split_and_hashed_as_they_are_spelled(texts: list[str], symbols: bool) -> None:
    words, starts = spelled(texts, symbols=symbols)
    found = words_of(pa.array(texts, pa.string()), symbols=symbols)
    assert found.starts.tolist() == starts
    assert len(set(found.hashes.tolist())) == len(set(words))
    assert len(set(zip(found.hashes.tolist(), words, strict=True))) == len(set(words))


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_a_text_has_the_words_it_has_alone_whatever_stands_before_it(texts: list[str]) -> None:
    together = words_of(pa.array(texts, pa.string()))
    alone = [words_of(pa.array([text], pa.string())).hashes for text in texts]
    assert together.hashes.tolist() == np.concatenate([np.zeros(0, np.uint64), *alone]).tolist()


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_texts_have_one_name_where_their_words_are_the_same(texts: list[str]) -> None:
    names = hash_sequences(words_of(pa.array(texts, pa.string()))).tolist()
    words = [tuple(spell(text)) for text in texts]
    assert len(set(names)) == len(set(words)) == len(set(zip(names, words, strict=True)))


@settings(max_examples=60, deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_runs_are_those_of_each_text_alone(texts: list[str], length: int) -> None:
    words = [spell(text) for text in texts]
    runs = [tuple(one[i : i + length]) for one in words for i in range(len(one) - length + 1)]
    found = runs_of(words_of(pa.array(texts, pa.string())), length)
    assert np.diff(found.starts).tolist() == [max(len(one) - length + 1, 0) for one in words]
    assert len(set(zip(found.hashes.tolist(), runs, strict=True))) == len(set(runs)) == len(set(found.hashes.tolist()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Hello, WORLD!", ["hello", "world"]),
        ("re-use it's", ["re", "use", "it", "s"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
        ("返品したい", ["返", "品", "し", "た", "い"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("  ?! ", ["?!"]),
        ("  \n", []),
        ("", []),
    ],
)
def test_a_word_is_a_run_of_letters_or_a_letter_where_no_spaces_are_set(text: str, words: list[str]) -> None:
    assert spell(text) == words
    assert len(words_of(pa.array([text])).hashes) == len(words)


def test_symbols_are_words_where_they_are_asked_for() -> None:
    assert spell("a<b 👍", symbols=True) == ["a", "<", "b", "👍"]
    less, more = (words_of(pa.array([text]), symbols=True).hashes.tolist() for text in ("a<b", "a>b"))
    assert less != more


def test_two_long_runs_that_differ_at_their_end_are_different() -> None:
    texts = ["x" * (3 * LONGEST), "x" * (3 * LONGEST - 1) + "y", "." * 3 * LONGEST, "." * 3 * LONGEST + ","]
    names = hash_sequences(words_of(pa.array(texts))).tolist()
    assert len(set(names)) == 4
    assert [len(words_of(pa.array([text])).hashes) for text in texts] == [3, 3, 3, 4]


def test_portions_are_all_rows_in_their_order_and_none_is_too_large() -> None:
    long = "x" * (3 << 20)
    rows = pa.table({name: [long, "", long, "a", long] for name in ("prompt_text", "chosen_text", "rejected_text")})
    assert [len(part) for part in parts(rows)] == [1, 1, 1, 1, 1]
    small = pa.table({name: ["a"] * 2500 for name in ("prompt_text", "chosen_text", "rejected_text")})
    assert [len(part) for part in parts(small)] == [1024, 1024, 452]
