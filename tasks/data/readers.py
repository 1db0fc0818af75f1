"""Read the files of a source: JSONL, Parquet and CSV, plain or gzip, one file or a folder of them."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from infra.digest import digest_file, digest_of
from tasks.contracts import SourceFile
from tasks.data.rows import broken_row, pair_row
from tasks.errors import SourceError

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")

# one field of a CSV may hold a whole conversation; Python's default limit is 128 KiB
_CSV_FIELD_LIMIT = 16 << 20


def source_files(source: str, root: Path) -> list[Path]:
    """The files of one source, sorted by name.

    Raises:
        SourceError: the path doesn't exist, or holds no file of a known form.
    """
    path = Path(source).expanduser()
    path = path if path.is_absolute() else root / path
    if path.is_file():
        if not path.name.endswith(ENDINGS):
            raise SourceError(
                f"the source {source} has an ending that is none of {', '.join(ENDINGS)}", do="rename or convert it"
            )
        return [path]
    if not path.is_dir():
        raise SourceError(
            f"the source {source} doesn't exist (looked at {path})",
            do="mend `sources` in the recipe, or --set sources=PATH",
        )
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(ENDINGS))
    if not files:
        raise SourceError(
            f"the folder {path} holds no file ending in {', '.join(ENDINGS)}", do="put the day's preferences there"
        )
    return files


def fingerprint(sources: tuple[str, ...], root: Path) -> str:
    """Digest of all sources' names and bytes: the same bytes are the same night, whatever the folder they lie in."""
    return digest_of([[file.name, _digest(file)] for source in sources for file in source_files(source, root)])


def read_file(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of one file. A bad line becomes a row with an error; a file that can't be read at all raises.

    Raises:
        SourceError: names the file and what is wrong with it.
    """
    try:
        if path.name.endswith(".parquet"):
            yield from _parquet(path)
        elif ".csv" in path.name:
            yield from _csv(path)
        else:
            yield from _jsonl(path)
    except (OSError, EOFError, pa.ArrowInvalid, csv.Error, UnicodeDecodeError) as error:
        raise SourceError(
            f"the source {path} can't be read: {error}",
            do="check the file: is it complete, and of the form its ending says?",
        ) from error


def source_file(path: Path, rows: int) -> SourceFile:
    return SourceFile(path=str(path), name=path.name, digest_=_digest(path), size=path.stat().st_size, rows=rows)


def _digest(path: Path) -> str:
    try:
        return digest_file(path)
    except OSError as error:
        raise SourceError(
            f"the source {path} can't be read: {error.strerror}", do="check its permissions and disk"
        ) from error


def _open(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _jsonl(path: Path) -> Iterator[dict[str, Any]]:
    with _open(path) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, a number or a nesting without end
                yield broken_row(line.rstrip(b"\r\n"), f"not JSON: {error}", path.name, number)
                continue
            if isinstance(record, dict):
                yield pair_row(record, path.name, number)
            else:
                yield broken_row(line.rstrip(b"\r\n"), f"a {type(record).__name__}, not an object", path.name, number)


def _csv(path: Path) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(_CSV_FIELD_LIMIT)
    with _open(path) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as file:
        for number, record in enumerate(csv.DictReader(file), 2):  # line 1 is the header
            extra = record.pop(None, None)  # pyright: ignore[reportArgumentType, reportCallIssue]
            if extra or any(value is None for value in record.values()):
                yield broken_row(json.dumps(record), "another number of fields than the header", path.name, number)
            else:
                yield pair_row(dict(record), path.name, number)


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for record in batch.to_pylist():
                number += 1
                yield pair_row(record, path.name, number)
