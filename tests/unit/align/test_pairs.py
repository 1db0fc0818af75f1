"""Which pairs a phase trains on."""

from hypothesis import given
from hypothesis import strategies as st

from infra.jsonl import dump_lines, load_lines
from tasks.align.pairs import choose


def lines(count: int) -> bytes:
    return dump_lines({"id": n, "text": "ü\u2028\x85"} for n in range(count))


@given(st.integers(0, 40), st.integers(0, 60), st.integers(0, 5))
def test_it_takes_distinct_pairs_as_many_as_asked_or_there_are(there: int, asked: int, seed: int) -> None:
    chosen = [pair["id"] for pair in load_lines(choose(lines(there), asked, seed))]
    assert len(chosen) == len(set(chosen)) == min(there, asked)


def test_the_seed_decides_and_nothing_else() -> None:
    assert choose(lines(100), 20, 1) == choose(lines(100), 20, 1)
    assert choose(lines(100), 20, 1) != choose(lines(100), 20, 2)
