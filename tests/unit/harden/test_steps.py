"""What a hardened candidate is said to have learned from: all that is in it, each part once."""

from pathlib import Path

from infra.digest import digest_of
from infra.store import Blob, Store, Tree
from tasks.contracts import Candidate, Model
from tasks.harden.steps import with_lines
from tasks.parts import LINES, joined, lines_of


def lines(store: Store, *names: str) -> Blob:
    return store.put_bytes("".join(f"{name}\n" for name in names).encode(), LINES)


def test_a_round_s_candidate_has_its_own_lines_and_those_of_the_one_it_began_from(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one = digest_of("one")
    made = Candidate(
        model=Model(base=Tree(digest_=one, files=())), preferences=one, recipe=one, history=lines(store, "{}"),
        mlflow_run="run", pairs=lines(store, "twin"),
    )  # fmt: skip
    night, more = lines(store, "night"), lines(store, "more")
    found = with_lines(made, [joined((night, more), store)], store)
    assert found.pairs is not None
    assert sorted(lines_of(found.pairs, store)) == [b"more", b"night", b"twin"]
    assert found.digest == made.digest  # it is the same candidate
    # once more, of what it holds already
    again = with_lines(found, [night, None], store)
    assert again.pairs is not None
    assert sorted(lines_of(again.pairs, store)) == [b"more", b"night", b"twin"]
    unknown = with_lines(made.model_copy(update={"pairs": None}), [None], store)
    assert unknown.pairs is None
