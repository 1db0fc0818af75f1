"""A service log as turns: who said what, what was drafted, what happened in between. Names of many systems."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from tasks.data.kinds.fields import TIME_NAMES, Fields, first_of, moment, named, text_of
from tasks.data.kinds.labels import thumb

Who = Literal["user", "bot", "person", "system", "event"]
Event = Literal["hand-over", "escalated", "resolved", "action"]

# in a list of its own, or any list of turns that a record has
_LISTS = (
    "messages", "turns", "conversation", "conversations", "dialogue", "dialog", "transcript", "utterances", "log",
    "history", "original",
)  # fmt: skip
_WHO = ("role", "speaker", "from", "sender", "author_role", "participant")
_TEXT = ("content", "text", "message", "body", "value", "utterance")

# a customer writes these logs too: what one talk takes is bounded
MOST, MOST_CHARACTERS = 4000, 1_000_000
_THUMBS = ("thumb", "thumbs", "feedback", "reaction", "vote")

_ROLES: dict[str, Who] = {
    **dict.fromkeys(
        ("user", "customer", "client", "caller", "visitor", "enduser", "requester", "human", "guest"), "user"
    ),
    **dict.fromkeys(("assistant", "bot", "chatbot", "ai", "gpt", "model", "virtualagent"), "bot"),
    **dict.fromkeys(
        ("agent", "operator", "support", "representative", "rep", "csr", "advisor", "employee", "humanagent", "staff"),
        "person",
    ),
    "system": "system",
    **dict.fromkeys(
        ("event", "action", "note", "internal", "tool", "function", "observation", "functioncall"), "event"
    ),
}
_AUTHORS: dict[str, Who] = {"human": "person", "person": "person", "bot": "bot", "model": "bot", "ai": "bot"}
_EVENTS: dict[str, Event] = {
    **dict.fromkeys(
        ("handover", "handoff", "handedover", "transfer", "transferred", "transferredtoagent", "takeover"), "hand-over"
    ),
    **dict.fromkeys(("escalated", "escalate", "escalation"), "escalated"),
    **dict.fromkeys(("resolved", "resolve", "solved"), "resolved"),
}


@dataclass
class Turn:
    """One entry of a log.

    Attributes:
        text: what was sent; of an event nothing.
        draft: what the bot proposed and a person may have edited; None where there was none.
        regenerated: place of the answer that this one was asked for instead of.
        event: what happened; with a message, what happened with it.
        rating: of an answer, by its reader; None where he said nothing.
    """

    who: Who
    text: str
    draft: str | None = None
    regenerated: int | None = None
    event: Event | None = None
    rating: bool | None = None
    annotator: str | None = None
    model: str | None = None
    timestamp: str | None = None


def turns_of(value: Fields) -> list[Turn]:
    """The record's turns in order.

    Raises:
        ValueError: there is no list of turns, or a turn can't be read; the message says which.
    """
    given = _listed(value)
    if len(given) > MOST:
        raise ValueError(f"{len(given)} turns are more than a talk has ({MOST}); split the log into its talks")
    found: list[Turn] = []
    places: dict[str, int] = {}
    for number, one in enumerate(given, 1):
        turn = _turn(one, f"turn {number}")
        if type(one) is dict:
            turn.regenerated = _regenerated(one, places, found, f"turn {number}")
            if (name := text_of(one.get("id"))) is not None:
                places[name] = number - 1
        found.append(turn)
    if (length := sum(len(turn.text) + len(turn.draft or "") for turn in found)) > MOST_CHARACTERS:
        raise ValueError(
            f"{length} characters are more than a talk has ({MOST_CHARACTERS}); split the log into its talks"
        )
    return found


def _listed(value: Fields) -> list[Any]:
    for name in _LISTS:
        found: Any = value.get(name)
        if hasattr(found, "tolist"):
            found = found.tolist()
        if isinstance(found, list) and found and all(_is_turn(one) for one in found):
            return found
    raise ValueError(f"no {', '.join(_LISTS)} is a list of turns, each with a role and a text; {named(value)}")


def _is_turn(one: Any) -> bool:
    """An object with a speaker or an event, or [speaker, text]."""
    if type(one) is dict:
        return "event" in one or any(type(one.get(name)) is str for name in _WHO)
    return isinstance(one, list | tuple) and len(one) == 2 and all(type(part) is str for part in one)


def _turn(one: Any, where: str) -> Turn:
    if type(one) is not dict:
        who = _role(one[0], where)
        return Turn(who, one[1], event=_event(one[1]) if who == "event" else None)
    when = first_of(one, TIME_NAMES)
    role, text, happened = first_of(one, _WHO), first_of(one, _TEXT), one.get("event") or None
    who = "event" if role is None else _role(role, where)
    event = _event(happened) if happened is not None else None
    if who == "event" or (text is None and event is not None):
        return Turn("event", "", event=event or _event(text), timestamp=moment(when))
    if type(text) is not str:
        raise ValueError(f"{where} has none of {', '.join(_TEXT)} as text")
    draft = one.get("draft")
    if draft is not None and type(draft) is not str:
        raise ValueError(f"{where} has a draft that is no text but {type(draft).__name__}")
    author = one.get("author")
    if author is not None and who in ("bot", "person"):
        who = _AUTHORS.get(_plain(author) if type(author) is str else "", who)
    rated = next((name for name in _THUMBS if name in one), None) if who in ("bot", "person") else None
    return Turn(
        who,
        text,
        draft=draft if who in ("bot", "person") else None,
        rating=thumb(one[rated], rated) if rated is not None else None,
        annotator=text_of(first_of(one, ("agent_id", "annotator", "author_id"))),
        model=text_of(one.get("model")),
        timestamp=moment(when),
        event=event if event != "action" else None,  # "message", as some logs call each turn
    )


def _regenerated(one: Fields, places: dict[str, int], before: list[Turn], where: str) -> int | None:
    """Place of the answer this one replaces: by its id, or the answer before where it only says that it does."""
    given = first_of(one, ("regenerated_of", "regenerated-of", "regenerated"))
    if given is None or given is False or given == "":
        return None
    if given is True:
        place = next((place for place in reversed(range(len(before))) if before[place].who != "event"), None)
    else:
        place = places.get(text_of(given) or "")
    if place is None or before[place].who not in ("bot", "person"):
        raise ValueError(f"{where} was regenerated of {given!r:.60}, which is no answer before it")
    return place


def flag(value: Any, name: str) -> bool:
    """Whether a record says yes to something; nothing said is no.

    Raises:
        ValueError: it is neither yes nor no.
    """
    plain = value.strip().lower() if type(value) is str else value
    if plain in (True, "true", "yes", "1"):
        return True
    if plain in (None, False, "", "false", "no", "0"):
        return False
    raise ValueError(f"{name} is neither true nor false: {value!r:.60}")


def _role(role: Any, where: str) -> Who:
    found = _ROLES.get(_plain(role)) if type(role) is str else None
    if found is None:
        raise ValueError(f"{where} is of the role {role!r:.60}, which is none of {', '.join(sorted(_ROLES))}")
    return found


def _event(text: Any) -> Event:
    return _EVENTS.get(_plain(text), "action") if type(text) is str else "action"


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()
