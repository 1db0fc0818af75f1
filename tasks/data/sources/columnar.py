"""Parquet into records, some at a time; a row group that can't be read is one Broken, and the next one is read."""

import base64
import json
import math
from collections.abc import Iterator
from datetime import date, datetime, time
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data.records import Broken, Record
from tasks.data.sources.objects import KEPT_BYTES, Caps

# what Arrow raises over bytes that aren't what they should be
_DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError, TypeError, KeyError, IndexError)

_BATCH_BYTES = 4 << 20
_MOST_ROWS = 4096
_FIRST_ROWS = 16  # until it is known how large a row is
_HARMLESS = 64 << 20  # a small file may hold this, whatever its ratio


class _TooMuch(Exception):
    """A cap is reached."""


def parquet_records(file: BinaryIO, size: int, caps: Caps) -> Iterator[Record | Broken]:
    """The rows; ``line`` is a row's number from 1, ``raw`` its JSON. NaN, which pandas writes for nothing, is null.

    Args:
        size: of the file, in bytes.
    """
    # Without a buffer a row group's packed bytes are held at once. With one, a damaged page header costs pyarrow 25
    # half a minute and gigabytes; test_damage.py makes such files of 5 KB.
    try:
        parquet = pq.ParquetFile(file, pre_buffer=False, page_checksum_verification=True)
        groups = [parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups)]
        names = parquet.schema_arrow.names
        # what JSON has no word for is given as its text
        plain = all(_is_plain(field.type) for field in parquet.schema_arrow)
    except _DAMAGE as error:
        yield Broken(b"", 0, f"no Parquet file that can be read: {_words(error)}")
        return
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        yield Broken(b"", 0, f"it has the column {twice[0]!r:.80} twice")
        return
    rows = _Rows(size, caps, plain)
    before = 0
    for group, count in enumerate(groups):
        rows.number = before
        try:
            yield from rows.of_group(parquet, group)
            if rows.number != before + count:
                yield _lost(rows.number + 1, before + count, group, "it has another number of rows than its metadata")
        except _TooMuch as error:
            yield Broken(b"", 0, f"{error}; read up to row {rows.number - 1}")
            return
        except _DAMAGE as error:
            yield _lost(rows.number + 1, before + count, group, _words(error))
        before += count


class _Rows:
    """Rows of one file, group after group: how many, how large, how much in all."""

    def __init__(self, size: int, caps: Caps, plain: bool) -> None:
        self.caps, self.plain = caps, plain
        self.most = min(caps.object_bytes, caps.ratio * size + _HARMLESS)
        self.number = 0  # of the last row
        self.done = self.given = 0  # rows in all, and their bytes as JSON

    def of_group(self, parquet: pq.ParquetFile, group: int) -> Iterator[Record | Broken]:
        meta = parquet.metadata.row_group(group)
        rows = min(max(_BATCH_BYTES * meta.num_rows // max(meta.total_byte_size, 1), 1), _MOST_ROWS)
        for batch in parquet.iter_batches(batch_size=rows, row_groups=[group], use_threads=False):
            start = 0
            while start < batch.num_rows:
                part = batch.slice(start, self._at_once())
                start += part.num_rows
                for value in _values(part):
                    self.number += 1
                    yield value._replace(line=self.number) if isinstance(value, Broken) else self._row(value)

    def _at_once(self) -> int:
        """Rows to make Python's of: a value that a column holds once may stand in any number of rows."""
        return min(max(_BATCH_BYTES * self.done // max(self.given, 1), _FIRST_ROWS if not self.done else 1), _MOST_ROWS)

    def _row(self, value: dict[str, Any]) -> Record | Broken:
        try:
            try:
                text = _json(value)
            except ValueError:  # NaN or an infinity
                value = _without_nan(value)
                text = _json(value)
            raw = text.encode()
        except (ValueError, TypeError, RecursionError) as error:
            return Broken(
                repr(value).encode("utf-8", "backslashreplace")[:KEPT_BYTES], self.number, f"no JSON: {error}"
            )
        self.done, self.given = self.done + 1, self.given + len(raw)
        if self.given > self.most:
            raise _TooMuch(f"its rows take more than {self.most:,.0f} bytes")
        if len(raw) > self.caps.line_bytes:
            return Broken(raw[:KEPT_BYTES], self.number, f"a row of more than {self.caps.line_bytes:,} bytes")
        return Record(value if self.plain else json.loads(text), raw, self.number)


def _values(batch: pa.RecordBatch) -> list[dict[str, Any] | Broken]:
    try:
        return batch.to_pylist()
    except _DAMAGE:
        return [_value(batch, place) for place in range(batch.num_rows)]


def _value(batch: pa.RecordBatch, place: int) -> dict[str, Any] | Broken:
    """One row alone, where one of the batch can't be read: text that isn't UTF-8, a time out of range."""
    try:
        return batch.slice(place, 1).to_pylist()[0]
    except _DAMAGE as error:
        return Broken(b"", 0, _words(error))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_text)


def _text(value: Any) -> str:
    """What JSON has no word for."""
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return "base64:" + base64.b64encode(value).decode()
    return str(value)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list) else value


def _is_plain(kind: pa.DataType) -> bool:
    """Whether values of this type are JSON's as they stand."""
    if pa.types.is_struct(kind):
        return all(_is_plain(kind.field(i).type) for i in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_dictionary(kind):
        return _is_plain(kind.value_type)
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_integer, pa.types.is_floating)
    return any(test(kind) for test in (*tests, pa.types.is_boolean, pa.types.is_null))


def _lost(first: int, last: int, group: int, why: str) -> Broken:
    return Broken(b"", first, f"rows {first} to {last} (to the end of row group {group}) can't be read: {why}")


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
