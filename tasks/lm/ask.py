"""One question to several models: asked in a process of its own, shown side by side."""

import shutil
import textwrap
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from infra.digest import Digest, Record
from infra.pools.base import OnEvent, Pool
from infra.programs import fresh_folder, run_program
from infra.settings import load_settings
from infra.store import Store
from tasks.contracts import Model
from tasks.errors import ModelError
from tasks.lm.base import checkout
from tasks.lm.merged import dtype_of
from tasks.lm.results import result_of

MOST_TOKENS = 4096
_NARROWEST = 36  # columns of text; below that answers stand under each other
_GAP = "  │  "


class Asked(NamedTuple):
    """A model to ask."""

    called: str
    title: str
    version: int
    model: Model
    quantise: str | None


class Answer(Record):
    """``seconds``: from the question to the last token, the model being loaded; ``cut``: at the most tokens allowed."""

    called: str
    title: str
    version: int
    model: Digest
    text: str
    tokens: int
    seconds: float
    cut: bool


def check_question(question: str, max_tokens: int) -> None:
    """Refuse what can't be asked, before a model is loaded."""
    if not question.strip():
        raise ModelError("the question is empty", do='write one: nightshift ask "What do you do when it rains?"')
    if not 1 <= max_tokens <= MOST_TOKENS:
        raise ModelError(
            f"an answer of at most {max_tokens} tokens can't be asked for",
            do=f"set --max-tokens to 1 … {MOST_TOKENS}",
        )


def ask(
    question: str, asked: Sequence[Asked], max_tokens: int, home: Path, store: Store, pool: Pool, on_event: OnEvent
) -> list[Answer]:
    """The greedy answers of these models as they serve, in their order.

    Raises:
        ModelError: the question is empty or too long, or a model can't be loaded.
        StoreError: a file of a model is missing or was changed.
    """
    check_question(question, max_tokens)
    work = fresh_folder(home / "work" / f"ask-{uuid.uuid4().hex[:12]}")
    try:
        spec = {
            "question": question,
            "max_tokens": max_tokens,
            "dtype": dtype_of(pool),
            "threads": load_settings().threads,
            "models": [_folders(one, home, store) for one in asked],
        }
        result = result_of(run_program(pool, "tasks.lm.ask_program", spec, work, on_event))
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [
        Answer(
            called=one.called,
            title=one.title,
            version=one.version,
            model=one.model.digest,
            text=found["text"],
            tokens=len(found["tokens"]),
            seconds=found["seconds"],
            cut=found["cut"],
        )
        for one, found in zip(asked, result["answers"], strict=True)
    ]


def _folders(one: Asked, home: Path, store: Store) -> dict[str, Any]:
    base, adapter = checkout(one.model, home, store)
    return {
        "title": one.title,
        "base": str(base),
        "adapter": str(adapter) if adapter else None,
        "quantise": one.quantise,
    }


# --- for the terminal ---


def in_columns(answers: Sequence[Answer], width: int) -> str:
    """The answers side by side, or under each other where the terminal is too narrow."""
    column = (width - len(_GAP) * (len(answers) - 1)) // max(len(answers), 1)
    if column < _NARROWEST:
        return "\n\n".join("\n".join(_lines(one, width)) for one in answers)
    columns = [_lines(one, column) for one in answers]
    height = max(map(len, columns), default=0)
    rows = zip(*(lines + [""] * (height - len(lines)) for lines in columns), strict=True)
    return "\n".join(_GAP.join(f"{cell:<{column}}" for cell in row).rstrip() for row in rows)


def _lines(one: Answer, width: int) -> list[str]:
    text = [part for line in printable(one.text).split("\n") for part in textwrap.wrap(line, width, tabsize=4) or [""]]
    facts = f"{one.tokens} token{'' if one.tokens == 1 else 's'} · {one.seconds:.2f} s{' · cut off' if one.cut else ''}"
    return [*textwrap.wrap(one.title, width), "─" * min(width, len(one.title)), *text, "", facts]


def printable(text: str) -> str:
    """Model text without what would steer a terminal: escape sequences, and what turns the line around."""
    return "".join(letter if letter in "\n\t" or letter.isprintable() else "�" for letter in text)
