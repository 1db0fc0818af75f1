"""JSON Lines as bytes. ``str.splitlines`` also cuts at U+2028 and its like, which JSON text holds unescaped."""

import json
from collections.abc import Iterable
from typing import Any


def dump_lines(records: Iterable[Any]) -> bytes:
    """One record a line."""
    return "".join(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records).encode()


def load_lines(data: bytes) -> list[Any]:
    """The records of all lines that aren't blank."""
    return [json.loads(line) for line in data.splitlines() if line.strip()]
