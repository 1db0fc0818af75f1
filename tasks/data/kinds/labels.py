"""Unpaired labels: an answer and whether it is a good one. What nobody rated gives no row."""

import math
import re
from collections.abc import Callable
from typing import Any

from tasks.data.kinds.fields import Fields, common, first_of, named, number, part_id, text_of
from tasks.data.kinds.layouts import instruction
from tasks.data.kinds.messages import Messages, from_json, messages, recent, with_system
from tasks.data.records import Record
from tasks.data.rows import Built

RATINGS = (
    "label", "kto_tag", "thumb", "thumbs", "feedback", "vote", "reaction", "rating", "liked", "helpful", "score",
)  # fmt: skip
_SIGNED = {"score", "vote"}  # here 0 is neither, elsewhere it is the opposite of 1
_PROMPTS = ("prompt", "question", "input", "query")
_ANSWERS = ("completion", "response", "answer", "output", "reply")
_DIALOGUES = ("messages", "conversations")

_GOOD = {
    "up", "thumbsup", "thumbup", "like", "liked", "good", "positive", "yes", "true", "1", "+1", "upvote", "upvoted",
    "helpful", "desirable", "👍",
}  # fmt: skip
_BAD = {
    "down", "thumbsdown", "thumbdown", "dislike", "disliked", "bad", "negative", "no", "false", "-1", "downvote",
    "downvoted", "unhelpful", "nothelpful", "undesirable", "👎",
}  # fmt: skip
_NEITHER = {"", "none", "null", "neutral", "na", "unrated", "skipped"}


def thumb(value: Any, name: str = "label") -> bool | None:
    """Up, down or neither.

    Args:
        name: the field it stands in: 0 is down in a label, and neither in a score.

    Raises:
        ValueError: it is none of the spellings, or a number of a scale that it doesn't name.
    """
    if value is None or type(value) is bool:
        return value
    if type(value) in (int, float):
        return _of_number(value, name)
    if type(value) is dict:  # {"rating": "up", "comment": …}
        inner = next((key for key in ("value", *RATINGS) if key in value), None)
        if inner is not None and type(value[inner]) is not dict:
            return thumb(value[inner], name if inner == "value" else inner)
    if type(value) is str:
        plain = re.sub(r"[\s_.:'’-]+(?=\D|$)|[\ufe0f\U0001f3fb-\U0001f3ff]", "", value.strip()).lower()
        if plain in _GOOD or plain in _BAD or plain in _NEITHER:
            return None if plain in _NEITHER else plain in _GOOD
        if (found := number(value)) is not None:
            return _of_number(found, name)
    raise ValueError(f"{name} is no thumb: {value!r:.80}")


def _of_number(value: float, name: str) -> bool | None:
    if name == "score" and not (type(value) is float and math.isnan(value)):  # its sign counts, whatever its scale
        return None if value == 0 else value > 0
    if value in (-1, 0, 1):
        return None if value == 0 and name in _SIGNED else value > 0
    raise ValueError(
        f"{name} {value} is none of -1, 0 and 1; put what is good above 0 and what is bad below into `score`, "
        "or take form stars"
    )


def stars(value: Any) -> bool | None:
    """Of one to five stars: four and five are good, one and two bad, three neither.

    Raises:
        ValueError: it is no such number.
    """
    if value is None:
        return None
    found = number(value)
    if found is None or not 1 <= found <= 5:
        raise ValueError(f"{value!r:.80} is no number of stars from 1 to 5")
    return None if 2 < found < 4 else found >= 4


def labelled(record: Record) -> list[Built]:
    """A rated answer to a prompt, TRL's unpaired form or flat columns of any of the known names."""
    prompt, answer = _prompt_and_answer(record.value)
    return _label(record, prompt, answer, _rated(record.value, "the record"), "labels/rated")


def in_stars(record: Record) -> list[Built]:
    """Likewise, rated with one to five stars."""
    value = record.value
    given = first_of(value, ("stars", "rating", "score"))
    if given is None and not any(name in value for name in ("stars", "rating", "score")):
        raise ValueError(f"no stars; {named(value)}")
    prompt, answer = _chat(value) if _is_chat(value) else _prompt_and_answer(value)
    return _label(record, prompt, answer, stars(given), "labels/stars")


def rated_chat(record: Record) -> list[Built]:
    """A chat: each rated answer of it, or its last where the rating stands beside the chat.

    Raises:
        ValueError: neither the chat nor a message of it has a rating, or a rating is none.
    """
    value = record.value
    prompt, answer = _chat(value)
    if any(name in value for name in RATINGS):
        return _label(record, prompt, answer, _rated(value, "the record"), "labels/chat")
    turns, given = [*prompt, *answer], _turns(value)
    before = len(turns) - len(given)  # a system message that stands beside the chat
    own = [
        (place, one) for place, one in enumerate(given) if type(one) is dict and any(name in one for name in RATINGS)
    ]
    if not own:
        raise ValueError(f"no {', no '.join(RATINGS)}, neither in the record nor in a message; {named(value)}")
    found = []
    for place, one in own:
        at = place + before
        if turns[at]["role"] != "assistant" or at == 0:
            raise ValueError(f"message {place + 1} is rated and is no answer but of role {turns[at]['role']!r:.40}")
        built = _label(
            record, recent(turns[:at]), [turns[at]], _rated(one, f"message {place + 1}"), "labels/chat", place + 1
        )
        found += built
    return found


def auto(record: Record) -> list[Built]:
    """By its keys: a chat, stars, or an answer beside its prompt."""
    value = record.value
    if "stars" in value:
        return in_stars(record)
    return rated_chat(record) if _is_chat(value) else labelled(record)


FORMS: dict[str, Callable[[Record], list[Built]]] = {
    "auto": auto,
    "trl": labelled,
    "llama-factory": auto,
    "thumbs": labelled,
    "chat": rated_chat,
    "stars": in_stars,
}


def _rated(value: Fields, where: str) -> bool | None:
    name = next((name for name in RATINGS if name in value), None)
    if name is None:
        raise ValueError(f"{where} has no {', no '.join(RATINGS)}; {named(value)}")
    return thumb(value[name], name)


def _label(
    record: Record, prompt: Messages, answer: Messages, label: bool | None, builder: str, place: int | None = None
) -> list[Built]:
    if label is None:
        return []
    fields = common(record.value)
    if place is not None:
        fields["id"] = part_id(record, str(place))
    model = text_of(record.value.get("model"))
    if model is not None:
        fields["chosen_model" if label else "rejected_model"] = model
    if (weight := record.value.get("weight")) is not None:
        fields["weight"] = _weight(weight)
    chosen, rejected = (answer, []) if label else ([], answer)
    return [Built(prompt, chosen, rejected, kind="label", label=label, builder=builder, **fields)]


def _weight(given: Any) -> float:
    found = number(given)
    if found is None or not 0 < found <= 1:
        raise ValueError(f"weight {given!r:.40} is no number above 0 and up to 1")
    return found


def _prompt_and_answer(value: Fields) -> tuple[Messages, Messages]:
    answer = first_of(value, _ANSWERS)
    if answer is None:
        raise ValueError(f"no {', no '.join(_ANSWERS)}; {named(value)}")
    if value.get("instruction") is not None:
        prompt = instruction(value)
    else:
        given = first_of(value, _PROMPTS)
        if given is None:
            raise ValueError(f"no {', no '.join(_PROMPTS)}; {named(value)}")
        given, answer = from_json(given, answer)
        prompt = messages(given, "prompt", "user")
    return with_system(value.get("system"), prompt), messages(answer, "completion", "assistant")


def _is_chat(value: Fields) -> bool:
    return any(value.get(name) is not None for name in _DIALOGUES)


def _turns(value: Fields) -> list[Any]:
    (given,) = from_json(first_of(value, _DIALOGUES))
    if hasattr(given, "tolist"):
        given = given.tolist()
    if not isinstance(given, list) or len(given) < 2:
        raise ValueError(f"{' or '.join(_DIALOGUES)} is no list of two or more messages; {named(value)}")
    return given


def _chat(value: Fields) -> tuple[Messages, Messages]:
    turns = with_system(value.get("system"), messages(_turns(value), "messages", "user"))
    return turns[:-1], turns[-1:]
