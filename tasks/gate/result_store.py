"""Results item by item, on disk as soon as they are there: a killed scoring goes on where it stopped.

One folder a (model, scorer, engine), in it one append-only file a writer, so that several processes never share one.
Results are found by the item's digest: a rotation or a larger cut scores only what it has never seen. A line that is
damaged or cut, or contradicts another, counts as absent.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from infra.digest import Digest, digest_of
from tasks.gate.scorecard import ItemResult

# an item whose log-probabilities weren't finite has been scored too: its result is that it has none
Found = dict[Digest, ItemResult | None]


class ResultStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / f"{uuid4().hex[:12]}.jsonl"

    def add(self, results: Mapping[Digest, ItemResult | None]) -> None:
        """Write these results, on disk before this returns."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._file.open("ab") as file:
            for item, result in results.items():
                body = None if result is None else result.model_dump(mode="json")
                line = {"item": item, "result": body, "sum": _sum(item, body)}
                file.write(json.dumps(line, ensure_ascii=True, allow_nan=False).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> Found:
        """All sound results of all writers, by the item's digest."""
        found: Found = {}
        contradicted: set[Digest] = set()
        for item, result in self._sound():
            if item in found and found[item] != result:
                contradicted.add(item)
            found[item] = result
        return {item: result for item, result in found.items() if item not in contradicted}

    def _sound(self) -> Iterable[tuple[Digest, ItemResult | None]]:
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                parsed = _parsed(line)
                if parsed is not None:
                    yield parsed


def _parsed(line: bytes) -> tuple[Digest, ItemResult | None] | None:
    try:
        raw = json.loads(line)
        if raw["sum"] != _sum(raw["item"], raw["result"]):
            return None
        return raw["item"], None if raw["result"] is None else ItemResult.model_validate(raw["result"])
    except (ValueError, KeyError, TypeError, ValidationError):
        return None


def _sum(item: Digest, body: Any) -> Digest:
    return digest_of([item, body])
