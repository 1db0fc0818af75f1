"""A nested JSON collection of policies as sections: titles are keys or ``title`` fields, texts lie anywhere below.

JSON says nothing of what is a title. The rule: a key that looks like words (a capital, a space) is a title; a key that
looks like a name in code is a field if it is a usual one (``TEXTS``, ``TITLES``), or holds objects or lists and occurs
in two objects or more, else a title too. A field's content belongs to the section it stands in.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

from infra.digest import Digest
from tasks.data.documents.sections import Anchor, Section
from tasks.data.documents.words import word_set

TITLES = ("title", "heading", "question", "name", "topic", "subject")
TEXTS = word_set("text body content answer description summary instructions details note notes subtext paragraphs")
LEFT_OUT = word_set(
    "id uuid key slug url href version order index position type kind created updated author lang language"
)
DEPTH = 64
FEWEST_WORDS = 4  # of a text under a field that isn't a usual one: less is a label


def json_sections(source: str, document: Digest, text: str) -> list[Section]:
    """The sections of a collection, in its order, each with the JSON pointer of its object.

    Raises:
        ValueError: no JSON, nested deeper than 64, a key that occurs twice in one object, or NaN.
    """
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except RecursionError:
        raise ValueError(f"nested deeper than {DEPTH}: flatten it") from None
    counts: Counter[str] = Counter()
    _count(value, counts, 0)
    walk = _Walk(source, document, {key for key, count in counts.items() if count > 1})
    walk.section(value, (), "")
    return [one for one in walk.found if one.text or one.path]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if twice:
        raise ValueError(f"the key {twice[0]!r} occurs twice in one object: one of its texts would be lost; rename one")
    return dict(pairs)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number: leave it out")


def _count(value: Any, counts: Counter[str], depth: int) -> None:
    """In how many objects each key holds an object or a list."""
    if depth > DEPTH:
        raise ValueError(f"nested deeper than {DEPTH}: flatten it")
    if isinstance(value, dict):
        counts.update(key for key, inner in value.items() if isinstance(inner, dict | list))
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _count(inner, counts, depth + 1)


class _Walk:
    def __init__(self, source: str, document: Digest, recurring: set[str]) -> None:
        self.source, self.document, self.recurring = source, document, recurring
        self.found: list[Section] = []

    def section(self, value: Any, path: tuple[str, ...], pointer: str) -> None:
        """A value as a section of its own: first its own lines, then the sections below it."""
        title = _title_of(value)
        if title is not None and title not in path[-1:]:
            path = (*path, title)
        lines: list[str] = []
        below = list(self._lines(value, pointer, lines, record=False))
        text = "\n".join(lines)
        anchor = Anchor(pointer=pointer)
        self.found.append(Section(source=self.source, document=self.document, path=path, text=text, anchor=anchor))
        for name, inner, inner_pointer in below:
            self.section(inner, (*path, name) if name else path, inner_pointer)

    def _lines(self, value: Any, pointer: str, lines: list[str], *, record: bool) -> Iterator[tuple[str, Any, str]]:
        """Put the value's own text into ``lines``; gives what is a section of its own: title, value, pointer."""
        if isinstance(value, dict):
            title = _title_key(value)
            for key, inner in value.items():
                if key != title and inner is not None and key.lower() not in LEFT_OUT:
                    here = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
                    yield from self._entry(key, inner, here, lines, record=record)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                here = f"{pointer}/{number}"
                if isinstance(inner, dict) and _title_of(inner) is not None:
                    yield "", inner, here
                elif isinstance(inner, dict | list):
                    yield from self._lines(inner, here, lines, record=True)
                elif inner is not None:
                    _append(lines, f"- {' '.join(_said(inner).split())}")
        elif value is not None:
            _append(lines, _said(value))

    def _entry(
        self, key: str, inner: Any, here: str, lines: list[str], *, record: bool
    ) -> Iterator[tuple[str, Any, str]]:
        """One key of an object. ``record``: the object is of a list, whose keys are fields."""
        field = self._is_field(key, inner)
        if isinstance(inner, bool | int | float):
            _append(lines, f"{_words_of(key)}: {_said(inner)}")
        elif isinstance(inner, str) and (field or record):
            if key.lower() in TEXTS or len(inner.split()) >= FEWEST_WORDS:
                _append(lines, inner)
        elif field:
            yield from self._lines(inner, here, lines, record=isinstance(inner, list))
        else:
            yield _words_of(key), inner, here

    def _is_field(self, key: str, inner: Any) -> bool:
        if re.search(r"[\s]|^[^a-z_]", key):
            return False
        return key.lower() in TEXTS or (isinstance(inner, dict | list) and key in self.recurring)


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _append(lines: list[str], text: str) -> None:
    if text.strip():
        lines.append("\n".join(" ".join(line.split()) for line in text.strip().split("\n")))


def _title_key(value: dict[str, Any]) -> str | None:
    return next(
        (key for key in value if key.lower() in TITLES and isinstance(value[key], str) and value[key].strip()), None
    )


def _title_of(value: Any) -> str | None:
    key = _title_key(value) if isinstance(value, dict) else None
    return None if key is None else " ".join(value[key].split())


def _words_of(key: str) -> str:
    """``return_policy`` and ``returnPolicy`` as words."""
    return " ".join(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key.replace("_", " ")).split())
