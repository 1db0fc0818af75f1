"""Parquet: types that JSON has no word for, damage in one row group, and files that are none."""

import io
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.settings import load_settings
from tasks.data.records import Broken, Record
from tasks.data.sources import columnar
from tasks.data.sources.columnar import parquet_records
from tasks.data.sources.objects import Caps
from tasks.data.sources.reading import read_object
from tests.sources import RECORDS, Read, broken, listed, parquet, values, write


def read_bytes(data: bytes, caps: Caps | None = None) -> Read:
    return list(parquet_records(io.BytesIO(data), len(data), caps or Caps()))


def of_table(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def test_nested_messages_are_read_as_they_are() -> None:
    record = {"prompt": [{"role": "user", "content": "q"}], "chosen": [{"role": "assistant", "content": "y"}]}
    (one,) = read_bytes(parquet([record]))
    assert isinstance(one, Record)
    assert one.value == json.loads(one.raw) == record


def test_what_json_has_no_word_for_becomes_text_and_nan_becomes_null() -> None:
    table = pa.table(
        {
            "when": [datetime(2026, 11, 26, 1, 2, 3)],
            "price": [Decimal("1.50")],
            "text": pa.array([b"f\xc3\xbcr"]),
            "blob": pa.array([b"\xff"]),
            "rating": [float("nan")],
            "scores": [[float("nan"), 1.5]],
            "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        }
    )
    assert values(read_bytes(of_table(table))) == [
        {
            "when": "2026-11-26T01:02:03",
            "price": "1.50",
            "text": "für",
            "blob": "base64:/w==",
            "rating": None,
            "scores": [None, 1.5],
            "map": [["a", 1]],
        }
    ]


def test_numbers_where_texts_belong_are_records_for_their_importer_to_judge() -> None:
    assert values(read_bytes(parquet([{"prompt": 3, "chosen": True}]))) == [{"prompt": 3, "chosen": True}]


def test_an_infinite_number_breaks_its_row_alone() -> None:
    found = read_bytes(of_table(pa.table({"a": [1.0, float("inf"), 2.0]})))
    assert values(found) == [{"a": 1.0}, {"a": 2.0}]
    assert [one.line for one in broken(found)] == [2]


def test_text_that_is_no_utf8_breaks_its_row_alone() -> None:
    bad = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    found = read_bytes(of_table(pa.table({"a": bad})))
    assert values(found) == [{"a": "a"}, {"a": "c"}]
    assert [(one.line, "utf-8" in one.error) for one in broken(found)] == [(2, True)]


def test_a_column_that_stands_twice_makes_the_object_one_broken() -> None:
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["chosen", "chosen"])
    (one,) = read_bytes(of_table(table))
    assert (one.line, "'chosen' twice" in one.error) == (0, True)  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("data", [b"", b"PAR1", b"hello, world", b"PAR1" + b"\0" * 40 + b"\xff\xff\xff\x7fPAR1"])
def test_what_is_no_parquet_file_is_one_broken(data: bytes) -> None:
    (one,) = read_bytes(data)
    assert isinstance(one, Broken)
    assert (one.line, "no Parquet file" in one.error) == (0, True)


def test_a_file_without_its_end_is_one_broken() -> None:
    (one,) = read_bytes(parquet(RECORDS)[:-20])
    assert isinstance(one, Broken)


def test_damage_in_one_row_group_leaves_the_others() -> None:
    records = [{"text": f"{n:06} " + "x" * 50} for n in range(3000)]
    data = bytearray(parquet(records, row_group_size=1000, compression="zstd", write_page_checksum=True))
    meta = pq.ParquetFile(io.BytesIO(bytes(data))).metadata
    start = meta.row_group(1).column(0).dictionary_page_offset or meta.row_group(1).column(0).data_page_offset
    data[start + 200] ^= 0xFF
    found = read_bytes(bytes(data))
    assert values(found) == records[:1000] + records[2000:]
    (one,) = broken(found)
    assert one.line == 1001
    assert "rows 1001 to 2000" in one.error


def test_more_values_than_the_cap_end_the_file_with_what_was_read() -> None:
    data = parquet([{"text": "x" * 1000} for _ in range(3000)])
    found = read_bytes(data, Caps(object_bytes=1_000_000))
    assert 0 < len(values(found)) < 1100
    assert broken(found)[0].line == 0
    assert "more than 1,000,000 bytes" in broken(found)[0].error


def test_a_small_file_of_very_many_equal_values_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "_HARMLESS", 1 << 20)
    sink = io.BytesIO()
    table = pa.table({"text": pa.array(["x" * 100_000] * 2000).dictionary_encode()})
    pq.write_table(table, sink)
    found = read_bytes(sink.getvalue(), Caps(ratio=20))
    assert 0 < len(values(found)) < 200
    assert "its rows take more than" in broken(found)[-1].error


def test_a_row_above_the_cap_is_broken_alone() -> None:
    found = read_bytes(parquet([{"a": "x"}, {"a": "y" * 100}, {"a": "z"}]), Caps(line_bytes=50))
    assert values(found) == [{"a": "x"}, {"a": "z"}]
    assert [(one.line, len(one.raw)) for one in broken(found)] == [(2, 109)]


def test_many_rows_are_read_some_at_a_time(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", parquet([{"n": n, "text": f"{n} " + "x" * 9000} for n in range(4000)]))
    before = pa.total_allocated_bytes()
    most = number = 0
    (obj,) = listed(tmp_path / "a.parquet")
    for number, _ in enumerate(read_object(obj, Caps(), load_settings())):
        if number % 100 == 0:
            most = max(most, pa.total_allocated_bytes() - before)
    assert most < 24 << 20  # of 36 MB
    assert number == 3999
