"""CSV: quotes and line ends inside fields, and damage that takes no other row with it."""

import time
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.records import Broken, Record
from tasks.data.sources.delimited import csv_records
from tasks.data.sources.framing import as_utf8, framed
from tasks.data.sources.objects import Caps
from tasks.data.sources.unpacking import Damaged
from tests.sources import Read, broken, csv_of, values

CAPS = Caps()


def read_bytes(
    data: bytes, caps: Caps = CAPS, chunk: int = 1 << 20, *, growing: bool = False, damage: str = ""
) -> Read:
    def chunks() -> Iterator[bytes]:
        yield from (data[i : i + chunk] for i in range(0, len(data), chunk))
        if damage:
            raise Damaged(damage)

    return list(csv_records(framed(as_utf8(chunks()), caps.line_bytes, lambda: growing), caps))


def rows(found: Read) -> list[tuple[int, str]]:
    return [(one.line, next(iter(one.value.values()))) for one in found if isinstance(one, Record)]


def test_fields_may_hold_line_ends_quotes_and_commas_and_a_record_keeps_its_lines() -> None:
    data = b'prompt,chosen\r\n"a\r\nb, c","he said ""no"""\r\nd,e\r\n'
    found = read_bytes(data)
    assert values(found) == [{"prompt": "a\r\nb, c", "chosen": 'he said "no"'}, {"prompt": "d", "chosen": "e"}]
    assert [(one.line, one.raw) for one in found] == [(2, b'"a\r\nb, c","he said ""no"""'), (4, b"d,e")]


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_the_first_column_name(mark: str) -> None:
    assert values(read_bytes("prompt,chosen\nfür,b\n".encode(mark))) == [{"prompt": "für", "chosen": "b"}]


@pytest.mark.parametrize("delimiter", ";\t")
def test_a_header_without_a_comma_is_split_at_semicolons_or_tabs(delimiter: str) -> None:
    assert values(read_bytes(f"p{delimiter}c\na, b{delimiter}d\n".encode())) == [{"p": "a, b", "c": "d"}]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"q", "1 fields, and the header has 2"),
        (b"q,y,extra", "3 fields, and the header has 2"),
        (b'"q"x,y', "not CSV"),
        (b'"q,y', "a quote that opens here is never closed"),
        (b"q\xff,y", "not UTF-8: invalid start byte at byte 2 of line 3"),
        (b"q\x00,y", "NUL"),
        (b"q\ry,y", "not CSV"),
    ],
)
def test_a_row_that_is_none_is_one_broken_and_the_rows_around_it_are_read(line: bytes, reason: str) -> None:
    found = read_bytes(b"p,c\na,1\n" + line + b"\nb,2\nc,3\n")
    assert rows(found) == [(2, "a"), (4, "b"), (5, "c")]
    (one,) = broken(found)
    assert (one.line, one.raw) == (3, line)
    assert reason in one.error


def test_a_quote_that_is_never_closed_costs_its_own_line_only() -> None:
    many = b"".join(b"q%d,y\n" % n for n in range(1000))
    found = read_bytes(b'p,c\na,"1\n' + many, chunk=100)
    assert len(values(found)) == 1000
    assert [(one.line, one.error) for one in broken(found)] == [(2, "a quote that opens here is never closed")]


def test_a_quote_that_a_far_one_closes_by_chance_does_not_swallow_the_rows_between() -> None:
    many = b"".join(b"q%d,y\n" % n for n in range(100))
    found = read_bytes(b'p,c\na,"1\n' + many + b'b"\n' + many)
    assert len(values(found)) == 200
    assert [one.line for one in broken(found)] == [2, 103]


def test_a_long_text_in_quotes_is_one_field() -> None:
    text = "\n".join(f"line {n} of a letter" for n in range(60))
    assert values(read_bytes(csv_of([{"p": "q", "c": text}]))) == [{"p": "q", "c": text}]


@pytest.mark.parametrize("chunk", [1, 13, 1 << 20])
def test_a_record_or_line_above_the_cap_is_broken_and_the_next_line_read(chunk: int) -> None:
    caps = Caps(line_bytes=30)
    found = read_bytes(b'p,c\na,"' + b"x\n" * 40 + b'"\nb,2\nc,' + b"y" * 50 + b"\nd,4\n", caps, chunk)
    assert rows(found)[-2:] == [(43, "b"), (45, "d")]
    assert broken(found)[0].error == "a quote that opens here is never closed"
    assert "more than 30 bytes" in broken(found)[-1].error


def test_an_overlong_line_within_quotes_ends_the_record_before_it() -> None:
    found = read_bytes(b'p,c\na,"1\n' + b"y" * 50 + b"\nb,2\n", Caps(line_bytes=30))
    assert rows(found) == [(4, "b")]
    assert [one.line for one in broken(found)] == [2, 3]


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"p,c,p", "the column 'p' twice"),
        (b'p,"c', "can't be read"),
        (b"p,\xff", "can't be read: not UTF-8"),
        (b"p" * 100, "can't be read: a line of more than 50"),
    ],
)
def test_a_header_that_is_none_makes_the_object_one_broken(header: bytes, reason: str) -> None:
    (one,) = read_bytes(header + b"\na,b\n", Caps(line_bytes=50))
    assert isinstance(one, Broken)
    assert (one.line, reason in one.error) == (0, True)


def test_blank_lines_before_and_between_are_no_rows() -> None:
    assert rows(read_bytes(b"\n\r\np,c\n\na,b\n\r\n")) == [(5, "a")]


def test_a_file_that_grows_leaves_its_last_half_row_for_tomorrow() -> None:
    assert rows(read_bytes(b"p,c\na,1\nb,2", growing=True)) == [(2, "a")]
    assert read_bytes(b'p,c\na,1\nb,"2\nc', growing=True) == read_bytes(b"p,c\na,1\n")


def test_where_packed_data_breaks_off_the_half_row_is_in_the_one_broken() -> None:
    found = read_bytes(b'p,c\na,1\nb,"2\nc', damage="cut off")
    assert rows(found) == [(2, "a")]
    assert broken(found) == [Broken(b'b,"2\nc', 0, "cut off; read up to line 2")]


fields = st.text(st.sampled_from(list('ab,"\n\r ü;')), max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(fields, fields), max_size=15), st.integers(1, 40))
def test_whatever_a_csv_writer_writes_is_read_back(table: list[tuple[str, str]], chunk: int) -> None:
    records = [{"p": first + "x", "c": second} for first, second in table]
    data = csv_of(records, lineterminator="\r\n") if records else b"p,c\r\n"
    found = read_bytes(data, chunk=chunk)
    assert values(found) == records
    assert broken(found) == []


@settings(deadline=None)
@given(st.binary(max_size=200).map(lambda data: data.replace(b"\xff\xfe", b"").replace(b"\xfe\xff", b"")))
def test_no_bytes_are_lost_silently_between_rows(data: bytes) -> None:
    """Every line that isn't blank stands in a record, in a broken one, or in the header."""
    found = read_bytes(b"p,c\n" + data)
    lines = data.split(b"\n")
    covered = {line for one in found for line in range(one.line, one.line + one.raw.count(b"\n") + 1)}
    missing = [line for line, text in enumerate(lines, 2) if text.strip(b"\r") and line not in covered]
    assert missing == []


def test_quotes_on_every_line_take_no_quadratic_time() -> None:
    started = time.process_time()
    found = read_bytes(b"p,c\n" + b'a,"b\n' * 20_000)
    assert time.process_time() - started < 5
    assert len(broken(found)) >= 10_000
