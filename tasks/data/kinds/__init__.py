"""Kinds of records (adaptor until the importers land)."""

import json
from typing import Any

from tasks.data.records import Record
from tasks.data.rows import Built, Messages


def build(kind: str, form: str, record: Record) -> list[Built]:
    value = record.value
    prompt, chosen, rejected = split_pair(value)
    timestamp = value.get("timestamp")
    return [
        Built(
            prompt,
            chosen,
            rejected,
            id=str(value["id"]) if value.get("id") not in (None, "") else "",
            tenant=value.get("tenant"),
            timestamp=None if timestamp in (None, "") else str(timestamp),
        )
    ]


def split_pair(record: dict[str, Any]) -> tuple[Messages, Messages, Messages]:
    """Prompt, chosen and rejected of TRL's explicit and implicit pairs, conversational or plain, or HH transcripts.

    Raises:
        ValueError: says what is missing or of a wrong kind.
    """
    missing = [name for name in ("chosen", "rejected") if record.get(name) is None]
    if missing:
        raise ValueError(f"no {' and no '.join(missing)}; the record has {sorted(record)}")
    chosen, rejected = record["chosen"], record["rejected"]
    prompt = record.get("prompt")
    if prompt is None:
        return _common_prefix(_conversation(chosen, "chosen"), _conversation(rejected, "rejected"))
    return (
        _messages(prompt, "prompt", "user"),
        _messages(chosen, "chosen", "assistant"),
        _messages(rejected, "rejected", "assistant"),
    )


def _conversation(value: Any, name: str) -> Messages:
    if isinstance(value, str):
        return transcript(value, name)
    return _messages(value, name, "assistant")


def _messages(value: Any, name: str, role: str) -> Messages:
    value = _maybe_json(value)
    if isinstance(value, str):
        return (
            transcript(value, name) if value.lstrip("\n").startswith("Human:") else [{"role": role, "content": value}]
        )
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"{name} is neither text nor a list of messages but {type(value).__name__}")
    messages = []
    for message in value:
        if (
            not isinstance(message, dict)
            or not isinstance(message.get("role"), str)
            or not isinstance(message.get("content"), str)
        ):
            raise ValueError(f"{name} holds a message without text role and content: {message!r:.80}")
        messages.append({"role": message["role"], "content": message["content"]})
    return messages


def transcript(text: str, name: str) -> Messages:
    """Messages of an HH-style transcript (``\\n\\nHuman: … \\n\\nAssistant: …``; Bai et al. 2022)."""
    messages: Messages = []
    marks = {"\n\nHuman:": "user", "\n\nAssistant:": "assistant"}
    rest = text if text.startswith("\n\n") else "\n\n" + text.lstrip("\n")
    if not any(rest.startswith(mark) for mark in marks):
        raise ValueError(
            f"{name} has no prompt beside it and is no transcript that begins with 'Human:' or 'Assistant:'"
        )
    while rest:
        mark = next(mark for mark in marks if rest.startswith(mark))
        rest = rest[len(mark) :]
        end = min((position for other in marks if (position := rest.find(other)) >= 0), default=len(rest))
        messages.append({"role": marks[mark], "content": rest[:end].strip()})
        rest = rest[end:]
    return messages


def _common_prefix(chosen: Messages, rejected: Messages) -> tuple[Messages, Messages, Messages]:
    """Split two conversations where they part: what they share is the prompt."""
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    # two equal conversations still have an answer each: the check for equal answers then names the row
    shared = min(shared, len(chosen) - 1, len(rejected) - 1)
    if shared == 0:
        raise ValueError("chosen and rejected share no prompt")
    return chosen[:shared], chosen[shared:], rejected[shared:]


def _maybe_json(value: Any) -> Any:
    """CSV and Parquet may hold a list of messages as JSON text or as arrays."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, str) and value.startswith('[{"'):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value
