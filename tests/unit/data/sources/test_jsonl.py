"""JSON Lines: what is no record is one Broken that says why, and the lines around it are read."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.records import Broken, Record
from tasks.data.sources.framing import as_utf8, framed
from tasks.data.sources.jsonl import json_record, json_records
from tasks.data.sources.objects import KEPT_BYTES, Caps
from tests.sources import RECORDS, Read, broken, jsonl, read, values, write

CAPS = Caps()


def read_bytes(data: bytes, caps: Caps = CAPS, chunk: int = 1 << 20) -> Read:
    chunks = (data[i : i + chunk] for i in range(0, len(data), chunk))
    return list(json_records(framed(as_utf8(chunks), caps.line_bytes, lambda: False), caps))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "cut', "not JSON: Unterminated string"),
        (b"[1, 2]", "a list, not an object"),
        (b"null", "a NoneType, not an object"),
        (b'{"a": 1} {"a": 2}', "something follows its end"),
        (b'{"a": "\xff"}', "not UTF-8: invalid start byte at byte 8"),
        (b'{"a": "b\x00c"}', "NUL"),
        (b'{"a": 1, "b": {"chosen": 1, "chosen": 2}}', "the key 'chosen' stands twice"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": [-Infinity]}', "-Infinity is no number"),
        (b'{"a": 1e999}', "the number 1e999 is too large"),
        (b'{"a": ' + b"1" * 5000 + b"}", "4300 digits"),
        (b"[" * 100_000, "nested deeper than 64"),
        (b'{"a": ' * 65 + b"1" + b"}" * 65, "nested deeper than 64"),
        (b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "nested deeper than 64"),
        (b'{"a": "\\ud83d"}', "half a surrogate pair"),
        (b'{"a": {"\\uDc00x": 1}}', "half a surrogate pair"),
    ],
)
def test_a_line_that_is_no_record_is_one_broken_with_its_bytes_and_reason(line: bytes, reason: str) -> None:
    found = read_bytes(jsonl(RECORDS[:2]) + line + b"\n" + jsonl(RECORDS[2:]))
    assert values(found) == RECORDS
    (one,) = broken(found)
    assert reason in one.error
    assert (one.line, one.raw) == (3, line[:KEPT_BYTES])


@pytest.mark.parametrize(
    ("line", "value"),
    [
        (b'{"a": ' * 64 + b"1" + b"}" * 64, None),
        (b'{"a": "' + b"[{" * 100 + b'"}', {"a": "[{" * 100}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "\N{GRINNING FACE}"}),
        (b'{"a": "\\\\ud83d"}', {"a": "\\ud83d"}),
        (b'{"a": "\\u0000\\u0007<|im_start|>"}', {"a": "\0\7<|im_start|>"}),
        (b'  {"a": "1"}\t ', {"a": "1"}),
        (b'{"a": 1}\r', {"a": 1}),
        (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    ],
)
def test_what_only_looks_broken_is_a_record(line: bytes, value: dict[str, Any] | None) -> None:
    (one,) = read_bytes(b"\n" + line + b"\n")
    assert isinstance(one, Record)
    assert value is None or one.value == value
    assert one.raw == line.removesuffix(b"\r")


def test_lines_of_other_fields_are_records_as_they_are() -> None:
    mixed: list[dict[str, Any]] = [{"prompt": "a"}, {"messages": []}, {"prompt": 3, "x": None}, {}]
    assert values(read_bytes(jsonl(mixed))) == mixed


def test_blank_lines_are_counted_and_nothing_else() -> None:
    found = read_bytes(b'\n\r\n  \n{"a": 1}\n\n')
    assert found == [Record({"a": 1}, b'{"a": 1}', 4)]


def test_a_last_line_without_its_end_is_read() -> None:
    assert read_bytes(b'{"a": 1}\n{"a": 2}')[-1] == Record({"a": 2}, b'{"a": 2}', 2)
    assert isinstance(read_bytes(b'{"a": 1}\n{"a": 2')[-1], Broken)


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_says_how_to_read_and_is_no_data(mark: str) -> None:
    found = read_bytes(jsonl(RECORDS).decode().encode(mark), chunk=7)
    assert values(found) == RECORDS
    assert broken(found) == []


def test_utf16_of_the_other_byte_order_is_read_too() -> None:
    assert values(read_bytes(b"\xfe\xff" + jsonl(RECORDS).decode().encode("utf-16-be"))) == RECORDS


def test_half_a_surrogate_pair_in_utf16_breaks_its_line_alone() -> None:
    text = '{"a": "x"}\n{"a": "\ud83d"}\n{"a": "y"}\n'
    found = read_bytes(b"\xff\xfe" + text.encode("utf-16-le", "surrogatepass"))
    assert values(found) == [{"a": "x"}, {"a": "y"}]
    assert [one.line for one in broken(found)] == [2]


def test_utf16_that_ends_in_half_a_character_is_said_and_what_was_whole_is_kept() -> None:
    found = read_bytes(jsonl(RECORDS).decode().encode("utf-16")[:-1])
    assert values(found) == RECORDS
    assert [(one.line, "half a UTF-16 character" in one.error) for one in broken(found)] == [(0, True)]


def test_utf16_without_a_mark_is_broken_and_says_what_it_looks_like() -> None:
    found = read_bytes(jsonl(RECORDS).decode().encode("utf-16-le"))
    assert values(found) == []
    assert all("UTF-16 without a byte order mark" in one.error for one in broken(found)[:5])


@pytest.mark.parametrize("chunk", [1, 10, 99, 1 << 20])
@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_above_the_cap_is_broken_and_the_next_one_read(chunk: int, end: bytes) -> None:
    caps = Caps(line_bytes=40)
    exact = b'{"a": "' + b"x" * 31 + b'"}'
    found = read_bytes(exact + b"\n" + exact + b" \n" + exact + b"\n" + exact + b" " * 200 + end, caps, chunk)
    assert [one.line for one in found if isinstance(one, Record)] == [1, 3]
    assert [(one.line, one.error[:30]) for one in broken(found)] == [
        (n, "a line of more than 40 bytes; ") for n in (2, 4)
    ]


def test_of_a_huge_line_64_kib_are_kept_and_little_is_held(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"a": 1}\n{"b": "')
        for _ in range(40):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n{"a": 2}\n')
    tracemalloc.start()
    found = read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert values(found) == [{"a": 1}, {"a": 2}]
    (one,) = broken(found)
    assert (one.line, len(one.raw), one.raw[:8]) == (2, KEPT_BYTES, b'{"b": "x')
    assert peak < 45 << 20  # the cap of 16 MiB, once more while it is cut, and some chunks


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=12,
)
any_line = st.one_of(
    st.dictionaries(st.text(max_size=5), json_values, max_size=4).map(lambda value: json.dumps(value).encode()),
    json_values.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")),
    st.binary(max_size=40).map(lambda data: data.replace(b"\n", b" ")),
    st.sampled_from([b"", b"\r", b"{}", b'{"a":1,"a":1}', b"\xef\xbb\xbf{}", b'{"a": [[[[]]]]}', b"[[[[[]]]]]"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(any_line, max_size=12), st.integers(1, 60), st.booleans())
def test_many_lines_at_once_are_read_as_each_alone(lines: list[bytes], chunk: int, ended: bool) -> None:
    caps = Caps(depth=3, line_bytes=60)
    data = b"\n".join(lines) + b"\n" * ended
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        return
    alone = [json_record(line, number, caps) for number, line in enumerate(lines, 1) if len(line) <= 60]
    found = [
        one for one in read_bytes(data, caps, chunk) if not (isinstance(one, Broken) and "more than 60" in one.error)
    ]
    assert found == [one for one in alone if one is not None]


def test_a_file_is_read_like_its_bytes(tmp_path: Path) -> None:
    data = jsonl(RECORDS) + b"oops\n"
    assert read(write(tmp_path / "a.jsonl", data)) == read_bytes(data)
