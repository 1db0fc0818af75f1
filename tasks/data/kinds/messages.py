"""Messages out of what records hold them in. A role nobody knows stays as it is: the check of roles names its row."""

import json
import re
from typing import Any

Message = dict[str, str]
Messages = list[Message]

# ShareGPT's words, in messages of {"from", "value"}
SHAREGPT = {"human": "user", "gpt": "assistant"}
# of a prompt out of a long talk, so that what is made of it grows in line with its length
MOST_TURNS = 32
HUMAN, ASSISTANT = "\n\nHuman:", "\n\nAssistant:"
_MARK = re.compile(r"\n\n(Human|Assistant):")


def messages(value: Any, name: str, role: str) -> Messages:
    """A text as one message of ``role``; a message, or a list of them, as a list.

    Raises:
        ValueError: it is none of these, or a message holds something that no text is.
    """
    if type(value) is str:
        return [{"role": role, "content": value}]
    if type(value) is not list:
        if hasattr(value, "tolist"):  # numpy's, from Parquet
            value = value.tolist()
        if type(value) is dict:
            return [message(value, name)]
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError(f"{name} is neither text nor a list of messages but {type(value).__name__}")
    found: Messages = []
    for one in value:  # runs a million times a night: what is plain is taken at once
        if type(one) is dict and len(one) == 2:
            who, content = one.get("role"), one.get("content")
            if type(who) is str and type(content) is str:
                found.append({"role": who, "content": content})
                continue
        found.append(message(one, name))
    return found


def message(one: Any, name: str) -> Message:
    """One message of ``{"role", "content"}`` or ``{"from", "value"}``; its other keys are left.

    Raises:
        ValueError: without a role or a content, or with one that text does not hold (an image, a call of a tool).
    """
    if type(one) is dict:
        role, content = one.get("role"), one.get("content")
        if role is None and content is None:
            role, content = one.get("from"), one.get("value")
            role = SHAREGPT.get(role, role) if type(role) is str else None
        if type(content) is list:
            content = _parts(content, name)
        if type(role) is str and type(content) is str:
            if one.get("tool_calls"):
                raise ValueError(f"{name} holds a message that calls a tool, which text alone does not say")
            return {"role": role, "content": content}
    raise ValueError(f"{name} holds a message without text role and content: {one!r:.80}")


def _parts(content: list[Any], name: str) -> str:
    """The text of a content in parts, as chat APIs write it."""
    found = []
    for part in content:
        if type(part) is not dict or type(part.get("text")) is not str or part.get("type", "text") != "text":
            raise ValueError(f"{name} holds a message with a part that is no text: {part!r:.80}")
        found.append(part["text"])
    return "".join(found)


def from_json(*values: Any) -> tuple[Any, ...]:
    """CSV and Parquet may hold lists of messages as JSON text.

    It is read as such where *each* of the values is (None aside): a customer's text that looks like a list of messages
    stays his text, for the answers beside it don't look so.
    """
    last = values[-1]
    if type(last) is not str or not last.startswith('[{"'):
        return values
    given = [value for value in values if value is not None]
    if not all(type(value) is str and value.startswith('[{"') for value in given):
        return values
    try:
        read = [None if value is None else json.loads(value) for value in values]
    except (ValueError, RecursionError):
        return values
    return tuple(read)


def with_system(system: Any, prompt: Messages) -> Messages:
    """The prompt behind a system message, where there is one and the prompt brings none.

    Raises:
        ValueError: it is no text.
    """
    if system is None or system == "":
        return prompt
    if type(system) is not str:
        raise ValueError(f"system is no text but {type(system).__name__}")
    return prompt if prompt and prompt[0]["role"] == "system" else [{"role": "system", "content": system}, *prompt]


def recent(turns: Messages) -> Messages:
    """The last ``MOST_TURNS`` of the turns, from a customer's on, and the system message where they begin with one."""
    head = turns[:1] if turns[0]["role"] == "system" else []
    last = turns[len(head) :][-MOST_TURNS:]
    cut_in_between = len(last) == MOST_TURNS and last[0]["role"] == "assistant"
    return head + last[cut_in_between:]


def is_transcript(text: Any) -> bool:
    """Whether a prompt is written as Bai et al. 2022 write it. One that only begins with "Human:" is a text."""
    return type(text) is str and (
        text.startswith(HUMAN) or (text.lstrip("\n").startswith("Human:") and text.rstrip().endswith(ASSISTANT))
    )


def transcript(text: str, name: str) -> Messages:
    """Messages of an HH-style transcript (``\\n\\nHuman: … \\n\\nAssistant: …``; Bai et al. 2022).

    Raises:
        ValueError: it begins otherwise.
    """
    whole = text if text.startswith("\n\n") else "\n\n" + text.lstrip("\n")
    before, *parts = _MARK.split(whole)
    if before or not parts:
        raise ValueError(
            f"{name} has no prompt beside it and is no transcript that begins with 'Human:' or 'Assistant:'"
        )
    turns = zip(parts[::2], parts[1::2], strict=True)
    return [{"role": "user" if mark == "Human" else "assistant", "content": said.strip()} for mark, said in turns]


def split_where_they_part(chosen: Messages, rejected: Messages) -> tuple[Messages, Messages, Messages]:
    """Prompt and answers of two conversations: what they share is the prompt.

    Raises:
        ValueError: they share nothing.
    """
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    # two equal conversations still have an answer each: the check for equal answers then names the row
    shared = min(shared, len(chosen) - 1, len(rejected) - 1)
    if shared == 0:
        raise ValueError("chosen and rejected share no prompt")
    return chosen[:shared], chosen[shared:], rejected[shared:]
