"""Item results on disk: what is whole is found again, whatever was killed, cut, edited or written twice."""

import json
from pathlib import Path

from infra.digest import digest_of
from tasks.gate.result_store import ResultStore
from tasks.gate.scorecard import ItemResult

A, B, C = digest_of("a"), digest_of("b"), digest_of("c")


def result(name: str, score: float = 0.5) -> ItemResult:
    return ItemResult(id=name, right=True, score=score, logprobs=(-1.25, -2.5), answers=("é \u2028 x",), marks=(0.5,))


def lines(store: ResultStore) -> list[Path]:
    return sorted(store.folder.glob("*.jsonl"))


def test_results_of_several_writers_are_found_by_the_items_digest(tmp_path: Path) -> None:
    one, two = ResultStore(tmp_path / "m"), ResultStore(tmp_path / "m")
    assert one.read() == {}
    one.add({A: result("a"), B: None})
    two.add({C: result("c", 0.25)})
    assert len(lines(one)) == 2
    assert ResultStore(tmp_path / "m").read() == {A: result("a"), B: None, C: result("c", 0.25)}


def test_a_cut_or_edited_line_counts_as_absent(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.add({A: result("a"), B: result("b"), C: result("c")})
    (path,) = lines(store)
    first, second, third = path.read_text().splitlines()
    path.write_text("\n".join([first, second.replace('"score": 0.5', '"score": 0.9'), third[:-20]]))
    assert store.read() == {A: result("a")}
    path.write_text(first + "\nnothing\n[]\n{}\n" + json.dumps({"item": A, "result": {"x": 1}, "sum": "no"}) + "\n")
    assert store.read() == {A: result("a")}


def test_a_line_moved_to_another_item_counts_as_absent(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    store.add({A: result("a")})
    (path,) = lines(store)
    path.write_text(path.read_text().replace(A, B))
    assert store.read() == {}


def test_contradicting_results_count_as_absent_and_equal_ones_do_not(tmp_path: Path) -> None:
    one, two = ResultStore(tmp_path), ResultStore(tmp_path)
    one.add({A: result("a"), B: result("b", 0.1)})
    two.add({A: result("a"), B: result("b", 0.2)})
    assert one.read() == {A: result("a")}
