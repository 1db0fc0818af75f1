"""What is to be forgotten: a customer's records leave the next snapshot, and never come back by being read again.

``HOME/data/forgotten.jsonl`` is the list: one line a request, appended, never edited.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from infra.digest import Digest, Record, digest_of
from tasks.data.arrow import compute as pc
from tasks.errors import SourceError


class Request(Record):
    """One request: all rows of a tenant, or all rows of one record (its ``id``)."""

    what: Literal["tenant", "id"]
    value: str
    why: str
    by: str
    at: str


class Forgotten(NamedTuple):
    """All requests by now."""

    requests: tuple[Request, ...]

    @property
    def digest(self) -> Digest:
        return digest_of(sorted([one.what, one.value] for one in self.requests))

    def filter(self, rows: pa.Table) -> pa.Table:
        """The rows that are not to be forgotten."""
        if not self.requests:
            return rows
        gone = pc.is_in(rows["tenant"], pa.array(self._values("tenant"), pa.string()))
        return rows.filter(pc.invert(pc.or_(gone, of_records(rows["id"], self._values("id")))))

    def _values(self, what: str) -> list[str]:
        return [one.value for one in self.requests if one.what == what]


def of_records(ids: pa.ChunkedArray, records: Sequence[str]) -> pa.ChunkedArray:
    """Which row ids are of these records: a record's own id, or that with ``/`` and a part where it made several."""
    found = pc.is_in(ids, pa.array(records, pa.string()))
    for record in records:
        found = pc.or_(found, pc.starts_with(ids, f"{record}/"))
    return found


def forgotten_file(kept: Path) -> Path:
    return kept / "forgotten.jsonl"


def read_forgotten(kept: Path) -> Forgotten:
    """All requests.

    Raises:
        SourceError: a line is none of ours; nothing is collected until it is mended, as it might be a request.
    """
    path = forgotten_file(kept)
    if not path.is_file():
        return Forgotten(())
    try:
        return Forgotten(
            tuple(Request.model_validate_json(line) for line in path.read_bytes().splitlines() if line.strip())
        )
    except ValueError as error:
        raise SourceError(
            f"{path} has a line that is no request: {str(error).splitlines()[0]}",
            do="mend the line; nothing is collected until then, as it may ask for a customer's records to be forgotten",
        ) from error


def ask_to_forget(kept: Path, what: Literal["tenant", "id"], value: str, why: str, by: str) -> Request:
    """Append a request; it counts from the next night on."""
    request = Request(what=what, value=value, why=why, by=by, at=datetime.now(UTC).isoformat(timespec="seconds"))
    path = forgotten_file(kept)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(json.dumps(request.model_dump(), ensure_ascii=False).encode() + b"\n")
    return request
