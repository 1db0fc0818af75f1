"""A document's own questions beside it: ``NAME.questions.jsonl``, a line ``{"question", "section"?}``."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from tasks.data.documents.sections import Section
from tasks.data.documents.words import word_set
from tasks.data.records import Broken

ENDING = ".questions.jsonl"
_KEYS = {"question", "section"}


class Question(NamedTuple):
    """``section``: a title, or titles from the outermost on with `` > `` between them; None: to be found."""

    question: str
    section: str | None
    line: int


def pair_up(names: Iterable[str]) -> tuple[dict[str, str | None], dict[str, str]]:
    """Each document with its sidecar, and the sidecars that belong to none, with the reason.

    ``returns.md.questions.jsonl`` belongs to ``returns.md``; ``returns.questions.jsonl`` to the one document called so
    whatever its ending.
    """
    names = list(names)
    documents: dict[str, str | None] = {name: None for name in names if not name.endswith(ENDING)}
    orphans: dict[str, str] = {}
    for sidecar in sorted(name for name in names if name.endswith(ENDING)):
        stem = sidecar.removesuffix(ENDING)
        fits = [stem] if stem in documents else [name for name in documents if name.rpartition(".")[0] == stem]
        if len(fits) != 1:
            which = f"{len(fits)} documents are called so: {', '.join(fits)}" if fits else "no document is called so"
            orphans[sidecar] = f"{which}; name it after one, ending included"
        elif documents[fits[0]] is not None:
            orphans[sidecar] = f"{fits[0]} has {documents[fits[0]]} already; put them into one"
        else:
            documents[fits[0]] = sidecar
    return documents, orphans


def read_questions(data: bytes) -> list[Question | Broken]:
    """The sidecar's questions; a line that is none is ``Broken``, and the others are kept."""
    found: list[Question | Broken] = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if raw.strip():
            try:
                found.append(_question(raw, number))
            except (ValueError, RecursionError) as error:
                found.append(Broken(raw, number, " ".join(str(error).split())[:300]))
    return found


def _question(raw: bytes, line: int) -> Question:
    try:
        value: Any = json.loads(raw)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8: {error.reason} at byte {error.start}") from None
    if not isinstance(value, dict) or not isinstance(value.get("question"), str) or not value["question"].strip():
        raise ValueError('no question: a line is {"question": "…", "section": "…"}')
    if unknown := sorted(value.keys() - _KEYS):
        raise ValueError(f"unknown keys {', '.join(unknown)}: a line has `question` and, where you like, `section`")
    section = value.get("section")
    if section is not None and (not isinstance(section, str) or not section.strip()):
        raise ValueError(f"section is {section!r}: give its title as text")
    return Question(" ".join(value["question"].split()), section, line)


def finder(sections: Sequence[Section]) -> Callable[[Question], int]:
    """What finds the section that answers a question: the one it names, else the one whose words it shares most.

    Without a name: each word of the question weighs by how few sections have it; a section must have half of that
    weight, and a quarter more than the next. What is given raises ValueError where no section is called so, several
    are, or none stands out.
    """
    terms = [_terms(f"{' '.join(section.path)} {section.text}") for section in sections]
    spread = Counter(term for one in terms for term in one)

    def place_of(asked: Question) -> int:
        if asked.section is not None:
            return _named(asked.section, sections)
        if len(sections) == 1:
            return 0
        weights = {term: math.log(1 + len(sections) / (1 + spread[term])) for term in _terms(asked.question)}
        marks = [sum(weight for term, weight in weights.items() if term in one) for one in terms]
        best, next_, *_ = [*sorted(marks, reverse=True), 0.0, 0.0]
        if best < sum(weights.values()) / 2 or best < 1.25 * next_ or best == 0.0:
            raise ValueError("it can't be told which section answers it: name one in `section`")
        return marks.index(best)

    return place_of


def _named(name: str, sections: Sequence[Section]) -> int:
    wanted = [_key(part) for part in name.split(" > ")]
    fits = [place for place, one in enumerate(sections) if [_key(part) for part in one.path][-len(wanted) :] == wanted]
    if len(fits) == 1:
        return fits[0]
    titles = [" > ".join(section.path) for section in sections if section.path]
    if not fits:
        raise ValueError(f"no section is called {name!r}; there are: {'; '.join(titles)[:200]}")
    raise ValueError(f"{len(fits)} sections are called {name!r}: write OUTER > {name}")


def _key(title: str) -> str:
    return " ".join(re.sub(r"\W+", " ", title.lower()).split())


def _terms(text: str) -> set[str]:
    return {word[:6] for word in re.findall(r"\w{3,}", text.lower()) if word not in _COMMON}


_COMMON = word_set(
    "the and for are you your can how what when where who why which does did was were will with from that "
    "this there have has not but our any all may must should would could long much many often"
)
