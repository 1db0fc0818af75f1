"""What a recipe does about each kind: the row leaves, its values are masked, or they stay."""

import json
import secrets
from pathlib import Path

import pyarrow as pa

from infra.files import create_private, private_text
from tasks.data.personal.find import find
from tasks.data.personal.mask import mask
from tasks.data.personal.spans import KINDS, PersonalKind
from tasks.data_spec import PersonalSpec
from tasks.errors import MaskError

_PARTS = ("prompt", "chosen", "rejected")


def kinds_with(spec: PersonalSpec, handling: str) -> tuple[PersonalKind, ...]:
    """The kinds that a recipe handles so: ``quarantine``, ``mask`` or ``allow``."""
    return tuple(kind for kind in KINDS if getattr(spec, kind) == handling)


def masked(rows: pa.Table, found: pa.Table, spec: PersonalSpec, key: bytes) -> pa.Table:
    """The rows with the values of the kinds to mask replaced, in the messages and in their texts.

    ``raw`` stays as it came: it goes to the quarantine with a row that leaves, never into training.

    Args:
        rows: as tasks/data/rows.py has them, or of their columns the messages at least.
        found: the features of the same rows (tasks/data/features/personal.py).
        key: the data set's; the same for every night, or one value has two masks.
    """
    kinds = kinds_with(spec, "mask")
    wanted = [any(row.values()) for row in found.select(list(kinds)).to_pylist()] if kinds else []
    for part in _PARTS if any(wanted) else ():
        messages = rows[part].to_pylist()
        text = f"{part}_text"
        texts = rows[text].to_pylist() if text in rows.column_names else None
        for place, hit in enumerate(wanted):
            if hit:
                told = json.loads(messages[place])
                for message in told:
                    message["content"] = _masked_text(message["content"], kinds, spec, key)
                messages[place] = json.dumps(told, ensure_ascii=False)
                if texts is not None:
                    texts[place] = "\n".join(message["content"] for message in told)
        rows = _replaced(rows, part, messages)
        rows = rows if texts is None else _replaced(rows, text, texts)
    return rows


def _replaced(rows: pa.Table, name: str, values: list[str | None]) -> pa.Table:
    field = rows.schema.field(name)
    return rows.set_column(rows.schema.get_field_index(name), field, pa.array(values, field.type))


def _masked_text(text: str, kinds: tuple[PersonalKind, ...], spec: PersonalSpec, key: bytes) -> str:
    spans = [span for span in find(text, spec.regions) if span.kind in kinds]
    return mask(text, spans, key, spec.regions)


def mask_key(folder: Path) -> bytes:
    """The key of this home's masks: 32 random bytes, made once, in a file that only its owner reads.

    Who loses it loses nothing but the sameness of marks across nights; who gives it away lets others try values.
    """
    path = folder / "mask.key"
    if private_text(path) is None:
        create_private(path, secrets.token_hex(32))
    key = private_text(path)
    if key is None or len(key) < 64:
        raise MaskError(
            f"{path} holds no key of the masks",
            do="put back a copy of it; or remove it, and values get other marks from tonight on",
        )
    return bytes.fromhex(key)
