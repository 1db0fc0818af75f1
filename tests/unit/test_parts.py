"""Lines in parts: a list of parts is one reference, and what is joined to it is one more part of it."""

from pathlib import Path

from infra.store import Blob, Store
from tasks.parts import LINES, joined, lines_of, parts_of


def lines(store: Store, *names: str) -> Blob:
    return store.put_bytes("".join(f"{name}\n" for name in names).encode(), LINES)


def test_parts_of_parts_are_parts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    first, second, third = (lines(store, name) for name in "abc")
    pair = joined((first, second), store)
    whole = joined((pair, lines(store), third), store)
    assert parts_of(whole, store) == (first, second, third)
    assert list(lines_of(whole, store)) == [b"a", b"b", b"c"]
    assert joined((pair,), store) == pair
    assert joined((lines(store), first), store) == first
