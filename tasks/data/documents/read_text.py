"""Plain text as blocks: paragraphs apart by empty lines, headings by three rules of form that leave little to doubt."""

import re

from tasks.data.documents.sections import Block

_UNDER = re.compile(r"^\s*(=|-|~)\1{2,}\s*$")
_NUMBERED = re.compile(
    r"^\s*(?:§\s*|(?:section|chapter|article|abschnitt|kapitel|artikel)\s+)?(\d{1,2}(?:\.\d{1,2}){0,4})[.)]?\s+\S", re.I
)
_MARKED = re.compile(r"^(#{1,6})\s+(.*\S)\s*#*$")
_ITEM = re.compile(r"^\s*(?:[-*•–◦▪‣·]|\d{1,3}[.)])\s+")
LONGEST = 100  # characters of a heading


def text_blocks(text: str) -> list[Block]:
    """A heading is a line of at most 100 characters that stands alone and is underlined with ``===`` or ``---``, begins
    with a number (``2.1 Returns``; a paragraph that has none follows), is all capitals, or begins with ``#``."""
    blocks: list[Block] = []
    paragraphs = _paragraphs(text)
    for place, (lines, first) in enumerate(paragraphs):
        after = paragraphs[place + 1][0][0] if place + 1 < len(paragraphs) else ""
        rest, begin = lines, first
        if len(rest) > 1 and _UNDER.match(rest[1]) and _may_be_heading(rest[0]):
            level = 1 if rest[1].strip()[0] == "=" else 2
            blocks.append(Block(level, rest[0].strip(), begin, begin + 1))
            rest, begin = rest[2:], begin + 2
        elif (level := heading_level(rest[0])) and (
            rest[0].startswith("#") or (len(rest) == 1 and not _in_list(rest[0], after))
        ):
            blocks.append(Block(level, _MARKED.sub(r"\2", rest[0]).strip(), begin, begin))
            rest, begin = rest[1:], begin + 1
        rest = [line for line in rest if not _UNDER.match(line)]
        blocks += _texts(rest, begin)
    return blocks


def heading_level(line: str) -> int:
    """The level of a line that may be a heading where it stands alone; 0 where it is none."""
    if marked := _MARKED.match(line):
        return len(marked.group(1))
    if not _may_be_heading(line):
        return 0
    if numbered := _NUMBERED.match(line):
        return 2 + numbered.group(1).count(".")
    letters = [char for char in line if char.isalpha()]
    return 1 if len(letters) >= 3 and all(char.isupper() for char in letters) else 0


def _in_list(line: str, after: str) -> bool:
    """Whether a numbered line is followed by another number that isn't one below it: items of a list, not headings."""
    one, other = _NUMBERED.match(line), _NUMBERED.match(after)
    return one is not None and (not after or (other is not None and not other.group(1).startswith(f"{one.group(1)}.")))


def _may_be_heading(line: str) -> bool:
    text = line.strip()
    return bool(text) and len(text) <= LONGEST and text[-1] not in ".,;:!" and any(char.isalpha() for char in text)


def _paragraphs(text: str) -> list[tuple[list[str], int]]:
    found: list[tuple[list[str], int]] = []
    open_ = False
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            open_ = False
        elif open_:
            found[-1][0].append(line)
        else:
            found.append(([line], number))
            open_ = True
    return found


def _texts(lines: list[str], first: int) -> list[Block]:
    """A paragraph's blocks: its items apart."""
    parts: list[tuple[int, bool, list[str]]] = []
    for number, line in enumerate(lines, first):
        item = _ITEM.match(line) is not None
        if parts and not item:
            parts[-1][2].append(line.strip())
        else:
            parts.append((number, item, [line.strip()]))
    return [Block(0, "\n".join(text), number, number + len(text) - 1, item=item) for number, item, text in parts]
