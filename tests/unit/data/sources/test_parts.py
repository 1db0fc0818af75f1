"""A large file in parts gives what the whole gives, line numbers included."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import load_settings
from tasks.data.records import Broken, Record
from tasks.data.sources.listing import list_objects
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.parts import parts_of, read_part
from tasks.data.sources.reading import read_object
from tasks.data_spec import SourceSpec
from tasks.errors import SourceError

CAPS = Caps(line_bytes=80)


def written(folder: Path, data: bytes, name: str = "rows.jsonl", age: float = 3600.0) -> SourceObject:
    path = folder / name
    path.write_bytes(data)
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))
    (found,) = list_objects(SourceSpec(path=str(path)), folder, load_settings())
    return found


LINES = st.one_of(
    st.integers(0, 10**6).map(lambda n: f'{{"id": {n}, "text": "ü"}}'.encode()),
    st.just(b""),
    st.just(b"{cut"),
    st.just(b'{"long": "' + b"x" * 200 + b'"}'),
    st.binary(max_size=12).map(lambda data: data.replace(b"\n", b"")),
)


@given(
    st.lists(LINES, max_size=30),
    st.integers(1, 120),
    st.sampled_from([b"", b"\xef\xbb\xbf"]),
    st.sampled_from([b"", b"\n", b'{"id": 1}', b"{half"]),
)
def test_parts_give_what_the_whole_gives(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], size: int, mark: bytes, tail: bytes
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    obj = written(folder, mark + b"".join(line + b"\n" for line in lines) + tail)
    parts = parts_of(obj, size)
    if not parts:
        assert obj.size < 2 * size or (folder / "rows.jsonl").read_bytes()[:2] in (b"\xff\xfe", b"\xfe\xff")
        return
    assert [part.begin for part in parts[1:]] == [part.end for part in parts[:-1]]
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    found: list[Record | Broken] = [one for part in parts for one in read_part(obj, part, CAPS)]
    assert found == list(read_object(obj, CAPS, load_settings()))


def test_what_may_still_be_written_or_is_no_plain_jsonl_is_read_as_a_whole(tmp_path: Path) -> None:
    data = b'{"id": 1}\n' * 100
    assert len(parts_of(written(tmp_path, data), 100)) > 5
    assert parts_of(written(tmp_path, data, age=0.0), 100) == []
    assert parts_of(written(tmp_path, data, name="rows.csv"), 100) == []
    assert parts_of(written(tmp_path, '{"id": 1}\n'.encode("utf-16") * 100), 100) == []
    assert parts_of(written(tmp_path, data), 1000) == []


def test_a_file_that_is_written_while_its_parts_are_read_ends_the_night_by_name(tmp_path: Path) -> None:
    obj = written(tmp_path, b'{"id": 1}\n' * 100)
    first, *_ = parts_of(obj, 100)
    with Path(obj.url).open("ab") as file:
        file.write(b'{"id": 2}\n')
    with pytest.raises(SourceError, match=r"rows\.jsonl") as refused:
        list(read_part(obj, first, CAPS))
    assert "start the night again" in refused.value.do
