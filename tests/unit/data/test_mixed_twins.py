"""A round's twins with some of the night's own preferences: how many, which ones, and always the same."""

from pathlib import Path

import pytest

from infra.store import Blob, Store
from tasks.contracts import Preferences, TwinRows
from tasks.data.twins import mixed
from tasks.parts import LINES, lines_of
from tests.unit.gate.report_records import fields


def lines(store: Store, *names: str) -> Blob:
    return store.put_bytes("".join(f'{{"id": "{name}"}}\n' for name in names).encode(), LINES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def of(store: Store, night: list[str], twins: int = 6) -> tuple[TwinRows, Preferences]:
    rows = TwinRows(topics=(), rows=lines(store, *(f"twin-{n}" for n in range(twins))), n=twins)
    return rows, fields()["preferences"].model_copy(update={"train": lines(store, *night)})


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.25, 2), (0.5, 6), (0.75, 18), (0.9, 40)])
def test_so_many_of_the_night_s_rows_are_the_share_or_all_there_are(share: float, count: int, store: Store) -> None:
    twins, preferences = of(store, [f"night-{n}" for n in range(40)])
    found = mixed(twins, preferences, share, 3, store)
    rows = [line.decode() for line in lines_of(found.rows, store)]
    assert (found.n, found.mixed, len(rows), len(set(rows))) == (6, count, 6 + count, 6 + count)
    assert sum("twin-" in row for row in rows) == 6


def test_which_rows_depends_on_the_seed_and_not_on_their_order(store: Store) -> None:
    night = [f"night-{n}" for n in range(40)]

    def taken(names: list[str], seed: int) -> set[bytes]:
        return set(lines_of(mixed(*of(store, names), 0.5, seed, store).rows, store))

    assert taken(night, 3) == taken(night[::-1], 3)
    assert taken(night, 3) != taken(night, 4)
    # one more row of the night moves at most one of those that were taken
    assert len(taken([*night, "night-new"], 3) - taken(night, 3)) <= 1
