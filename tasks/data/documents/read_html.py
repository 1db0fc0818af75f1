"""HTML (parsed by lxml, which closes what authors leave open) as blocks.

What frames a page (navigation, header, footer, scripts, what is hidden) is left out.
"""

import re
from typing import Any

from lxml import etree, html  # pyright: ignore[reportAttributeAccessIssue]

from tasks.data.documents.sections import Block
from tasks.data.documents.tables import table_lines
from tasks.data.documents.words import word_set

_LEFT_OUT = word_set(
    "script style template noscript nav svg math head form button select textarea iframe object audio video canvas"
)
_FRAMES = word_set("header footer aside")  # of the page; inside an article they may hold its title
_INLINE = word_set(
    "a abbr b bdi bdo cite code data del dfn em font i img ins kbd label mark q s samp small span strike "
    "strong sub sup time tt u var wbr"
)
_HEADINGS = {f"h{level}": level for level in range(1, 7)} | {"dt": 50, "summary": 50, "legend": 50}
_DEEP = "ERR_RESOURCE_LIMIT"  # lxml goes on without the rest, and only notes it


def html_blocks(text: str) -> list[Block]:
    """Headings (``dt`` and ``summary`` among them), paragraphs, items and tables, with the lines they stand on.

    lxml knows lines up to 65,535; what is further down counts as there.

    Raises:
        ValueError: nested deeper than 2,048 elements.
    """
    if not text.strip():
        return []
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        page: Any = html.document_fromstring(text.encode(), parser=parser)
    except etree.ParserError:  # nothing in it but what is left out
        return []
    if any(one.type_name == _DEEP for one in parser.error_log):
        raise ValueError("nested deeper than 2,048 elements: what is below would be lost; simplify the page")
    mains = page.xpath("//main | //*[@role='main']")
    walk = _Walk()
    walk.over(mains[0] if mains else page)
    return walk.blocks


def html_text(text: str) -> str:
    """The words of a piece of HTML."""
    return "\n\n".join(block.text for block in html_blocks(text))


class _Walk:
    """From the root through all elements, without recursion: a page may be nested deeply."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._words: list[str] = []
        self._line = self._begun = self._end = 1
        self._levels: list[int] = []
        self._lists: list[int | None] = []  # of each open list the next number; None: it has bullets
        self._marker, self._items, self._pre = "", 0, 0

    def over(self, root: Any) -> None:
        stack: list[tuple[Any, bool]] = [(root, False)]
        while stack:
            node, ended = stack.pop()
            if ended:
                self._close(node)
            elif not _skipped(node) and self._open(node):
                stack.append((node, True))
                stack += [(child, False) for child in reversed(node)]
                self._add(node.text)
                continue  # its tail follows its end
            if node is not root:
                self._add(node.tail)
        self._flush()

    def _open(self, tag: Any) -> bool:
        """Whether to go inside."""
        self._line = tag.sourceline or self._line
        if tag.tag in _INLINE:
            self._add(tag.get("alt") if tag.tag == "img" else None)
            return True
        if tag.tag == "br":
            self._words.append("\n")
            return False
        self._flush()
        if tag.tag == "table":
            self._table(tag)
            return False
        if tag.tag in ("ul", "ol"):
            self._lists.append(None if tag.tag == "ul" else _number(tag.get("start")))
        elif tag.tag == "li":
            number = self._lists[-1] if self._lists else None
            self._marker, self._items = ("- " if number is None else f"{number}. "), self._items + 1
            if self._lists and number is not None:
                self._lists[-1] = number + 1
        elif tag.tag == "pre":
            self._pre += 1
        if (level := _level(tag)) is not None:
            self._levels.append(level)
        return True

    def _close(self, tag: Any) -> None:
        if tag.tag in _INLINE:
            return
        self._flush()
        if tag.tag in ("ul", "ol"):
            self._lists.pop()
        elif tag.tag == "li":
            self._marker, self._items = "", self._items - 1
        elif tag.tag == "pre":
            self._pre -= 1
        if _level(tag) is not None:
            self._levels.pop()

    def _add(self, text: str | None) -> None:
        if not text:
            return
        if not any(word.strip() for word in self._words):
            self._begun = self._line + text[: len(text) - len(text.lstrip())].count("\n")
        if text.strip():
            self._end = self._line + text.rstrip().count("\n")
        self._line += text.count("\n")
        self._words.append(text if self._pre else re.sub(r"\s+", " ", text))

    def _flush(self) -> None:
        text = "".join(self._words)
        lines = text.split("\n")
        text = text.strip("\n") if self._pre else "\n".join(" ".join(line.split()) for line in lines).strip()
        self._words = []
        if not text.strip():
            return
        level = self._levels[-1] if self._levels else 0
        marker = "" if level else self._marker
        if not level:
            self._marker = ""
        place = (self._begun, max(self._begun, self._end))
        item, verbatim = self._items > 0 and not level, self._pre > 0
        self.blocks.append(Block(level, marker + text, *place, item=item, verbatim=verbatim))

    def _table(self, tag: Any) -> None:
        rows, header, lines = [], False, []
        for row in tag.iter("tr"):
            if next(row.iterancestors("table")) is not tag:
                continue  # of a table inside a cell: its words are that cell's
            cells = [cell for cell in row if cell.tag in ("td", "th")]
            header = header or (not rows and bool(cells) and all(cell.tag == "th" for cell in cells))
            rows.append([" ".join(cell.itertext()) for cell in cells])
            lines.append(row.sourceline or self._line)
        first, last = (lines[0], lines[-1]) if lines else (self._line, self._line)
        self.blocks += [Block(0, text, first, last, item=True) for text in table_lines(rows, header=header)]
        self._line = last


def _skipped(tag: Any) -> bool:
    style = (tag.get("style") or "").replace(" ", "").lower()
    hidden = tag.get("hidden") is not None or "display:none" in style or tag.get("aria-hidden") == "true"
    frame = tag.tag in _FRAMES and next(tag.iterancestors("article", "main", "section"), None) is None
    return tag.tag in _LEFT_OUT or hidden or frame


def _level(tag: Any) -> int | None:
    if tag.get("role") == "heading":
        level = tag.get("aria-level") or "2"
        return int(level) if re.fullmatch(r"[1-9]", level) else 2
    return _HEADINGS.get(tag.tag)


def _number(text: str | None) -> int:
    return int(text) if text is not None and re.fullmatch(r"\d{1,6}", text) else 1
