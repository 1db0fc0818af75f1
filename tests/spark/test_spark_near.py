"""Near-duplicates on Spark, by its own MinHashLSH: what DuckDB finds, and what was planted."""

import itertools
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.detection import Planted, Writer, least, plant
from tasks.data import near
from tasks.data.features import signatures
from tasks.data.near import Found, leaving
from tasks.data.spark.engine import Engine, open_spark
from tasks.data.spark.files import Part
from tasks.data.spark.near import find
from tasks.data.words import TEXTS, spell
from tests.unit.data.test_near import Texts, related_rows, text

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with open_spark("local[2]", tmp_path_factory.mktemp("engine")) as engine:
        yield engine


def table(rows: list[Texts], errors: dict[int, str] | None = None) -> pa.Table:
    columns: dict[str, Any] = {name: pa.array([row[at] for row in rows], pa.string()) for at, name in enumerate(TEXTS)}
    given = [(errors or {}).get(number) for number in range(len(rows))]
    return pa.table({**columns, "error": pa.array(given, pa.string())})


def both(
    engine: Engine,
    folder: Path,
    rows: list[Texts],
    n_old: int = 0,
    errors: dict[int, str] | None = None,
    **options: Any,
) -> tuple[Found, Found]:
    """What DuckDB finds, and Spark; the first ``n_old`` rows are a shard of an earlier night, the others are two."""
    whole = table(rows, errors)
    signed = signatures.compute(whole)
    cuts = sorted({0, n_old, (n_old + len(rows)) // 2, len(rows)})
    parts = []
    for first, end in itertools.pairwise(cuts):
        paths = folder / f"signatures-{first}", folder / f"rows-{first}"
        pq.write_table(signed.slice(first, end - first), paths[0], compression="lz4")
        pq.write_table(whole.slice(first, end - first), paths[1], compression="zstd")
        parts.append(Part(*paths, first, end - first, first >= n_old))
    signed = signed.append_column("row", pa.array(range(len(rows)), pa.int64()))
    texts = whole.append_column("row", pa.array(range(len(rows)), pa.int64()))
    with duckdb.connect() as connection:
        for name, one in (("texts", texts), ("new_rows", signed.slice(n_old)), ("old_rows", signed.slice(0, n_old))):
            connection.register(name, one)
        here = near.find(connection, "new_rows", "texts", old="old_rows" if n_old else None, **options)
    (folder / "search").mkdir()
    return here, find(engine.spark, parts, folder / "search", **options)


@pytest.mark.parametrize("n_old", [0, 150])
def test_spark_finds_the_pairs_that_duckdb_finds_with_the_same_similarity(
    engine: Engine, tmp_path: Path, n_old: int
) -> None:
    """Rows that stem from each other, copies and swapped answers among them, old ones and unreadable ones."""
    here, there = both(engine, tmp_path, related_rows(4, 300), n_old, {7: "broken", 160: "broken"})
    assert there.pairs.to_pylist() == here.pairs.to_pylist()
    assert set(here.pairs["relation"].to_pylist()) == {"duplicate", "contradiction"}
    assert here.pairs.schema == there.pairs.schema
    assert len(here.pairs) > 50
    assert (there.hot, there.skipped) == (here.hot, here.skipped) == (0, 0)


def test_texts_without_words_or_spaces_are_compared_alike(engine: Engine, tmp_path: Path) -> None:
    rows: list[Texts] = [
        ("?!", "", "no"), ("?!", "", "no"), ("?", "", "no"), ("", "", ""), ("  ", "", ""),
        ("日本語の文は空白を置かない言語であり文字が語になる", "はい", "いいえ"),
        ("日本語の文は空白を置かない言語であり文字が語になる。", "いいえ", "はい"),
        ("e\u0301t\u00e9 a < b", "ﬁ", "x" * 700), ("\u00e9t\u00e9 A < B", "ﬁ", "x" * 700),
    ]  # fmt: skip
    here, there = both(engine, tmp_path, rows)
    assert there.pairs.to_pylist() == here.pairs.to_pylist()
    assert {(a, b) for a, b in zip(*(here.pairs[name].to_pylist() for name in ("a", "b")), strict=True)} >= {
        (0, 1), (5, 6), (7, 8),
    }  # fmt: skip


def test_a_hot_band_is_bounded_on_spark_too_and_what_it_skips_is_counted(engine: Engine, tmp_path: Path) -> None:
    """60 near rows; beyond the first ten of a band the others are not compared with each other."""
    long = text(random.Random(3), 200)
    rows: list[Texts] = [("why", f"{long} number{n}", "no") for n in range(60)]
    here, there = both(engine, tmp_path, rows, most_compared=10)
    assert there.hot >= 10
    assert there.skipped >= 10 * 49 * 50 // 4
    assert len(there.pairs) < 60 * 59 // 2
    assert len(leaving(there.pairs)) == len(leaving(here.pairs)) == 59


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant(Writer(7), 12_000)


def test_of_planted_pairs_at_0_8_and_above_spark_finds_nearly_all_and_nothing_else(
    engine: Engine, tmp_path: Path, planted: Planted
) -> None:
    _, there = both(engine, tmp_path, planted.rows)
    pairs = there.pairs.to_pylist()
    folded = {
        row: tuple(" ".join(spell(text)) for text in planted.rows[row]) for one in pairs for row in (one["a"], one["b"])
    }
    for kind, side in (("duplicate", 0), ("contradiction", 1)):
        found = {(one["a"], one["b"]) for one in pairs if one["relation"] == kind}
        truth = planted.pairs[kind]
        right = sum(least(folded[a], folded[b])[side] >= 0.8 for a, b in found)  # pyright: ignore
        close = {pair for pair, similarity in truth.items() if similarity < 0.82}
        assert len(truth) >= 200
        assert len(close) >= 50
        assert len(found & set(truth)) / len(truth) >= 0.98
        assert len(found & close) / len(close) >= 0.95
        assert right / len(found) >= 0.98
    copies = {(one["a"], one["b"]) for one in pairs if one["similarity"] == 1 and one["relation"] == "duplicate"}
    assert copies >= planted.copies
