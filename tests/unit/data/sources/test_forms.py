"""Every form and compression gives the same records, with their lines and their bytes."""

import json
from pathlib import Path

import pytest

from tasks.data.records import Record
from tests.sources import FORMS, PACKERS, RECORDS, broken, read, values, write


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_compression_gives_the_same_records(tmp_path: Path, form: str, packing: str) -> None:
    found = read(write(tmp_path / f"a{form}{packing}", PACKERS[packing](FORMS[form](RECORDS))))
    assert values(found) == RECORDS
    assert broken(found) == []
    assert [one.line for one in found] == [n + (2 if form == ".csv" else 1) for n in range(5)]


@pytest.mark.parametrize("form", FORMS)
def test_a_record_keeps_its_bytes_as_they_came(tmp_path: Path, form: str) -> None:
    data = FORMS[form](RECORDS)
    for one in read(write(tmp_path / f"a{form}", data)):
        assert isinstance(one, Record)
        if form == ".parquet":
            assert json.loads(one.raw) == one.value
        else:
            assert data.split(b"\n")[one.line - 1] == one.raw


@pytest.mark.parametrize("name", ["A.JSONL", "a.ndjson", "a.Jsonl.GZ"])
def test_an_ending_counts_in_capitals_too(tmp_path: Path, name: str) -> None:
    data = FORMS[".jsonl"](RECORDS)
    assert values(read(write(tmp_path / name, PACKERS[".gz"](data) if name.endswith("GZ") else data))) == RECORDS


@pytest.mark.parametrize("packing", [".gz", ".zst"])
def test_packed_parts_one_after_another_are_one_object(tmp_path: Path, packing: str) -> None:
    pack = PACKERS[packing]
    data = pack(FORMS[".jsonl"](RECORDS[:2])) + pack(b"") + pack(FORMS[".jsonl"](RECORDS[2:]))
    assert values(read(write(tmp_path / f"a.jsonl{packing}", data))) == RECORDS


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_an_empty_file_has_no_records_and_nothing_broken(tmp_path: Path, name: str) -> None:
    assert read(write(tmp_path / name, b"")) == []


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.zst", "a.parquet"])
def test_an_empty_file_that_has_to_hold_something_is_said_to_be_broken(tmp_path: Path, name: str) -> None:
    (one,) = broken(read(write(tmp_path / name, b"")))
    assert one.line == 0
