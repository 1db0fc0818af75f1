"""Fields that records of every kind may have: id, time, tenant, annotator, models."""

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from infra.digest import digest_bytes, short
from tasks.data.records import Record

Fields = dict[str, Any]

ID_NAMES = ("id", "record_id", "conversation_id", "convo_id", "ticket_id", "prompt_id", "_id")
TIME_NAMES = ("timestamp", "created_at", "time")


def text_of(value: Any) -> str | None:
    """A text or a whole number as text; None for nothing and for what is neither."""
    if type(value) is str:
        return value or None
    return str(value) if type(value) is int else None


def first_of(value: Fields, names: Sequence[str]) -> Any:
    """The value of the first of these names that has one."""
    for name in names:
        found = value.get(name)
        if found is not None:
            return found
    return None


def record_id(value: Fields) -> str:
    """The record's own id, or nothing."""
    for name in ID_NAMES:
        if name in value and (found := text_of(value[name])) is not None:
            return found
    return ""


def part_id(record: Record, part: str) -> str:
    """The id of one of several rows of a record: the same tomorrow, if the record says more by then and has an id."""
    return f"{record_id(record.value) or short(digest_bytes(record.raw), 16)}/{part}"


def moment(value: Any) -> str | None:
    """A time as ISO text. Numbers are seconds or milliseconds since 1970; a text stays what it is, for the check."""
    if type(value) is str:
        return value or None
    if type(value) not in (int, float):
        return None
    try:
        return datetime.fromtimestamp(value / 1000 if abs(value) >= 1e11 else value, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return str(value)


def number(value: Any) -> float | None:
    """A finite number, also one that is written as text; None for anything else."""
    if type(value) not in (int, float, str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def common(value: Fields) -> Fields:
    """``Built``'s arguments that every kind reads alike. An id or a name that is no text is taken for none.

    Raises:
        ValueError: the truth is nothing that JSON can hold.
    """
    get = value.get
    found: Fields = {"id": record_id(value)}
    when = first_of(value, TIME_NAMES)
    if when is not None:
        found["timestamp"] = moment(when)
    for name in ("tenant", "annotator", "chosen_model", "rejected_model"):
        given = get(name)
        if given is not None:
            found[name] = text_of(given)
    truth = get("truth")
    if truth is not None and truth != "":
        found["truth"] = canonical(truth)
    return found


def named(value: Fields) -> str:
    """The record's keys, for an error."""
    keys = sorted(value)
    return f"the record has {keys}" if len(keys) <= 20 else f"the record has {keys[:20]} and {len(keys) - 20} more"


def canonical(value: Any) -> str:
    """JSON with its keys in order.

    Raises:
        ValueError: a number in it is not finite.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
