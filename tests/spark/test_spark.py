"""The same Ibis expressions on DuckDB and on Spark (local mode) flag the same rows, regular expressions included."""

import json
import random
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import ibis
import pyarrow as pa
import pytest

from tasks.data.checks import (
    CHECKS,
    FACT_CHECKS,
    PERSONAL,
    ROW_CHECKS,
    SET_CHECKS,
    Limits,
    flags,
    row_flags,
    with_marks,
)
from tasks.data.features.rows import COLUMNS as READ
from tasks.data.kinds.build import build
from tasks.data.records import Broken, Record
from tasks.data.rows import Rows

pytestmark = pytest.mark.spark

LIMITS = Limits(max_prompt_tokens=20, max_answer_tokens=12, min_answer_tokens=2, personal=(*PERSONAL, "secret"))
ODD = [
    "plain words", "", "   ", "\t\n ", "\u00a0", "\u2003\u3000", "<|im_end|> be rude",
    "<|im_end |>", "[INST] x [/INST]",
    "<s>", "</s>", "a \x07 bell", "tab\tis fine", "line\nend", "\x7f", "\x1b[31m", "ünïcödé", "İstanbul ı",
    "ﬁ ligature",
    "日本語の文", "emoji 😀👍🏽", "zero\u200bwidth", "a\u0301", "line\u2028sep", "next\x85line", "<start_of_turn>",
    "<｜User｜>", "<<SYS>>", "{}[]()*+?.\\^$|", "%_' \" ; --",
]  # fmt: skip
TIMES = [
    None, "2026-11-20T10:00:00Z", "2026-11-20 10:00:00", "2026-11-20", "last Tuesday", "2999-01-01T00:00:00Z", "",
    "2026-13-45", "2026-11-20T10:00:00+02:00", "2026-11-20 10:00:00.25 -0330", "2026-11-20T10:00-05",
    "2026-11-20T10:00:00 UTC", "infinity", "9999-12-31T23:59:59-10:00",
]  # fmt: skip


def odd_rows(count: int = 300) -> pa.Table:
    pick, rows = random.Random(5), Rows("default")
    for number in range(count):
        record: dict[str, Any] = {
            "id": f"r{pick.randrange(count)}",
            "prompt": [{"role": pick.choice(["user", "system", "assistant"]), "content": pick.choice(ODD)}],
            "chosen": pick.choice(ODD),
            "rejected": pick.choice(ODD),
            "timestamp": pick.choice(TIMES),
        }
        one = Record(record, json.dumps(record).encode(), number)
        try:
            for built in build("pairs", "auto", one):
                rows.add(built, one, "f.jsonl", "v")
        except ValueError as error:
            rows.add_broken(Broken(one.raw, number, str(error)), "f.jsonl", "v")
    return rows.table()


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]  an extra, not of `make setup`

    session = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("warehouse")))
        .getOrCreate()
    )
    yield ibis.pyspark.connect(session)
    session.stop()


def on_both(expression: Any, tables: dict[str, pa.Table], spark: Any, order: str) -> list[list[dict[str, Any]]]:
    duck = ibis.duckdb.connect()
    found = []
    for connection in (duck, spark):
        given = {
            name: connection.create_table(f"{name}_{uuid4().hex[:8]}", ibis.memtable(table))
            for name, table in tables.items()
        }
        found.append(connection.to_pyarrow(expression(**given).order_by(order)).to_pylist())
    duck.disconnect()
    return found


def test_row_checks_flag_the_same_odd_rows_on_both(spark: Any) -> None:
    rows = odd_rows()
    table = rows.select(list(READ)).append_column("place", pa.array(range(rows.num_rows), pa.int64()))

    def compared(rows: Any) -> Any:
        found = row_flags(rows)
        at = found["at"]  # in parts: Spark's way to Arrow has no year 2999
        when = {"year": at.year(), "day": at.day_of_year(), "hour": at.hour(), "minute": at.minute()}
        return found.select("place", "chosen_length", "rejected_length", *ROW_CHECKS, **when)

    duck, there = on_both(
        compared,
        {"rows": table},
        spark,
        "place",
    )
    assert [one for one, other in zip(duck, there, strict=True) if one != other] == []
    assert {name for name in ROW_CHECKS if any(row[name] for row in duck)} >= set(ROW_CHECKS) - {"unreadable"}


def facts_of(rows: pa.Table) -> pa.Table:
    """Facts as ``tasks.data.facts`` writes them, tokens and marks drawn by chance."""
    pick, count = random.Random(6), rows.num_rows
    columns: dict[str, Any] = {
        name: rows[name] for name in ("id", "kind", "label", "prompt_key", "chosen_key", "rejected_key")
    }
    columns |= {"row": pa.array(range(count), pa.int64()), "at": pa.nulls(count, pa.timestamp("us"))}
    columns |= {"shard": pa.array([0] * count, pa.int32()), "place": pa.array(range(count), pa.int32())}
    columns |= {
        f"{part}_tokens": pa.array([pick.randrange(25) for _ in range(count)], pa.int64())
        for part in ("prompt", "chosen", "rejected")
    }
    columns |= {
        f"{part}_length": pa.array([pick.randrange(99) for _ in range(count)], pa.int32())
        for part in ("chosen", "rejected")
    }
    booleans = [*ROW_CHECKS, "cut_equal", "cut_empty", *(f"has_{kind}" for kind in (*PERSONAL, "secret"))]
    columns |= {name: pa.array([pick.random() < 0.1 for _ in range(count)], pa.bool_()) for name in booleans}
    columns["template_error"] = pa.array([pick.choice([None, None, "why"]) for _ in range(count)], pa.string())
    return pa.table(columns)


def test_set_checks_flag_the_same_rows_on_both(spark: Any) -> None:
    facts = facts_of(odd_rows())
    names = ("relabelled", "cycle", "near_duplicate", "near_contradiction", "leaked", "leaked_house")
    marks = pa.table(
        {"row": pa.array(range(0, facts.num_rows, 7), pa.int64())}
        | {
            name: pa.array([number % (2 + place) == 0 for number in range(0, facts.num_rows, 7)])
            for place, name in enumerate(names)
        }
    )
    keys = pa.table({"prompt_key": facts["prompt_key"].slice(0, 5)})

    def flagged(facts: Any, marks: Any, keys: Any) -> Any:
        return flags(with_marks(facts, marks, keys), LIMITS).select("row", "fails", *CHECKS)

    duck, there = on_both(flagged, {"facts": facts, "marks": marks, "keys": keys}, spark, "row")
    assert [one for one, other in zip(duck, there, strict=True) if one != other] == []
    never = {name for name in (*FACT_CHECKS, *SET_CHECKS) if not any(row[name] for row in duck)}
    assert never <= {"timestamp_in_future"}
