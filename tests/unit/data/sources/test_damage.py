"""Bytes of a valid file flipped, cut out or put in: nothing dies, and no row that the damage did not touch is lost."""

import io
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from backports import zstd
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from infra.settings import load_settings
from tasks.data.records import Broken
from tasks.data.sources.objects import Caps
from tasks.data.sources.reading import read_object
from tests.sources import FORMS, PACKERS, Read, listed, values, write

EXAMPLES = 40
TEXTS = ["plain", 'with "quotes" in it', "two\nlines, and a comma", "für ü", "", "{[not JSON]}", "a;b\tc"]
ROWS = [
    {"id": f"r{n}", "prompt": TEXTS[n % 7], "chosen": TEXTS[n * 3 % 7] + f" {n}", "rejected": TEXTS[n * 5 % 7]}
    for n in range(40)
]
CAPS = Caps(line_bytes=4000)
SETTINGS = load_settings()


class Damage(NamedTuple):
    """Bytes ``start`` to ``end`` of the valid file, and what stands in their place."""

    start: int
    end: int
    put: bytes

    def of(self, data: bytes) -> bytes:
        return data[: self.start] + self.put + data[self.end :]


POISON = [b'"', b"\n", b",", b"{", b"}", b"\0", b"\xff", b'""', b'"\n"', b"\r", b"\xef\xbb\xbf", b"NaN", b"\\", b"[[["]


@st.composite
def damages(draw: st.DrawFn, size: int) -> Damage:
    start = draw(st.integers(0, size - 1))
    end = min(start + draw(st.sampled_from([0, 1, 1, 3, 40, size])), size)
    put = draw(st.sampled_from(POISON) | st.binary(min_size=1, max_size=4)) if draw(st.booleans()) else b""
    return Damage(start, end, put)


def read_bytes(name: str, data: bytes) -> Read:
    """What is read, or a failure that names neither file nor place is this test's."""
    with tempfile.TemporaryDirectory() as folder:
        (obj,) = listed(write(Path(folder) / name, data), settings=SETTINGS)
        found = list(read_object(obj, CAPS, SETTINGS))
    for one in found:
        assert one.line >= (0 if isinstance(one, Broken) else 1)
        if isinstance(one, Broken):
            one.error.encode()
            assert one.error
    return found


def kept(found: Read, rows: list[dict[str, Any]]) -> bool:
    """Whether these rows are among what was read, in their order."""
    left: Iterator[dict[str, Any]] = iter(values(found))
    return all(any(row == one for one in left) for row in rows)


def spans(form: str, data: bytes) -> list[tuple[int, int]]:
    """From and to which byte each row lies, its line end included; of CSV the header first."""
    if form == ".jsonl":
        lines = data.splitlines(keepends=True)
    else:
        lines, open_ = [b""], False
        for line in data.splitlines(keepends=True):
            lines[-1] += line
            open_ ^= line.count(b'"') % 2 == 1
            lines += [] if open_ else [b""]
        lines.pop()
    ends = [sum(map(len, lines[: n + 1])) for n in range(len(lines))]
    return list(zip([0, *ends], ends, strict=False))


PLAIN = {form: FORMS[form](ROWS) for form in (".jsonl", ".csv")}


@pytest.mark.parametrize("form", PLAIN)
@settings(max_examples=EXAMPLES * 3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damage_in_plain_lines_costs_the_lines_it_touches_and_no_other(form: str, data: st.DataObject) -> None:
    damage = data.draw(damages(len(PLAIN[form])))
    mutated = damage.of(PLAIN[form])
    assume(not mutated.startswith((b"\xff\xfe", b"\xfe\xff")))
    found = read_bytes(f"a{form}", mutated)
    where = spans(form, PLAIN[form])
    header = form == ".csv"
    if header and damage.start <= where[0][1]:
        return  # all rows are read by it
    untouched = [
        row
        for row, (start, end) in zip(ROWS, where[header:], strict=True)
        if end < damage.start or start > damage.end or (end == damage.start and damage.end > damage.start)
    ]
    assert kept(found, untouched)


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("form", PLAIN)
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damage_in_packed_lines_costs_no_row_before_it(form: str, packing: str, data: st.DataObject) -> None:
    packed = PACKERS[packing](PLAIN[form][:1500]) + PACKERS[packing](PLAIN[form][1500:])
    damage = data.draw(damages(len(packed)))
    before = packed[: damage.start]
    plain = unpacked_gzip(before) if packing == ".gz" else unpacked_zstd(before)
    assert PLAIN[form].startswith(plain)
    found = read_bytes(f"a{form}{packing}", damage.of(packed))
    whole = [
        row for row, (_, end) in zip(ROWS, spans(form, PLAIN[form])[form == ".csv" :], strict=True) if end <= len(plain)
    ]
    assert kept(found, whole)


def unpacked_gzip(data: bytes) -> bytes:
    made = b""
    while data:
        machine = zlib.decompressobj(31)
        made += machine.decompress(data)
        data = machine.unused_data
    return made


def unpacked_zstd(data: bytes) -> bytes:
    made = b""
    while data:
        machine = zstd.ZstdDecompressor()
        made += machine.decompress(data)
        data = machine.unused_data if machine.eof else b""
    return made


GROUP = 10
PARQUET = FORMS[".parquet"](ROWS, row_group_size=GROUP, write_page_checksum=True)


def group_spans() -> list[tuple[int, int]]:
    meta = pq.ParquetFile(io.BytesIO(PARQUET)).metadata
    made = []
    for group in range(meta.num_row_groups):
        columns = [meta.row_group(group).column(i) for i in range(meta.num_columns)]
        starts = [one.dictionary_page_offset or one.data_page_offset for one in columns]
        made.append((min(starts), max(s + c.total_compressed_size for s, c in zip(starts, columns, strict=True))))
    return made


@settings(max_examples=EXAMPLES * 2, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_damage_in_parquet_costs_its_row_groups_and_no_other(data: st.DataObject) -> None:
    damage = data.draw(damages(len(PARQUET)))
    found = read_bytes("a.parquet", damage.of(PARQUET))
    where = group_spans()
    if len(damage.put) != damage.end - damage.start or damage.start < 4 or damage.end > where[-1][1]:
        return  # the footer, or where everything lies, is another
    for group, (start, end) in enumerate(where):
        if end <= damage.start or start >= damage.end:
            assert kept(found, ROWS[group * GROUP : (group + 1) * GROUP])
