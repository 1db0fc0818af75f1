"""One normalised row of a source, whatever form it came in.

Columns of the snapshot's Parquet file, one row a record:

- ``id``: the record's own id, else its digest's first 16 hex digits
- ``source``, ``line``: origin: the file's name, and the line or row number from 1
- ``prompt``, ``chosen``, ``rejected``: JSON lists of ``{"role", "content"}``, empty where the record is unreadable
- ``prompt_text``, ``chosen_text``, ``rejected_text``: their contents, for the checks
- ``roles``: ``system>user|assistant|assistant``: roles of prompt, chosen and rejected
- ``timestamp``: ISO text as given, or null
- ``error``: why the record could not be read as a pair, or null
- ``raw``: the record as it came (base64 behind ``base64:`` where it isn't text)
"""

import base64
import json
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from infra.digest import digest_bytes, short
from tasks.data.kinds.layouts import split_pair
from tasks.data.kinds.messages import Messages

COLUMNS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("prompt", pa.string(), nullable=False),
        pa.field("chosen", pa.string(), nullable=False),
        pa.field("rejected", pa.string(), nullable=False),
        pa.field("prompt_text", pa.string(), nullable=False),
        pa.field("chosen_text", pa.string(), nullable=False),
        pa.field("rejected_text", pa.string(), nullable=False),
        pa.field("roles", pa.string(), nullable=False),
        pa.field("timestamp", pa.string()),
        pa.field("error", pa.string()),
        pa.field("raw", pa.string(), nullable=False),
    ]
)

Kind = Literal["pair", "label", "document"]


@dataclass(frozen=True)
class Built:
    """What an importer makes of a record, before it becomes a row of the snapshot.

    Attributes:
        prompt, chosen, rejected: messages ``{"role", "content"}``. A ``label``'s answer lies in ``chosen`` or in
            ``rejected``, the other is empty; a ``document``'s ``rejected`` is empty until it was sampled.
        id: the record's own id; empty: from its bytes.
        label: of a ``label``, whether the answer is a good one.
        weight: of a weak label below 1.
        builder: importer and rule, e.g. ``conversations/edit``.
        citation: JSON: where a document's answer stands; a rated pair's ratings and their margin.
    """

    prompt: Messages
    chosen: Messages
    rejected: Messages
    id: str = ""
    kind: Kind = "pair"
    label: bool | None = None
    weight: float = 1.0
    builder: str = "pairs"
    annotator: str | None = None
    chosen_model: str | None = None
    rejected_model: str | None = None
    citation: str | None = None
    timestamp: str | None = None
    tenant: str | None = None


def pair_row(record: dict[str, Any], source: str, line: int) -> dict[str, Any]:
    """Normalise one record. What can't be read as a pair becomes a row with ``error`` set: nothing is lost."""
    raw = json.dumps(record, ensure_ascii=False, default=str)
    try:
        raw.encode()
    except UnicodeEncodeError as error:  # JSON can spell half a surrogate pair, which no file can hold
        return broken_row(json.dumps(record, default=str), f"not Unicode text: {error.reason}", source, line)
    try:
        prompt, chosen, rejected = split_pair(record)
    except ValueError as error:
        return broken_row(raw, str(error), source, line)
    timestamp = record.get("timestamp")
    return {
        "id": str(record["id"]) if record.get("id") not in (None, "") else short(digest_bytes(raw.encode()), 16),
        "source": source,
        "line": line,
        "prompt": _json(prompt),
        "chosen": _json(chosen),
        "rejected": _json(rejected),
        "prompt_text": "\n".join(message["content"] for message in prompt),
        "chosen_text": "\n".join(message["content"] for message in chosen),
        "rejected_text": "\n".join(message["content"] for message in rejected),
        "roles": "|".join(">".join(message["role"] for message in part) for part in (prompt, chosen, rejected)),
        "timestamp": None if timestamp in (None, "") else str(timestamp),
        "error": None,
        "raw": raw,
    }


def broken_row(raw: str | bytes, error: str, source: str, line: int) -> dict[str, Any]:
    """A row for something that is no pair: kept with its bytes, for the quarantine."""
    text = raw if isinstance(raw, str) else _text_of(raw)
    return {
        "id": short(digest_bytes(text.encode()), 16),
        "source": source,
        "line": line,
        **dict.fromkeys(("prompt", "chosen", "rejected"), "[]"),
        **dict.fromkeys(("prompt_text", "chosen_text", "rejected_text", "roles"), ""),
        "timestamp": None,
        "error": error,
        "raw": text,
    }


def _json(messages: Messages) -> str:
    return json.dumps(messages, ensure_ascii=False)


def _text_of(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(raw).decode()
