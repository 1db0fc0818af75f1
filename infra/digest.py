"""Digests and the frozen record they are taken of.

A digest is ``sha256:`` and 64 hex digits over canonical JSON: sorted keys, no white space, UTF-8, finite numbers.
What has no single canonical form (a set, NaN, a path, an object) raises and the message names the field.
"""

import hashlib
import json
import math
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, StringConstraints

from infra.errors import UnstableValue

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]

_CHUNK = 1 << 20


def digest_bytes(data: bytes) -> Digest:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_file(path: Path) -> Digest:
    """Digest of a file's bytes, read in chunks."""
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return "sha256:" + sha.hexdigest()


def digest_of(value: Any) -> Digest:
    """Digest of any JSON-like value or record.

    Raises:
        UnstableValue: when a part of it has no canonical form; the message names the field.
    """
    return digest_bytes(canonical_json(value))


def canonical_json(value: Any) -> bytes:
    return json.dumps(
        _stable(value, "$"), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _stable(value: Any, where: str) -> Any:
    if isinstance(value, Record):
        return _stable(value.identity(), where)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnstableValue(f"{where} is {value}, which has no digest", do="find out why it isn't a finite number")
        return value
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [_stable(part, f"{where}[{i}]") for i, part in enumerate(value)]
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise UnstableValue(f"{where} has the key {key!r}", do="use text keys only")
        return {key: _stable(part, f"{where}.{key}") for key, part in value.items()}
    raise UnstableValue(
        f"{where} is a {type(value).__name__} ({value!r:.80}), which has no canonical form",
        do="turn it into text, numbers, lists or records first; a path doesn't belong into a digest",
    )


class Record(BaseModel):
    """A frozen record. Unknown fields, NaN and infinities are refused.

    ``NOT_IDENTITY`` names the fields that don't change what the record is (where it ran, when, what it cost).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset()

    def identity(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in type(self).model_fields if name not in self.NOT_IDENTITY}

    @property
    def digest(self) -> Digest:
        # computed each time: a cached one would travel along with model_copy(update=...) and lie
        return digest_of(self)


def short(digest: Digest, length: int = 8) -> str:
    """The first hex digits, for names and messages."""
    return digest.removeprefix("sha256:")[:length]


def code_revision(*places: Path) -> Digest:
    """Digest of the Python, TOML, JSON and template files under ``places``: the revision of what makes a result."""
    files = sorted(
        {
            file
            for place in places
            for file in ([place] if place.is_file() else place.rglob("*"))
            if file.suffix in {".py", ".toml", ".json", ".html"}
        }
    )
    return digest_of([[file.name, digest_file(file)] for file in files])
