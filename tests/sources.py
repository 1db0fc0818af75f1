"""What tests of sources share: files of every form, and what is read from them."""

import csv
import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from backports import zstd

from infra.settings import Settings, load_settings
from tasks.data.records import Broken, Record
from tasks.data.sources.listing import list_objects
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.reading import read_object
from tasks.data_spec import SourceSpec

Read = list[Record | Broken]

RECORDS = [
    {"id": f"r{n}", "prompt": f"question {n}, why?", "chosen": f"yes, {n}: für ü", "rejected": "no"} for n in range(5)
]

PACKERS = {"": bytes, ".gz": lambda data: gzip.compress(data, mtime=0), ".zst": zstd.compress}


def jsonl(records: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def csv_of(records: Sequence[dict[str, Any]], **options: Any) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(records[0]), **{"lineterminator": "\n", **options})
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def parquet(records: Sequence[dict[str, Any]], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(records)), sink, **options)
    return sink.getvalue()


FORMS = {".jsonl": jsonl, ".csv": csv_of, ".parquet": parquet}


def listed(path: Path | str, kind: str = "pairs", settings: Settings | None = None) -> list[SourceObject]:
    spec = SourceSpec.model_validate({"path": str(path), "kind": kind})
    return list_objects(spec, Path("/nowhere"), settings or load_settings())


def read(path: Path, caps: Caps | None = None) -> Read:
    """All of one file, as it is now."""
    (obj,) = listed(path)
    return list(read_object(obj, caps or Caps(), load_settings()))


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def values(found: Read) -> list[dict[str, Any]]:
    return [one.value for one in found if isinstance(one, Record)]


def broken(found: Read) -> list[Broken]:
    return [one for one in found if isinstance(one, Broken)]
