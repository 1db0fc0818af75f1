"""Which pairs a phase trains on."""

from hypothesis import given
from hypothesis import strategies as st

from infra.jsonl import dump_lines
from tasks.align.pairs import Lines, Replay, choose


def lines(count: int, first: int = 0) -> Lines:
    return lambda: dump_lines({"id": n, "text": "ü\u2028\x85"} for n in range(first, count)).split(b"\n")[:-1]


@given(st.integers(0, 40), st.integers(0, 60), st.integers(0, 5))
def test_it_takes_distinct_pairs_as_many_as_asked_or_there_are(there: int, asked: int, seed: int) -> None:
    chosen = [pair["id"] for pair in choose(lines(there), asked, seed)]
    assert len(chosen) == len(set(chosen)) == min(there, asked)


def test_the_seed_decides_and_nothing_else() -> None:
    assert choose(lines(100), 20, 1) == choose(lines(100), 20, 1)
    assert choose(lines(100), 20, 1) != choose(lines(100), 20, 2)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 40), st.floats(0.05, 0.95), st.integers(0, 3))
def test_of_earlier_pairs_as_many_as_the_share_asks_and_as_many_pairs_as_there_are(
    earlier: int, new: int, asked: int, share: float, seed: int
) -> None:
    chosen = [pair["id"] for pair in choose(lines(earlier + new), asked, seed, replay=Replay(lines(earlier), share))]
    again = sum(one < earlier for one in chosen)
    assert len(chosen) == len(set(chosen)) == min(earlier + new, asked)
    # where there are too few new ones, more earlier ones fill the night, and the other way about
    assert again == min(earlier, max(round(asked * share), asked - new)) or again == len(chosen) - new


def test_earlier_pairs_and_new_ones_come_mixed() -> None:
    chosen = [pair["id"] < 50 for pair in choose(lines(100), 40, 1, replay=Replay(lines(50), 0.5))]
    assert sum(chosen) == 20
    assert 5 < sum(chosen[:20]) < 15
