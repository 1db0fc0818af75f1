"""Titles as questions, where a plain one says the same. Pure, English; docs/design/documents.md has the rules.

Few and good: a title that no rule fits asks nothing. ``How does HEADING work?`` would fit every title and few texts.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from tasks.data.documents.words import is_question, unprefixed, word_set

# gerund -> what one does; a title of customers' business begins with one of them
_VERBS = {
    "activating": "activate", "adding": "add", "applying": "apply", "blocking": "block", "booking": "book",
    "canceling": "cancel", "cancelling": "cancel", "changing": "change", "checking": "check", "claiming": "claim",
    "closing": "close", "contacting": "contact", "creating": "create", "deactivating": "deactivate",
    "deleting": "delete", "disputing": "dispute", "downloading": "download", "editing": "edit",
    "exchanging": "exchange", "extending": "extend", "finding": "find", "getting": "get", "installing": "install",
    "joining": "join", "opening": "open", "ordering": "order", "paying": "pay", "placing": "place", "printing": "print",
    "recovering": "recover", "redeeming": "redeem", "registering": "register", "removing": "remove",
    "renewing": "renew", "reporting": "report", "requesting": "request", "resetting": "reset",
    "returning": "return", "scheduling": "schedule", "sending": "send", "submitting": "submit",
    "tracking": "track", "transferring": "transfer", "unlocking": "unlock", "updating": "update",
    "upgrading": "upgrade", "using": "use", "verifying": "verify",
}  # fmt: skip
_DO = frozenset(_VERBS.values())
_ONE = word_set("policy warranty fee price cost deadline limit guarantee procedure process")
_MANY = word_set(
    "policies fees prices costs deadlines limits rules requirements conditions hours times charges rates "
    "options methods benefits exclusions procedures"
)
_AMOUNTS = word_set("fee fees price prices cost costs charge charges rates hours times deadline deadlines limit limits")
_FIGURE = re.compile(r"\d|\b(?:free|no|none|without)\b", re.IGNORECASE)
_GOES_ON = re.compile(r"(?:and|or|but|und|oder|aber)\b", re.IGNORECASE)
_DETERMINERS = word_set("a an the my your our this these any all")
_ASKING = re.compile(
    r"^(?:how (?:do|does|can|should|long|many|much|often|soon)|what (?:is|are|do|does|happens|if|should)"
    r"|when (?:is|are|do|does|can|will)|where (?:is|are|do|can)|who (?:is|are|pays|can|do)|which"
    r"|why (?:is|are|do|does|was|can)|can (?:i|we|you)|do (?:i|we|you)"
    r"|may (?:i|we)|am i|is (?:it|there|my)|are (?:there|my)|will (?:i|my|you))\b.*\s.*",
    re.IGNORECASE,
)
_UNCLEAR = re.compile(r"\b(?:you|you're|yourself|etc|and/or)\b|[;:|/]|\.\s", re.IGNORECASE)
_NUMBER = re.compile(r"^\s*(?:§\s*|(?:section|chapter|article)\s+)?\d+(?:\.\d+)*[.):]?\s+", re.IGNORECASE)


class Asked(NamedTuple):
    """``rule``: ``question``, ``unmarked``, ``how-to``, ``doing``, ``task``, ``noun``."""

    question: str
    rule: str


def ask_title(title: str, text: str) -> Asked | None:
    """The question that a title stands for; None where no rule fits.

    Args:
        text: what stands under the title.

    - ``question``: it is one, and doesn't begin with *and*, *or*, *but*: those go on from another question.
    - ``unmarked``: it begins as one and lacks the mark: *Where do I find my order number*.
    - ``how-to``: *How to return an item*: How do I return an item?
    - ``doing``: begins with one of 48 verbs: *Returning an item*: How do I return an item?
    - ``task``: such a verb with a or the, my or your behind it: *Reset your password*: How do I reset my password?
    - ``noun``: two to four words that end in one of 28 nouns with one meaning in a policy: *Opening hours*: What are
      the opening hours? Of an amount, the first 30 words of the text must have a figure, or *free* or *no*.
    """
    if (asked := is_question(title)) is not None:
        return None if _GOES_ON.match(asked) else Asked(asked, "question")
    said = " ".join(text.split()[:30])
    text = _NUMBER.sub("", unprefixed(title)).rstrip(".: ").strip()
    words = text.split()
    if not 2 <= len(words) <= 14 or not text.isascii():
        return None
    if _ASKING.match(text):
        return Asked(f"{text}?", "unmarked")
    if _UNCLEAR.search(text):
        return None
    lower = [_lowered(word) for word in words]
    if lower[0] == "how" and lower[1] == "to" and len(words) > 2:
        return Asked(f"How do I {_mine(lower[2:])}?", "how-to")
    if lower[-1] in _ONE | _MANY and len(words) <= 4 and (lower[-1] not in _AMOUNTS or _FIGURE.search(said)):
        verb = "are" if lower[-1] in _MANY else "is"
        rest = lower[1:] if lower[0] in ("the", "our", "your") else lower
        return Asked(f"What {verb} the {' '.join(rest)}?", "noun")
    if lower[0] in _VERBS:
        return Asked(f"How do I {_VERBS[lower[0]]} {_mine(lower[1:])}?", "doing") if len(words) <= 8 else None
    if lower[0] in _DO and lower[1] in _DETERMINERS and 3 <= len(words) <= 8:
        return Asked(f"How do I {_mine(lower)}?", "task")
    return None


def name_title(path: Sequence[str]) -> str:
    """A title that asks nothing, asked for by its name: for recipes that say ``form = "titles"``."""
    under = f" under “{path[-2]}”" if len(path) > 1 else ""
    return f"What does the documentation say about “{path[-1]}”{under}?"


def _lowered(word: str) -> str:
    """Titles are written in capitals; what has some inside (``PDF``, ``iPhone``) or a digit keeps them."""
    plain = word[:1].isupper() and word[1:].islower()
    return word.lower() if plain or len(word) == 1 else word


def _mine(words: list[str]) -> str:
    return " ".join({"your": "my", "yours": "mine", "our": "the"}.get(word, word) for word in words)
