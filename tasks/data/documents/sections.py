"""Sections: what a document says, under which titles, and where it stands. Pure.

Readers (``read_markdown``, ``read_html``, ``read_text``, ``read_pdf``) give blocks in the document's order; here they
become sections. A line that is a question opens a section of its own, as in an FAQ that has no headings.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from infra.digest import Digest, Record
from tasks.data.documents.words import is_question, unprefixed

QUESTION_LEVEL = 100  # below any heading: a question's answer ends at the next heading or question
_ITEM = re.compile(r"^(?:[-*•–◦▪‣·]|\d{1,3}[.)])\s+")
_ANSWER = re.compile(r"^\s*(?:A|Answer|Antwort)\s*\d*\s*:\s*")
_ASKED = re.compile(r"^\s*(?:(?:Q|Question|Frage)\s*\d*\s*[:.)]|F\s*\d*\s*:).*[?？؟]\s*$")


class Block(NamedTuple):
    """A heading (``level`` from 1) or text (0), with the lines or pages it stands on. ``item``: of a list."""

    level: int
    text: str
    first: int
    last: int
    item: bool = False
    verbatim: bool = False


class Anchor(Record):
    """Where a section stands, from 1, both ends included; of JSON the pointer (RFC 6901). One of them is set."""

    lines: tuple[int, int] | None = None
    pages: tuple[int, int] | None = None
    pointer: str | None = None


class Section(Record):
    """One section's own text, without that of the sections under it.

    Attributes:
        source: the document's name.
        document: the digest of its bytes.
        path: titles from the outermost on; empty for what stands before the first heading.
        text: paragraphs, apart by an empty line; a list's items each on a line.
    """

    source: str
    document: Digest
    path: tuple[str, ...]
    text: str
    anchor: Anchor

    @property
    def title(self) -> str:
        return self.path[-1] if self.path else ""


def sections_of(source: str, document: Digest, blocks: Iterable[Block], unit: str) -> list[Section]:
    """Sections of a document's blocks, in its order.

    Args:
        unit: what blocks count, ``lines`` or ``pages``.
    """
    found: list[Section] = []
    titles: list[tuple[int, str]] = []
    texts: list[Block] = []
    begun = 1

    def close(end: int) -> None:
        if titles or texts:
            last = max([begun, *(block.last for block in texts)])
            span: Any = {unit: (begun, min(max(last, begun), max(end, begun)))}
            path = tuple(title for _, title in titles)
            found.append(
                Section(source=source, document=document, path=path, text=joined(texts), anchor=Anchor(**span))
            )

    last = 1
    for block in (part for whole in blocks for part in _questions_apart(whole)):
        if block.level == 0:
            begun = begun if texts or titles else block.first
            answers = not texts and bool(titles) and is_question(titles[-1][1]) is not None
            texts.append(block._replace(text=_ANSWER.sub("", block.text)) if answers else block)
        else:
            close(last)
            while titles and titles[-1][0] >= block.level:
                titles.pop()
            titles.append((block.level, one_line(block.text)))
            texts, begun = [], block.first
        last = max(last, block.last)
    close(last)
    return found


def joined(blocks: Sequence[Block]) -> str:
    """The text of blocks: lines of a paragraph run on, items of a list each on a line."""
    text = ""
    before: Block | None = None
    for block in blocks:
        piece = block.text if block.verbatim else run_on(block.text)
        if before is not None:
            text += "\n" if block.item and before.item else "\n\n"
        text += piece
        before = block
    return text.strip()


def run_on(text: str) -> str:
    """A paragraph on one line, but for lines that are items of a list."""
    lines: list[list[str]] = []
    for line in (part.strip() for part in text.split("\n")):
        if line and lines and not _ITEM.match(line):
            lines[-1].append(line)
        elif line:
            lines.append([line])
    return "\n".join(" ".join(" ".join(parts).split()) for parts in lines)


def one_line(text: str) -> str:
    return " ".join(text.split())


def whole_text(sections: Sequence[Section], place: int) -> tuple[str, Anchor]:
    """A section's text with that of the sections under it, their titles as lines of their own; and where it stands."""
    own = sections[place]
    parts, last = [own.text], own
    for section in sections[place + 1 :]:
        if section.path[: len(own.path)] != own.path or len(section.path) <= len(own.path):
            break
        parts.append(f"{section.title.rstrip(':')}:" if not is_question(section.title) else section.title)
        parts.append(section.text)
        last = section
    text = "\n\n".join(part for part in parts if part)
    return text, _spanned(own.anchor, last.anchor)


def _spanned(one: Anchor, other: Anchor) -> Anchor:
    if one.lines and other.lines:
        return Anchor(lines=(one.lines[0], other.lines[1]))
    if one.pages and other.pages:
        return Anchor(pages=(one.pages[0], other.pages[1]))
    return one


def _questions_apart(block: Block) -> list[Block]:
    """A text block, its questions as headings: one that is a question as a whole, one whose first line is a question,
    and every line that begins with ``Q:``."""
    if block.level or block.verbatim or block.item:
        return [block]
    whole = is_question(one_line(block.text))
    if whole is not None:
        return [Block(QUESTION_LEVEL, whole, block.first, block.last)]
    lines = block.text.split("\n")
    parts: list[tuple[bool, list[str], int]] = []
    for number, line in enumerate(lines):
        # a question that is wrapped over two lines is not looked for here: what is asked must stand on one
        marked = _ASKED.match(line) is not None
        asked = unprefixed(line) if marked else is_question(line) if number == 0 else None
        if asked is not None:
            parts.append((True, [asked], number))
        elif parts and not parts[-1][0]:
            parts[-1][1].append(line)
        else:
            parts.append((False, [_ANSWER.sub("", line) if parts else line], number))
    if not any(asked for asked, _, _ in parts):
        return [block]
    return [
        Block(QUESTION_LEVEL if asked else 0, "\n".join(text), block.first + at, block.first + at + len(text) - 1)
        if block.last - block.first >= len(lines) - 1
        else Block(QUESTION_LEVEL if asked else 0, "\n".join(text), block.first, block.last)
        for asked, text, at in parts
    ]
