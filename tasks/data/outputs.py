"""What comes of a snapshot's rows: pairs to train on, held-out items, the quarantine. A file a shard, written once."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.digest import Digest, digest_bytes, digest_of, short
from infra.jsonl import dump_lines
from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data.checks import CHECKS
from tasks.data.noted import note, noted
from tasks.data.personal.policy import kinds_with, masked
from tasks.data.shards import rows_of
from tasks.data_spec import PersonalSpec
from tasks.parts import LINES

FORM = 1  # of the lines below: another one writes them anew


def quarantine_part(shard: Shard, flagged: pa.Table, store: Store, kept: Path) -> Blob:
    """One object a failing row: where it is from, every reason, and the record as it came."""
    failing = flagged.filter(flagged["fails"])
    reasons = [[name for name, bad in row.items() if bad] for row in failing.select(list(CHECKS)).to_pylist()]
    places = failing["place"].to_pylist()

    def lines() -> Iterable[dict[str, Any]]:
        columns = ["id", "tenant", "source", "version", "line", "builder", "error", "raw"]
        rows = _taken(shard, store, places, columns).to_pylist()
        for row, why in zip(rows, reasons, strict=True):
            yield {name: row[name] for name in ("id", "source", "line")} | {"reasons": why} | row

    return _part("quarantine", shard, [_short(places), reasons], lambda: dump_lines(lines()), store, kept)


class Masks(NamedTuple):
    """How personal data is masked in what is trained on and judged with.

    Attributes:
        found: the feature ``personal``, a file a shard.
    """

    spec: PersonalSpec
    key: bytes
    found: Sequence[Blob]

    def of(
        self, number: int, shard: Shard, places: list[int], columns: list[str], store: Store
    ) -> list[dict[str, Any]]:
        """Rows of a shard, masked: ``columns``, and the texts that are masked with them."""
        rows = _taken(shard, store, places, list(dict.fromkeys([*columns, *_MASKED])))
        marks = pq.read_table(store.open_path(self.found[number].digest_)).take(pa.array(places, pa.int64()))
        return masked(rows, marks, self.spec, self.key).to_pylist()

    def identity(self) -> list[str]:
        return [self.spec.digest, digest_bytes(self.key)] if kinds_with(self.spec, "mask") else []


_MASKED = ("prompt", "chosen", "rejected", "prompt_text", "chosen_text", "rejected_text")


def train_part(number: int, shard: Shard, places: list[int], masks: Masks, store: Store, kept: Path) -> Blob:
    """Pairs (and labels) of these places, in this order: JSON lines in TRL's conversational form."""

    def lines() -> bytes:
        rows = masks.of(number, shard, places, ["id", "kind", "label", "weight"], store)
        return "".join(_trained(row) for row in rows).encode()

    return _part("train", shard, [_short(places), masks.identity()], lines, store, kept)


def house_items(shards: Sequence[Shard], chosen: pa.Table, masks: Masks, store: Store) -> list[dict[str, Any]]:
    """Choice items of held-out pairs (columns ``shard`` and ``place``), in their order."""
    wanted = chosen.to_pylist()
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for number in sorted({row["shard"] for row in wanted}):
        places = [row["place"] for row in wanted if row["shard"] == number]
        for place, row in zip(places, masks.of(number, shards[number], places, ["source", "line"], store), strict=True):
            found[number, place] = row
    return _items([found[row["shard"], row["place"]] for row in wanted])


def _items(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An item is called by its source and line; where several rows are (a log with two edits), by its words too."""
    lines = [f"{row['source']}:{row['line']}" for row in rows]
    several = {line for line, count in Counter(lines).items() if count > 1}
    return [_item(row, line, line in several) for row, line in zip(rows, lines, strict=True)]


def _item(row: dict[str, Any], line: str, one_of_several: bool) -> dict[str, Any]:
    words = digest_of([row["prompt"], row["chosen_text"], row["rejected_text"]])
    return {
        "id": f"{line}#{short(words, 8)}" if one_of_several else line,
        "topic": row["source"],
        "messages": json.loads(row["prompt"]),
        "choices": [row["chosen_text"], row["rejected_text"]],
        "answer": 0,
    }


def _trained(row: dict[str, Any]) -> str:
    """The messages are JSON already: they aren't read to be written again."""
    head = f'{{"id": {json.dumps(row["id"], ensure_ascii=False)}, "prompt": {row["prompt"]}'
    if row["kind"] == "label":
        answer = row["chosen"] if row["label"] else row["rejected"]
        weight = "" if row["weight"] == 1.0 else f', "weight": {json.dumps(row["weight"])}'
        return f'{head}, "completion": {answer}, "label": {json.dumps(row["label"])}{weight}}}\n'
    return f'{head}, "chosen": {row["chosen"]}, "rejected": {row["rejected"]}}}\n'


def _short(places: list[int]) -> Digest:
    """Of thousands of numbers, at a hundredth of the time that they take as text."""
    return digest_bytes(np.array(places, np.int64).tobytes())


def _taken(shard: Shard, store: Store, places: list[int], columns: list[str]) -> pa.Table:
    return rows_of(shard, store, columns).take(pa.array(places, pa.int64()))


def _part(what: str, shard: Shard, decides: Any, lines: Callable[[], bytes], store: Store, kept: Path) -> Blob:
    """The lines' object; found where another night wrote the same ones of this shard."""
    key = short(digest_of([FORM, shard.rows.digest_, decides]), 32)
    path = kept / "parts" / what / f"{key}.json"
    blob = noted(path, store)
    if blob is None:
        blob = store.put_bytes(lines(), LINES)
        note(path, blob)
    return blob
