"""What Spark's Python workers make of rows and candidates; nothing of Spark is needed to run it."""

import random

import pyarrow as pa

from tasks.data.features import signatures
from tasks.data.spark.on_executors import prove, shingle
from tasks.data.words import TEXTS
from tests.unit.data.test_near import Texts, plain, related_rows, table, text


def shingled(rows: list[Texts]) -> list[dict[str, set[int]]]:
    whole = table(rows)
    sizes = signatures.compute(whole).select(["prompt_size", "answers_size"])
    given = whole.drop_columns("error").append_column("is_new", pa.array([True] * len(rows)))
    for name in sizes.column_names:
        given = given.append_column(name, sizes[name])
    found = pa.Table.from_batches(shingle(given.combine_chunks().to_batches(max_chunksize=70))).to_pylist()
    assert [one["row"] for one in found] == list(range(len(rows)))
    for one in found:  # each shingle once, as many as our signatures count
        assert len(set(one["prompt"])) == len(one["prompt"]) == one["prompt_size"]
        assert len(set(one["answers"])) == len(one["answers"]) == one["answers_size"]
    return [{part: set(one[part]) for part in ("prompt", "answers")} for one in found]


def jaccard(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a | b)


def test_no_row_is_without_a_shingle_and_each_has_as_many_as_its_signature_counts() -> None:
    shingled([*related_rows(3, 150), ("", "", ""), ("?!", " ", "\n"), ("日本語", "no no no no", "no")])


def test_answers_together_are_the_same_whichever_way_round() -> None:
    one, other = shingled([("p q", "a b c", "a b d"), ("p q", "a b d", "a b c")])
    assert one == other


def test_answers_together_are_at_least_as_alike_as_the_less_alike_of_both() -> None:
    """Also where chosen and rejected are alike themselves: as a plain union they would be at 0.67, not 0.8."""
    pick = random.Random(12)
    rows: list[Texts] = []
    for _ in range(20):
        answer = text(pick, 150)
        rows += [("why", f"{answer} {text(pick, 18)}", f"{answer} {text(pick, 18)}") for _ in range(2)]
    sets = [one["answers"] for one in shingled(rows)]
    alike = [jaccard(a, b) for a, b in zip(sets[::2], sets[1::2], strict=True)]
    assert 0.78 < sum(alike) / len(alike) < 0.82


def test_of_all_pairs_of_rows_those_are_proven_that_counting_one_by_one_finds() -> None:
    rows = related_rows(5, 60)
    pairs = [(a, b) for a in range(len(rows)) for b in range(a + 1, len(rows))]
    columns = {"a": [a for a, _ in pairs], "b": [b for _, b in pairs]}
    for at, name in enumerate(TEXTS):
        columns |= {f"a_{name}": [rows[a][at] for a, _ in pairs], f"b_{name}": [rows[b][at] for _, b in pairs]}
    batches = pa.table(columns).to_batches(max_chunksize=400)
    found = pa.Table.from_batches(prove(iter(batches), 0.8)).to_pylist()
    assert {(one["a"], one["b"], one["relation"]) for one in found} == plain(rows)
    assert min(one["similarity"] for one in found) >= 0.8
