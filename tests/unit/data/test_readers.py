"""Files of every form give the same rows; a broken line is one row, a broken file is one clear error."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.store import Store
from tasks.data.collect import make_snapshot
from tasks.data.readers import fingerprint, read_file, source_files
from tasks.errors import SourceError

RECORDS = [{"id": f"r{n}", "prompt": f"question {n}?", "chosen": f"yes, {n}", "rejected": "no"} for n in range(5)]


def write(path: Path, records: list[dict[str, Any]] = RECORDS) -> Path:
    text = io.StringIO(newline="")
    if ".csv" in path.name:
        writer = csv.DictWriter(text, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    else:
        text.writelines(json.dumps(record) + "\n" for record in records)
    if path.name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        data = text.getvalue().encode()
        path.write_bytes(gzip.compress(data) if path.name.endswith(".gz") else data)
    return path


def texts(rows: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    return [(row["id"], row["prompt_text"], row["chosen_text"], row["rejected_text"]) for row in rows]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.parquet"])
def test_every_file_form_gives_the_same_rows_with_their_origin(tmp_path: Path, name: str) -> None:
    rows = list(read_file(write(tmp_path / name)))
    assert texts(rows) == [(r["id"], r["prompt"], r["chosen"], r["rejected"]) for r in RECORDS]
    assert {row["source"] for row in rows} == {name}
    assert [row["line"] for row in rows] == [n + (2 if ".csv" in name else 1) for n in range(5)]


def test_conversations_survive_parquet(tmp_path: Path) -> None:
    record = {
        "prompt": [{"role": "user", "content": "q"}],
        "chosen": [{"role": "assistant", "content": "y"}],
        "rejected": [{"role": "assistant", "content": "n"}],
    }
    (row,) = read_file(write(tmp_path / "a.parquet", [record]))
    assert (row["error"], row["roles"]) == (None, "user|assistant|assistant")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id": "cut', "not JSON"),
        (b"[1, 2]", "a list, not an object"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"1" * 5000, "not JSON"),
        (b'{"prompt": "q", "chosen": "\\ud83d", "rejected": "n"}', "not Unicode"),
    ],
)
def test_a_broken_line_is_one_row_with_its_bytes_and_the_rest_is_read(tmp_path: Path, line: bytes, reason: str) -> None:
    path = write(tmp_path / "a.jsonl")
    path.write_bytes(path.read_bytes() + line + b"\n" + json.dumps(RECORDS[0]).encode() + b"\n")
    rows = list(read_file(path))
    assert [row["error"] is None for row in rows] == [True] * 5 + [False, True]
    assert reason in rows[5]["error"]
    assert rows[5]["line"] == 6
    assert rows[5]["raw"]


def test_a_csv_row_with_another_number_of_fields_is_one_broken_row(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("prompt,chosen,rejected\nq,y,n\nq,y\nq,y,n,extra\n")
    assert [row["error"] for row in read_file(path)] == [None, *["another number of fields than the header"] * 2]


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"\xef\xbb\xbfprompt,chosen,rejected\r\nq,y,n\r\n")
    (row,) = read_file(path)
    assert (row["prompt_text"], row["rejected_text"], row["error"]) == ("q", "n", None)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(RECORDS[0]).encode() + b"\r\n")
    (row,) = read_file(path)
    assert (row["prompt_text"], row["error"]) == ("question 0?", None)


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.csv.gz", "a.parquet"])
def test_a_file_cut_off_in_the_middle_is_refused_with_its_name(tmp_path: Path, name: str) -> None:
    many = [{**record, "chosen": f"{n} {record['chosen']}"} for n in range(200) for record in RECORDS]
    path = write(tmp_path / name, many)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError, match=rf"{name} can't be read.*(?s:.*)is it complete"):
        list(read_file(path))


def test_text_that_only_claims_to_be_gzip_or_parquet_is_refused(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "a.parquet"):
        (tmp_path / name).write_text("hello")
        with pytest.raises(SourceError, match="can't be read"):
            list(read_file(tmp_path / name))


def test_a_csv_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes("prompt,chosen,rejected\nq,für,n\n".encode("latin-1"))
    with pytest.raises(SourceError, match=r"a\.csv can't be read"):
        list(read_file(tmp_path / "a.csv"))


@pytest.mark.parametrize(
    ("source", "message"),
    [("gone.jsonl", "doesn't exist"), ("empty", "holds no file ending in"), ("notes.txt", "an ending that is none of")],
)
def test_a_source_that_can_not_be_one_is_named(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(SourceError, match=message) as caught:
        source_files(source, tmp_path)
    assert source in str(caught.value)


def test_sources_without_a_row_are_an_error_not_a_quiet_night(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n\n")
    with pytest.raises(SourceError, match="hold no rows"):
        make_snapshot(("a.jsonl",), tmp_path, Store(tmp_path / "store"))


def test_a_folder_is_read_in_order_of_names_into_one_immutable_snapshot(tmp_path: Path) -> None:
    (tmp_path / "day").mkdir()
    write(tmp_path / "day" / "b.jsonl")
    write(tmp_path / "day" / "a.csv")
    (tmp_path / "day" / "readme.txt").write_text("not data")
    store = Store(tmp_path / "store")
    snapshot = make_snapshot(("day",), tmp_path, store)
    assert [(file.name, file.rows) for file in snapshot.files] == [("a.csv", 5), ("b.jsonl", 5)]
    assert snapshot.n_rows == pq.read_table(store.open_path(snapshot.rows.digest_)).num_rows == 10
    assert make_snapshot(("day",), tmp_path, store).digest == snapshot.digest


def test_the_same_bytes_elsewhere_are_the_same_night_and_one_changed_byte_is_another(tmp_path: Path) -> None:
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a.jsonl")
    here = fingerprint(("here",), tmp_path)
    assert here == fingerprint(("there",), tmp_path)
    write(tmp_path / "there" / "a.jsonl", RECORDS[:4])
    assert here != fingerprint(("there",), tmp_path)
