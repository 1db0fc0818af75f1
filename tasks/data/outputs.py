"""What comes of a snapshot's rows: pairs to train on, held-out items, the quarantine. A file a shard, written once."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from infra.digest import Digest, digest_bytes, digest_of, short
from infra.jsonl import dump_lines, load_lines
from infra.store import Blob, Store
from tasks.contracts import Shard, Snapshot
from tasks.data.arrow import compute as pc
from tasks.data.checks import CHECKS
from tasks.data.noted import note, noted
from tasks.data.personal.policy import kinds_with, masked
from tasks.data.shards import Places, taken
from tasks.data_spec import PersonalSpec, SourceSpec
from tasks.parts import LINES

Topics = Mapping[tuple[str, str], str]  # a file's name and version -> what its rows are about
FORM = 3  # of the lines below: another one writes them anew
_OF_ITEMS = ["source", "line", "prompt", "chosen", "rejected", "chosen_text", "rejected_text"]
_ESCAPED = r'["\\\x00-\x1f]'


def quarantine_part(shard: Shard, failing: pa.Table, store: Store, kept: Path) -> Blob:
    """One object a failing row: where it is from, every reason, and the record as it came."""
    reasons = [[name for name, bad in row.items() if bad] for row in failing.select(list(CHECKS)).to_pylist()]
    places = failing["place"].to_pylist()

    def lines() -> Iterable[dict[str, Any]]:
        columns = ["id", "tenant", "source", "version", "line", "builder", "error", "raw"]
        rows = taken(shard, store, places, columns).to_pylist()
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

    def of(self, number: int, shard: Shard, places: Places, columns: list[str], store: Store) -> pa.Table:
        """Columns of a shard's rows, masked."""
        rows = taken(shard, store, places, columns)
        kinds = kinds_with(self.spec, "mask")
        if not kinds:
            return rows
        found = pq.read_table(store.open_path(self.found[number].digest_), columns=list(kinds))
        return masked(rows, found.take(pa.array(places, pa.int64())), self.spec, self.key)

    def identity(self) -> list[str]:
        return [self.spec.digest, digest_bytes(self.key)] if kinds_with(self.spec, "mask") else []


def topics_of(snapshot: Snapshot, sources: Sequence[SourceSpec]) -> Topics:
    """What rows are about, of those sources that say so. Files of one name and version hold the same rows."""
    said = {one.path: one.topic for one in sources if one.topic is not None}
    return {(file.name, file.version): said[file.source] for file in snapshot.files if file.source in said}


def train_part(
    number: int,
    shard: Shard,
    places: Places,
    masks: Masks,
    store: Store,
    kept: Path,
    topics: Topics = MappingProxyType({}),
) -> Blob:
    """Pairs (and labels) of these places, in this order: JSON lines in TRL's conversational form."""

    def lines() -> bytes:
        columns = ["id", "kind", "label", "weight", "truth", "prompt", "chosen", "rejected"]
        return trained(
            masks.of(number, shard, places, columns + (["source", "version"] if topics else []), store), topics
        )

    about = sorted([*key, topic] for key, topic in topics.items())
    decides = [_short(places), masks.identity(), *([about] if about else [])]
    return _part("train", shard, decides, lines, store, kept)


def house_items(
    shards: Sequence[Shard], chosen: pa.Table, masks: Masks, store: Store, kept: Path
) -> list[dict[str, Any]]:
    """Choice items of held-out pairs (columns ``shard`` and ``place``), in their order."""

    def rows(number: int, places: list[int]) -> pa.Table:
        return masks.of(number, shards[number], places, _OF_ITEMS, store)

    return _items(_of_shards("house", chosen, shards, masks.identity(), rows, store, kept))


def held_prompts(shards: Sequence[Shard], chosen: pa.Table, store: Store, kept: Path) -> list[str]:
    """Prompts of held-out rows (columns ``shard`` and ``place``), in their order."""

    def rows(number: int, places: list[int]) -> pa.Table:
        return taken(shards[number], store, places, ["prompt_text"])

    return [one["prompt_text"] for one in _of_shards("held", chosen, shards, None, rows, store, kept)]


def _of_shards(
    what: str,
    chosen: pa.Table,
    shards: Sequence[Shard],
    decides: Any,
    rows: Callable[[int, list[int]], pa.Table],
    store: Store,
    kept: Path,
) -> list[dict[str, Any]]:
    """A few rows of many shards. Those of a shard are kept: most of tomorrow's are tonight's."""
    wanted = [(row["shard"], row["place"]) for row in chosen.to_pylist()]
    places: dict[int, list[int]] = {}
    for number, place in sorted(wanted):
        places.setdefault(number, []).append(place)
    found: dict[tuple[int, int], dict[str, Any]] = {}
    for number, of in places.items():
        make = partial(_lines, rows, number, of)
        blob = _part(what, shards[number], [_short(of), decides], make, store, kept)
        lines = load_lines(store.read_bytes(blob))
        found |= {(number, place): row for place, row in zip(of, lines, strict=True)}
    return [found[one] for one in wanted]


def _lines(rows: Callable[[int, list[int]], pa.Table], number: int, places: list[int]) -> bytes:
    return dump_lines(rows(number, places).to_pylist())


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


def trained(rows: pa.Table, topics: Topics = MappingProxyType({})) -> bytes:
    """A line a row. The messages are JSON already: they aren't read to be written again."""
    weighed = [f', "weight": {json.dumps(one)}' if one != 1.0 else "" for one in rows["weight"].to_pylist()]
    rest = _joined(pa.array(weighed, pa.string()), pc.fill_null(_joined(', "truth": ', rows["truth"]), ""), "}\n")
    head = ['{"id": ', _as_json(rows["id"]), _about(rows, topics), ', "prompt": ', rows["prompt"]]
    lines = _joined(*head, ', "chosen": ', rows["chosen"], ', "rejected": ', rows["rejected"], rest)
    is_label = pc.equal(rows["kind"], "label")
    if pc.any(is_label).as_py():
        answer = pc.if_else(rows["label"], rows["chosen"], rows["rejected"])
        label = pc.if_else(rows["label"], "true", "false")
        labels = _joined(*head, ', "completion": ', answer, ', "label": ', label, rest)
        lines = pc.if_else(is_label, labels, lines)
    assert lines.null_count == 0, "a row that passed has no prompt or no answer"
    return b"".join(_bytes(chunk) for chunk in lines.chunks)


def _about(rows: pa.Table, topics: Topics) -> Any:
    """The topics of rows whose sources have one, as ``tasks.trainable.about`` looks for them."""
    if not topics:
        return ""
    files = zip(rows["source"].to_pylist(), rows["version"].to_pylist(), strict=True)
    said = (topics.get(file) for file in files)
    return pa.chunked_array([[f', "topic": "{topic}"' if topic else "" for topic in said]], pa.string())


def _joined(*parts: Any) -> pa.ChunkedArray:
    return pc.binary_join_element_wise(*parts, "")


def _as_json(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as JSON strings: nearly all need quotes alone."""
    if pc.any(pc.match_substring_regex(texts, _ESCAPED)).as_py():
        return pa.chunked_array([[json.dumps(one, ensure_ascii=False) for one in texts.to_pylist()]], pa.string())
    return _joined('"', texts, '"')


def _bytes(texts: pa.StringArray) -> bytes:
    """All texts, one behind another, as they lie in memory: none is null."""
    _, offsets, data = texts.buffers()
    if data is None:
        return b""
    first, last = np.frombuffer(offsets, np.int32)[[texts.offset, texts.offset + len(texts)]]
    return data.slice(int(first), int(last - first)).to_pybytes()


def _short(places: Places) -> Digest:
    """Of thousands of numbers, at a hundredth of the time that they take as text."""
    return digest_bytes(np.array(places, np.int64).tobytes())


def _part(what: str, shard: Shard, decides: Any, lines: Callable[[], bytes], store: Store, kept: Path) -> Blob:
    """The lines' object; found where another night wrote the same ones of this shard."""
    key = short(digest_of([FORM, shard.rows.digest_, decides]), 32)
    path = kept / "parts" / what / f"{key}.json"
    blob = noted(path, store)
    if blob is None:
        blob = store.put_bytes(lines(), LINES)
        note(path, blob)
    return blob
