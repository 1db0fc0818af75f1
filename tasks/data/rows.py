"""The rows of a snapshot: one schema, whatever form a record came in.

Columns of a shard's Parquet file, one row a record (or what an importer built from it):

- ``id``: the record's own id, else its digest's first 16 hex digits
- ``kind``: ``pair``, ``label`` or ``document``; ``label``: of a label, whether its answer is a good one
- ``tenant``: whose record it is; ``weight``: of a weak label, below 1
- ``source``, ``version``, ``line``: origin: the object's name and version or digest, the line or row number from 1
- ``builder``: importer and rule
- ``annotator``, ``chosen_model``, ``rejected_model``, ``citation``, ``truth`` (JSON): as given, or null
- ``prompt``, ``chosen``, ``rejected``: JSON lists of ``{"role", "content"}``, empty where the record is unreadable
- ``prompt_text``, ``chosen_text``, ``rejected_text``: their contents, for the checks
- ``roles``: ``system>user|assistant|assistant``: roles of prompt, chosen and rejected
- ``timestamp``: ISO text as given, or null
- ``error``: why the record could not be read, or null
- ``raw``: the record as it came (base64 behind ``base64:`` where it isn't text)
- ``prompt_key``, ``chosen_key``, ``rejected_key``: int64 of the text (``tasks.data.keys``): set checks compare these
"""

import base64
from dataclasses import dataclass
from json.encoder import encode_basestring as _quoted
from typing import Any, Literal

import pyarrow as pa

from infra.digest import digest_bytes, short
from tasks.data.keys import answer_key, prompt_key
from tasks.data.kinds.messages import Messages
from tasks.data.records import Broken, Record

_TEXT = pa.string()
COLUMNS = pa.schema(
    [
        pa.field("id", _TEXT, nullable=False),
        pa.field("kind", _TEXT, nullable=False),
        pa.field("label", pa.bool_()),
        pa.field("tenant", _TEXT, nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        pa.field("source", _TEXT, nullable=False),
        pa.field("version", _TEXT, nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("builder", _TEXT, nullable=False),
        pa.field("annotator", _TEXT),
        pa.field("chosen_model", _TEXT),
        pa.field("rejected_model", _TEXT),
        pa.field("citation", _TEXT),
        pa.field("truth", _TEXT),
        pa.field("prompt", _TEXT, nullable=False),
        pa.field("chosen", _TEXT, nullable=False),
        pa.field("rejected", _TEXT, nullable=False),
        pa.field("prompt_text", _TEXT, nullable=False),
        pa.field("chosen_text", _TEXT, nullable=False),
        pa.field("rejected_text", _TEXT, nullable=False),
        pa.field("roles", _TEXT, nullable=False),
        pa.field("timestamp", _TEXT),
        pa.field("error", _TEXT),
        pa.field("raw", _TEXT, nullable=False),
        pa.field("prompt_key", pa.int64(), nullable=False),
        pa.field("chosen_key", pa.int64(), nullable=False),
        pa.field("rejected_key", pa.int64(), nullable=False),
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
        citation: JSON: where a document's answer stands.
        truth: JSON: what a verifiable reward compares an answer with.
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
    truth: str | None = None
    timestamp: str | None = None
    tenant: str | None = None


class Rows:
    """Rows of one shard while it is filled, a list a column: a million rows are built without a dictionary each."""

    def __init__(self, tenant: str) -> None:
        self._tenant = tenant
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS.names}
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._columns["id"])

    def add(self, built: Built, record: Record, source: str, version: str, part: int = 0) -> None:
        """A row of what was built from a record; one that no file can hold is added as broken.

        Args:
            part: beyond 0, part of the row's id: the record made others with the same.
        """
        try:
            raw = record.raw.decode()
            values = _values(built, raw, f"/{part + 1}" if part else "")
        except (
            UnicodeDecodeError,
            UnicodeEncodeError,
        ) as error:  # JSON can spell half a surrogate pair, which no file can hold
            self.add_broken(Broken(record.raw, record.line, f"not Unicode text: {error.reason}"), source, version)
            return
        where = (built.tenant or self._tenant, source, version, record.line, raw)
        self._append(built, values, where, built.timestamp, None)

    def add_broken(self, broken: Broken, source: str, version: str) -> None:
        """A row of what is no record: kept with its bytes, for the quarantine."""
        raw = text_of(broken.raw)
        values = ("[]", "[]", "[]", "", "", "", "", short(digest_bytes(raw.encode()), 16))
        self._append(_NOTHING, values, (self._tenant, source, version, broken.line, raw), None, broken.error)

    def table(self) -> pa.Table:
        return pa.table([pa.array(self._columns[field.name], field.type) for field in COLUMNS], schema=COLUMNS)

    def _append(
        self,
        built: Built,
        values: tuple[str, str, str, str, str, str, str, str],
        where: tuple[str, str, str, int, str],
        timestamp: str | None,
        error: str | None,
    ) -> None:
        prompt, chosen, rejected, prompt_text, chosen_text, rejected_text, roles, id_ = values
        tenant, source, version, line, raw = where
        row = (
            id_, built.kind, built.label, tenant, built.weight, source, version, line, built.builder, built.annotator,
            built.chosen_model, built.rejected_model, built.citation, built.truth, prompt, chosen, rejected,
            prompt_text, chosen_text, rejected_text, roles, timestamp, error, raw, prompt_key(prompt_text),
            answer_key(chosen_text), answer_key(rejected_text),
        )  # fmt: skip
        for column, value in zip(self._columns.values(), row, strict=True):
            column.append(value)
        self.bytes += len(raw)


_NOTHING = Built([], [], [], builder="")


def _values(built: Built, raw: str, suffix: str) -> tuple[str, str, str, str, str, str, str, str]:
    parts = (built.prompt, built.chosen, built.rejected)
    written = [_json(part) for part in parts]
    "".join(written).encode()
    texts = [part[0]["content"] if len(part) == 1 else "\n".join(one["content"] for one in part) for part in parts]
    roles = "|".join(part[0]["role"] if len(part) == 1 else ">".join(one["role"] for one in part) for part in parts)
    id_ = (built.id or short(digest_bytes(raw.encode()), 16)) + suffix
    return written[0], written[1], written[2], texts[0], texts[1], texts[2], roles, id_


def _json(messages: Messages) -> str:
    # what json.dumps(messages, ensure_ascii=False) writes, at a tenth of the time
    parts = [f'{{"role": {_quoted(one["role"])}, "content": {_quoted(one["content"])}}}' for one in messages]
    return f"[{', '.join(parts)}]"


def text_of(raw: bytes) -> str:
    """Bytes as the quarantine shows them: text, or base64 behind ``base64:``."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(raw).decode()
