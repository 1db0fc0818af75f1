"""A nested JSON collection of policies as sections: titles are keys or ``title`` fields, texts lie anywhere below.

JSON says nothing of what is a title. The rule: a key that looks like words (a capital, a space) is a title; a key that
looks like a name in code is a field if it is a usual one (``TEXTS``, ``TITLES``) or holds objects or lists and occurs in two
objects or more, else a title too. A field's content belongs to the section it stands in.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

from infra.digest import Digest
from tasks.data.documents.sections import Anchor, Section

TITLES = ("title", "heading", "question", "name", "topic", "subject")
TEXTS = frozenset(
    "text body content answer description summary instructions details note notes subtext paragraphs".split()
)
LEFT_OUT = frozenset(
    "id uuid key slug url href version order index position type kind created updated author lang language".split()
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
        if isinstance(value, str):
            _append(lines, value)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                here = f"{pointer}/{number}"
                if isinstance(inner, str):
                    _append(lines, f"- {' '.join(inner.split())}")
                elif isinstance(inner, dict) and _title_of(inner) is not None:
                    yield "", inner, here
                else:
                    yield from self._lines(inner, here, lines, record=True)
        elif isinstance(value, dict):
            title = _title_key(value)
            for key, inner in value.items():
                here = f"{pointer}/{key.replace('~', '~0').replace('/', '~1')}"
                if key == title or inner is None or key.lower() in LEFT_OUT:
                    continue
                if isinstance(inner, str):
                    if self._is_field(key, inner) or record:
                        if key.lower() in TEXTS or len(inner.split()) >= FEWEST_WORDS:
                            _append(lines, inner)
                    else:
                        yield _words_of(key), inner, here
                elif isinstance(inner, dict | list):
                    if self._is_field(key, inner):
                        yield from self._lines(inner, here, lines, record=isinstance(inner, list))
                    else:
                        yield _words_of(key), inner, here
                else:
                    word = {True: "yes", False: "no"}[inner] if isinstance(inner, bool) else inner
                    _append(lines, f"{_words_of(key)}: {word}")

    def _is_field(self, key: str, inner: Any) -> bool:
        if re.search(r"[\s]|^[^a-z_]", key):
            return False
        return key.lower() in TEXTS or (isinstance(inner, dict | list) and key in self.recurring)


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
