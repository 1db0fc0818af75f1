"""One model's answers, on disk as soon as they are there: a killed run goes on where it stopped, and tomorrow asks only
what is new.

One folder a (model, settings), in it one append-only file a writer, so that several processes never share one. A line
that is damaged or cut counts as absent.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

from infra.digest import Digest, digest_of


class Said(NamedTuple):
    """``cut``: at the most tokens allowed. ``why``: it has no answer; for people."""

    text: str
    cut: bool
    why: str | None = None


def key_of(prompt: Sequence[dict[str, str]]) -> Digest:
    """What a prompt's answer is found by: equal conversations are asked once."""
    return digest_of([[message["role"], message["content"]] for message in prompt])


class AnswerStore:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / f"{uuid4().hex[:12]}.jsonl"

    def add(self, key: Digest, said: Said) -> None:
        """Write one answer; a process that is killed right behind has written it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        body = said._asdict()
        with self._file.open("ab") as file:
            file.write(json.dumps({"key": key, "said": body, "sum": digest_of([key, body])}).encode() + b"\n")

    def read(self) -> dict[Digest, Said]:
        """All sound answers of all writers; of one that was given twice, the first by the writers' names."""
        found: dict[Digest, Said] = {}
        for path in sorted(self.folder.glob("*.jsonl")):
            for line in path.read_bytes().split(b"\n"):
                parsed = _parsed(line)
                if parsed is not None:
                    found.setdefault(*parsed)
        return found


def _parsed(line: bytes) -> tuple[Digest, Said] | None:
    try:
        raw: Any = json.loads(line)
        if raw["sum"] != digest_of([raw["key"], raw["said"]]):
            return None
        return raw["key"], Said(**raw["said"])
    except (ValueError, KeyError, TypeError):
        return None
