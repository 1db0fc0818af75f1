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
    lists: list[int | None] = []  # of each open list: the next number, None where it has bullets
    marker, in_item = "", 0
    place = 0
    while place < len(tokens):
        token = tokens[place]
        lines = (token.map[0] + 1, token.map[1]) if token.map else (1, 1)
        match token.type:
            case "heading_open":
                title = _plain(tokens[place + 1].children)
                if title:
                    blocks.append(Block(int(token.tag[1:]), title, *lines))
                place += 2
            case "bullet_list_open":
                lists.append(None)
            case "ordered_list_open":
                lists.append(int(token.attrs.get("start", 1)))
            case "bullet_list_close" | "ordered_list_close":
                lists.pop()
            case "list_item_open":
                number = lists[-1]
                marker, in_item = ("- " if number is None else f"{number}. "), in_item + 1
                lists[-1] = None if number is None else number + 1
            case "list_item_close":
                marker, in_item = "", in_item - 1
            case "paragraph_open":
                content = _plain(tokens[place + 1].children)
                if content:
                    blocks.append(Block(0, marker + content, *lines, item=in_item > 0))
                marker = ""
                place += 2
            case "fence" | "code_block":
                blocks.append(Block(0, token.content.rstrip(), *lines, verbatim=True))
            case "html_block":
                from tasks.data.documents.read_html import html_text

                if content := html_text(token.content):
                    blocks.append(Block(0, content, *lines))
            case "table_open":
                place, rows = _table(tokens, place)
                blocks += [
                    Block(0, line, lines[0] + 2 + number, lines[0] + 2 + number, item=True)
                    for number, line in enumerate(table_lines(rows, header=True))
                ]
        place += 1
    return blocks


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
