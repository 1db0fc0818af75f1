"""Hand-labelled lines of personal data and secrets: ``⟦kind:text⟧`` marks what must be found."""

import re
from collections.abc import Iterator
from pathlib import Path

from tasks.data.personal.spans import Span

_FOLDER = Path(__file__).parent / "unit" / "data" / "labelled"
_MARK = re.compile(r"⟦(\w+):(.*?)⟧")


def labelled(name: str) -> Iterator[tuple[str, list[Span]]]:
    """The set's texts, each with its spans. ``‖`` only keeps scanners of this repository from finding a token."""
    for line in (_FOLDER / f"personal_{name}.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        text, spans, place = "", [], 0
        plain = line.replace("‖", "")
        for match in _MARK.finditer(plain):
            text += plain[place : match.start()]
            spans.append(Span(match[1], len(text), len(text) + len(match[2])))  # pyright: ignore[reportArgumentType]
            text, place = text + match[2], match.end()
        yield text + plain[place:], spans
