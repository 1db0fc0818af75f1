"""A section's text as an answer: whole sentences and whole items, within a bound. Pure."""

import re
from typing import NamedTuple

from tasks.data.documents.words import sentences

_ITEM = re.compile(r"^(?:[-*•]|\d{1,3}[.)])\s")


class Answer(NamedTuple):
    """``cut``: the section says more than the answer."""

    text: str
    cut: bool


def grounded(text: str, most_words: int) -> Answer | None:
    """The beginning of a text, as much of it as fits; None where not even its first sentence does, or it says nothing.

    A line that only leads to what follows (``You need:``) is not left at the end.
    """
    pieces: list[tuple[str, str]] = []  # what stands in front: "", " ", "\n" or "\n\n"; a sentence or an item
    for paragraph in re.split(r"\n{2,}", text.strip()):
        for number, line in enumerate(paragraph.split("\n")):
            apart = "\n" if number else "\n\n"
            # an item and a line of code stay as they are
            parts = [line.rstrip()] if _ITEM.match(line) or line[:1] == " " else sentences(line)
            pieces += [(" " if place else apart, part) for place, part in enumerate(parts) if part]
    taken: list[tuple[str, str]] = []
    words = 0
    for before, piece in pieces:
        words += len(piece.split())
        if words > most_words:
            break
        taken.append((before, piece))
    while taken and len(taken) < len(pieces) and taken[-1][1].endswith(":"):
        taken.pop()
    if not any(char.isalnum() for _, piece in taken for char in piece):
        return None
    answer = "".join(before + piece for before, piece in taken).strip()
    return Answer(answer, len(taken) < len(pieces))
