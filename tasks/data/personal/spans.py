"""Where personal data or a secret stands in a text."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

PersonalKind = Literal["email", "phone", "iban", "card", "ip", "secret"]
KINDS: tuple[PersonalKind, ...] = get_args(PersonalKind)

# of two that overlap the earlier stays: a URL's password and host read like an address, a card's digits like a phone's
_PRECEDENCE: tuple[PersonalKind, ...] = ("secret", "email", "iban", "card", "ip", "phone")


class Span(NamedTuple):
    """``text[start:end]`` is of this kind."""

    kind: PersonalKind
    start: int
    end: int


def without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """In the text's order, none over another: of two that touch the same characters the more specific kind stays."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda one: (_PRECEDENCE.index(one.kind), one.start - one.end, one.start)):
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda one: one.start)


def before(text: str, start: int, reach: int) -> str:
    """At most ``reach`` characters before a place, of its own line: what a number is called stands there."""
    part = text[max(0, start - reach) : start]
    return part[part.rfind("\n") + 1 :]
