"""A service log as runs: all that one side said until the customer spoke again, behind what was said before."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tasks.data.kinds.messages import Messages, recent, with_system
from tasks.data.kinds.turns import Event, Turn


class Part(NamedTuple):
    """An answer in the log, and all versions of it: more than one where it was asked for again."""

    place: int
    turn: Turn
    versions: tuple[int, ...]


@dataclass
class Run:
    """What bot and people said in a row.

    Attributes:
        prompt: what was said before, beginning and ending with the customer.
        looked_up: something happened between question and answer that the texts don't hold.
        used: a row was made of it.
    """

    prompt: Messages
    parts: list[Part] = field(default_factory=list)
    looked_up: bool = False
    used: bool = False

    @property
    def text(self) -> str:
        return join(part.turn.text for part in self.parts)

    @property
    def who(self) -> set[str]:
        return {part.turn.who for part in self.parts}

    def before(self, part: Part) -> str:
        """What the run said before this part of it."""
        return join(one.turn.text for one in self.parts if one.place < part.place)


class Log(NamedTuple):
    turns: list[Turn]
    runs: list[Run]
    events: list[tuple[int, Event]]  # place and what happened


def read_log(turns: list[Turn], system: Any) -> Log:
    """Runs that follow a customer's turn: a greeting before the first question answers nothing, and is left out.

    Args:
        system: the record's own system message, or None.

    Raises:
        ValueError: it is no text.
    """
    versions, dropped = _versions(turns)
    said: Messages = with_system(system, [])
    side, texts = "", list[str]()  # who speaks, and what he said in a row
    runs: list[Run] = []
    events: list[tuple[int, Event]] = []
    looked_up = False
    for place, turn in enumerate(turns):
        if turn.event is not None and turn.who not in ("system", "event"):
            events.append((place, turn.event))
        if turn.who in ("system", "event"):
            if turn.who == "system" and not side:
                said = said or with_system(turn.text, [])
            else:
                events.append((place, turn.event or "action"))
                looked_up = looked_up or events[-1][1] == "action"
        elif not turn.text.strip() and turn.draft is None and len(versions.get(place, "")) < 2:
            looked_up = True  # a picture, perhaps
        elif turn.who == "user":
            if side == "assistant":
                said.append({"role": side, "content": join(texts)})
                texts = []
            side, looked_up = "user", False
            texts.append(turn.text)
        elif place not in dropped and side:
            if side == "user":
                said.append({"role": side, "content": join(texts)})
                texts = []
                runs.append(Run(recent(said)))
            shown = turns[_shown(turns, versions[place])]
            runs[-1].parts.append(Part(place, shown, versions[place]))
            runs[-1].looked_up = runs[-1].looked_up or looked_up
            side = "assistant"
            texts.append(shown.text)
    return Log(turns, runs, events)


def join(texts: Any) -> str:
    return "\n".join(text for text in texts if text.strip())


def _versions(turns: list[Turn]) -> tuple[dict[int, tuple[int, ...]], set[int]]:
    """For each answer all its versions, at the place of the first; and the places of the others."""
    root: dict[int, int] = {}
    groups: dict[int, list[int]] = defaultdict(list)
    for place, turn in enumerate(turns):
        root[place] = place if turn.regenerated is None else root[turn.regenerated]
        groups[root[place]].append(place)
    return {first: tuple(group) for first, group in groups.items()}, {place for place in root if root[place] != place}


def _shown(turns: list[Turn], versions: tuple[int, ...]) -> int:
    """The version that the customer answered: the last one before he did."""
    until = next((place for place in range(versions[0], versions[-1]) if turns[place].who == "user"), len(turns))
    return max(place for place in versions if place < until)
