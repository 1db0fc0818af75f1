"""What a record of the service's logs was asked: its prompts, whatever was answered."""

from collections.abc import Iterator

from tasks.data.kinds.fields import named
from tasks.data.kinds.messages import Messages, is_transcript, messages, recent, transcript
from tasks.data.kinds.turns import turns_of
from tasks.data.records import Record

_ROLES = {"user": "user", "bot": "assistant", "person": "assistant", "system": "system"}
_NAMES = ("prompt", "question", "query", "instruction")


def asked(record: Record) -> list[Messages]:
    """The prompts of one record: that of a request, or one for each turn of the customer's in a talk.

    Raises:
        ValueError: it has neither.
    """
    value = record.value
    inner = value.get("request")  # as gateways log: {"request": {"messages": …}, "response": …}
    if type(inner) is dict:
        value = inner
    for name in _NAMES:
        if value.get(name):
            given = value[name]
            found = transcript(given, name) if is_transcript(given) else messages(given, name, "user")
            return _checked([recent(_without_answer(found))], value)
    turns = [turn for turn in turns_of(value) if turn.who in _ROLES and turn.text.strip()]
    said = [{"role": _ROLES[turn.who], "content": turn.text} for turn in turns]
    return _checked(list(_prompts(said)), value)


def _prompts(said: Messages) -> Iterator[Messages]:
    """What stood before each answer; turns of the customer's that follow each other are answered together."""
    for place, message in enumerate(said):
        following = said[place + 1]["role"] if place + 1 < len(said) else "assistant"
        if message["role"] == "user" and following != "user":
            yield recent(said[: place + 1])


def _without_answer(found: Messages) -> Messages:
    last = max((place for place, one in enumerate(found) if one["role"] == "user"), default=-1)
    return found[: last + 1]


def _checked(prompts: list[Messages], value: dict[str, object]) -> list[Messages]:
    if not any(prompts):
        raise ValueError(f"nobody asks anything in it; {named(value)}")
    return prompts
