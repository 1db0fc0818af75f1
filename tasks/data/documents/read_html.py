"""HTML (parsed by html.parser through Beautiful Soup) as blocks.

What frames a page (navigation, header, footer, scripts, what is hidden) is left out. lxml's parser would be faster, but
silently drops what is nested deeper than 256 elements, and knows no line above 65,535.
"""

import re
from typing import Any

from bs4 import BeautifulSoup
from bs4.element import Comment, Doctype, NavigableString, PreformattedString, Tag

from tasks.data.documents.sections import Block
from tasks.data.documents.tables import table_lines
from tasks.data.documents.words import word_set

_LEFT_OUT = word_set(
    "script style template noscript nav svg math head form button select textarea iframe object audio video canvas"
)
_FRAMES = frozenset(("header", "footer", "aside"))  # of the page; inside an article they may hold its title
_INLINE = word_set(
    "a abbr b bdi bdo cite code data del dfn em font i img ins kbd label mark q s samp small span strike "
    "strong sub sup time tt u var wbr"
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)} | {"dt": 50, "summary": 50, "legend": 50}
MOST_TAGS = 1_000_000


def html_blocks(text: str) -> list[Block]:
    """Headings (``dt`` and ``summary`` among them), paragraphs, items and tables, with the lines their tags begin on.

    Raises:
        ValueError: more than a million tags.
    """
    if text.count("<") > MOST_TAGS:
        raise ValueError(f"more than {MOST_TAGS:,} tags: split the page")
    page = BeautifulSoup(text, "html.parser")
    root = page.find("main") or page.find(attrs={"role": "main"}) or page.body or page
    walk = _Walk(text.count("\n") + 1)
    walk.over(root)
    return walk.blocks


def html_text(text: str) -> str:
    """The words of a piece of HTML."""
    return "\n\n".join(block.text for block in html_blocks(text))


class _Walk:
    """From the root through all elements, without recursion: a page may be nested as deep as it likes."""

    def __init__(self, lines: int) -> None:
        self.blocks: list[Block] = []
        self._lines = lines
        self._words: list[str] = []
        self._line = self._begun = 1
        self._levels: list[int] = []
        self._lists: list[int | None] = []
        self._marker, self._items, self._pre = "", 0, 0

    def over(self, root: Any) -> None:
        stack: list[tuple[Any, bool]] = [(root, False)]
        while stack:
            node, ended = stack.pop()
            if ended:
                self._close(node)
            elif isinstance(node, Tag):
                if not self._skipped(node) and self._open(node):
                    stack.append((node, True))
                    stack += [(child, False) for child in reversed(node.contents)]
            elif isinstance(node, NavigableString) and not isinstance(node, PreformattedString | Comment | Doctype):
                self._add(str(node))
        self._flush()

    def _skipped(self, tag: Tag) -> bool:
        style = str(tag.get("style") or "").replace(" ", "").lower()
        hidden = tag.has_attr("hidden") or "display:none" in style or tag.get("aria-hidden") == "true"
        frame = tag.name in _FRAMES and tag.find_parent(("article", "main", "section")) is None
        return tag.name in _LEFT_OUT or hidden or frame

    def _open(self, tag: Tag) -> bool:
        """Whether to go inside."""
        self._line = tag.sourceline or self._line
        name = tag.name
        if name in _INLINE:
            if name == "img" and tag.get("alt"):
                self._add(str(tag["alt"]))
            return True
        if name == "br":
            self._words.append("\n")
            return False
        self._flush()
        if name == "table":
            self._table(tag)
            return False
        if name in ("ul", "ol"):
            start = str(tag.get("start") or "1")
            self._lists.append(None if name == "ul" else int(start) if re.fullmatch(r"\d{1,6}", start) else 1)
        elif name == "li":
            number = self._lists[-1] if self._lists else None
            self._marker, self._items = ("- " if number is None else f"{number}. "), self._items + 1
            if self._lists and number is not None:
                self._lists[-1] = number + 1
        elif name == "pre":
            self._pre += 1
        if (level := self._level(tag)) is not None:
            self._levels.append(level)
        return True

    def _close(self, tag: Tag) -> None:
        if tag.name in _INLINE:
            return
        self._flush()
        if tag.name in ("ul", "ol"):
            self._lists.pop()
        elif tag.name == "li":
            self._marker, self._items = "", self._items - 1
        elif tag.name == "pre":
            self._pre -= 1
        if self._level(tag) is not None:
            self._levels.pop()

    def _level(self, tag: Tag) -> int | None:
        if tag.get("role") == "heading":
            level = str(tag.get("aria-level") or "2")
            return int(level) if re.fullmatch(r"[1-9]", level) else 2
        return _HEADINGS.get(tag.name)

    def _add(self, text: str) -> None:
        if not any(word.strip() for word in self._words):
            self._begun = self._line
        self._words.append(text if self._pre else re.sub(r"\s+", " ", text))

    def _flush(self) -> None:
        text = "".join(self._words)
        text = text.strip("\n") if self._pre else "\n".join(" ".join(line.split()) for line in text.split("\n")).strip()
        self._words = []
        if not text.strip():
            return
        level = self._levels[-1] if self._levels else 0
        marker, self._marker = ("" if level else self._marker), ("" if not level else self._marker)
        self.blocks.append(
            Block(
                level,
                marker + text,
                self._begun,
                self._begun,
                item=self._items > 0 and not level,
                verbatim=self._pre > 0,
            )
        )

    def _table(self, tag: Tag) -> None:
        rows, header = [], False
        for row in tag.find_all("tr"):
            if row.find_parent("table") is not tag:
                continue  # of a table inside a cell: its words are that cell's
            cells = row.find_all(["td", "th"], recursive=False)
            header = header or (not rows and bool(cells) and all(cell.name == "th" for cell in cells))
            rows.append([cell.get_text(" ", strip=True) for cell in cells])
        line = tag.sourceline or self._line
        self.blocks += [Block(0, text, line, line, item=True) for text in table_lines(rows, header=header)]
