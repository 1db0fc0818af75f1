"""Markdown (CommonMark with tables, by markdown-it-py) as blocks."""

import re
from typing import Any

from markdown_it import MarkdownIt

from tasks.data.documents.sections import Block
from tasks.data.documents.tables import table_lines

_FRONT = re.compile(r"\A---[ \t]*\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


def markdown_blocks(text: str) -> list[Block]:
    """Headings, paragraphs, items, tables and code, with their lines; front matter is left out."""
    front = _FRONT.match(text)
    if front:
        text = "\n" * front.group(0).count("\n") + text[front.end() :]
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    blocks: list[Block] = []
    lists = _Lists()
    place = 0
    while place < len(tokens):
        token = tokens[place]
        first, last = (token.map[0] + 1, token.map[1]) if token.map else (1, 1)
        lists.see(token)
        match token.type:
            case "heading_open" | "paragraph_open":
                level = int(token.tag[1:]) if token.type == "heading_open" else 0
                content = _plain(tokens[place + 1].children)
                marker = lists.marker() if not level else ""
                if content:
                    blocks.append(Block(level, marker + content, first, last, item=lists.inside > 0 and not level))
                place += 2
            case "fence" | "code_block":
                blocks.append(Block(0, token.content.rstrip(), first, last, verbatim=True))
            case "html_block":
                from tasks.data.documents.read_html import html_text

                if content := html_text(token.content):
                    blocks.append(Block(0, content, first, last))
            case "table_open":
                place, rows = _table(tokens, place)
                lines = enumerate(table_lines(rows, header=True), first + 2)  # behind the header and its rule
                blocks += [Block(0, line, number, number, item=True) for number, line in lines]
        place += 1
    return blocks


class _Lists:
    """The open lists: what stands in front of the next item, and whether text is inside one."""

    def __init__(self) -> None:
        self._next: list[int | None] = []  # None: it has bullets
        self._marker = ""
        self.inside = 0

    def see(self, token: Any) -> None:
        match token.type:
            case "bullet_list_open":
                self._next.append(None)
            case "ordered_list_open":
                self._next.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                self._next.pop()
            case "list_item_open":
                number = self._next[-1]
                self._marker, self.inside = ("- " if number is None else f"{number}. "), self.inside + 1
                self._next[-1] = None if number is None else number + 1
            case "list_item_close":
                self._marker, self.inside = "", self.inside - 1

    def marker(self) -> str:
        """Given once an item: only its first paragraph begins with it."""
        marker, self._marker = self._marker, ""
        return marker


def _table(tokens: Any, place: int) -> tuple[int, list[list[str]]]:
    rows: list[list[str]] = []
    while tokens[place].type != "table_close":
        if tokens[place].type == "tr_open":
            rows.append([])
        elif tokens[place].type == "inline":
            rows[-1].append(_plain(tokens[place].children))
        place += 1
    return place, rows


def _plain(children: Any) -> str:
    """The words of inline Markdown: no marks, no addresses behind links, no tags."""
    parts = []
    for child in children or []:
        match child.type:
            case "text" | "code_inline":
                parts.append(child.content)
            case "softbreak" | "hardbreak":
                parts.append("\n")
            case "image":
                parts.append(child.content)
    return "".join(parts).strip()
