"""Whether an answer really differs from what the document says: by a rule that can be checked, and says why. Pure.

Three reasons, looked for in this order; docs/design/documents.md says what they miss, and how often they are right:

- ``figure``: answer and document have figures of one kind (a duration, an amount, a date, an address, a number of
  returns …), and share none of that kind
- ``negation``: a clause of the answer and one of the document are about the same, and one of the two says no
- ``missing``: the answer has hardly any of the document's terms that the question doesn't have already, and no figure
  of it

An answer that says the same in other words must not become a rejected one: where no reason is found, there is no pair.
"""

import re
from typing import Literal

from infra.digest import Record
from tasks.data.documents.polarity import Clause, clauses, stems
from tasks.data.documents.quantities import Quantity, quantities, same

LEAST_SHARE = 0.2  # of the document's terms that an answer must have, at least one
ALIKE = 0.6  # of the shorter clause's words that two clauses about the same share
_YES_NO = re.compile(
    r"^\W*(yes|no|yeah|nope|ja|nein)\b(?!\s+(?:later|more|less|fewer|need|one|matter|fee|charge|cost))", re.IGNORECASE
)
_ASKS_YES = re.compile(
    r"^\W*(?:[^?:]{1,60}:\s*)?(?:can|could|do|does|did|is|are|am|may|will|would|must|should|have|has)\b", re.IGNORECASE
)


class Difference(Record):
    """``detail``: what the answer says and what the document says, for people."""

    reason: Literal["figure", "negation", "missing"]
    detail: str


def differs(answer: str, document: str, question: str = "") -> Difference | None:
    """The first difference found; None where there is none. A blank answer says nothing to reject.

    Args:
        document: the grounded answer, or the whole section.
        question: its words are in any answer, and prove nothing; one that asks yes or no is checked by that word too.
    """
    if not any(char.isalnum() for char in answer):
        return None
    mine, theirs = quantities(answer), quantities(document)
    figure = _figure(mine, theirs, quantities(question))
    if figure is not None:
        return figure
    says, holds = _asserted(answer, question), _asserted(document, question)
    if says is not None and holds is not None:
        # who agrees on what was asked doesn't differ by leaving out the rest
        return _reverse(says) if says != holds else _flip(answer, document)
    return _flip(answer, document) or _missing(answer, document, question, mine, theirs)


def _reverse(says: bool) -> Difference:
    return Difference(reason="negation", detail=f"the answer says {'yes' if says else 'no'}, the document the reverse")


def _figure(mine: list[Quantity], theirs: list[Quantity], asked: list[Quantity]) -> Difference | None:
    for kind in dict.fromkeys(one.kind for one in mine):
        # a figure of the question is repeated by any answer
        here = [one for one in mine if one.kind == kind and not any(same(one, other) for other in asked)]
        there = [one for one in theirs if one.kind == kind and not any(same(one, other) for other in asked)]
        if here and there and not any(same(one, other) for one in here for other in there):
            return Difference(
                reason="figure", detail=f"{kind}: the answer says {_listed(here)}, the document {_listed(there)}"
            )
    return None


def _listed(found: list[Quantity]) -> str:
    return ", ".join(dict.fromkeys(one.text for one in found[:4]))


def _flip(answer: str, document: str) -> Difference | None:
    """A clause of the answer that is about the same as one of the document, and is negated where that isn't.

    Sentences with a condition are left out: *only unused ones* and *not the used ones* say the same.
    """
    ours = clauses(document)
    for clause in (one for one in clauses(answer) if not one.condition):
        best = max((_alike(clause, other) for other in ours), default=0.0)
        alike = [other for other in ours if _alike(clause, other) == best]
        if best >= ALIKE and all(one.negated != clause.negated and not one.condition for one in alike):
            detail = f"the answer says “{clause.text}”, the document “{alike[0].text}”"
            return Difference(reason="negation", detail=detail)
    return None


def _asserted(text: str, question: str) -> bool | None:
    """Whether a text says yes or no to a question that asks so: by its first word, else its first clause about it."""
    if not _ASKS_YES.match(question):
        return None
    word = _YES_NO.match(text)
    if word is not None:
        return word.group(1).lower() in ("yes", "yeah", "ja")
    asked = clauses(question.rsplit(":", 1)[-1])
    if not asked or asked[0].negated:
        return None
    words = asked[0].words
    about = [one for one in clauses(text) if len(one.words & words) >= max(2, ALIKE * len(words))]
    return None if not about or about[0].condition else not about[0].negated


def _alike(one: Clause, other: Clause) -> float:
    shared = len(one.words & other.words)
    return shared / min(len(one.words), len(other.words)) if shared >= 2 else 0.0


def _missing(
    answer: str, document: str, question: str, mine: list[Quantity], theirs: list[Quantity]
) -> Difference | None:
    if any(same(one, other) for one in mine for other in theirs):
        return None
    terms = stems(document) - stems(question)
    has = terms & stems(answer)
    if not terms or (has and len(has) >= LEAST_SHARE * len(terms)):
        return None
    lacks = ", ".join(sorted(terms - has)[:6])
    return Difference(reason="missing", detail=f"{len(has)} of the document's {len(terms)} terms; it lacks {lacks}")
