"""Sources (adaptor until the readers land)."""

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq

from infra.digest import Record as Frozen
from infra.digest import digest_file
from infra.settings import Settings
from tasks.data.readers import source_files
from tasks.data.records import Broken, Record
from tasks.recipe import SourceSpec


class Caps(Frozen):
    line_bytes: int = 16 << 20


class SourceObject(NamedTuple):
    name: str
    url: str
    size: int
    version: str


def list_objects(spec: SourceSpec, root: Path, settings: Settings) -> list[SourceObject]:
    return [SourceObject(one.name, str(one), one.stat().st_size, "") for one in source_files(spec.path, root)]


def identity(found: SourceObject) -> str:
    return found.version or digest_file(Path(found.url))


def read_object(found: SourceObject, caps: Caps, settings: Settings) -> Iterator[Record | Broken]:
    path = Path(found.url)
    if path.name.endswith(".parquet"):
        number = 0
        for batch in pq.ParquetFile(path).iter_batches():
            for record in batch.to_pylist():
                number += 1
                yield Record(record, json.dumps(record, default=str).encode(), number)
        return
    opened = gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb")
    with opened as file:
        if ".csv" in path.name:
            for number, record in enumerate(csv.DictReader(io.TextIOWrapper(file, "utf-8-sig", newline="")), 2):
                extra = record.pop(None, None)
                raw = json.dumps(record).encode()
                if extra or None in record.values():
                    yield Broken(raw, number, "another number of fields than the header")
                else:
                    yield Record(dict(record), raw, number)
            return
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            raw = line.rstrip(b"\r\n")
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield Broken(raw, number, f"not JSON: {error}")
                continue
            if isinstance(record, dict):
                yield Record(record, raw, number)
            else:
                yield Broken(raw, number, f"a {type(record).__name__}, not an object")
