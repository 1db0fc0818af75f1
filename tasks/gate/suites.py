"""Suites: a set of items with one scorer, as files in ``expectations/model/<suite>/``, or held out from the sources."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from infra.digest import Record, digest_of
from tasks.errors import SuiteError


class Message(Record):
    role: str
    content: str


class Item(Record):
    """One prompt and its answer choices; ``answer`` is the index of the right one."""

    id: str = Field(min_length=1)
    topic: str = ""
    messages: tuple[Message, ...] = Field(min_length=1)
    choices: tuple[str, ...] = Field(min_length=2)
    answer: int = Field(ge=0)

    @model_validator(mode="after")
    def _answer_is_a_choice(self) -> "Item":
        if self.answer >= len(self.choices):
            raise ValueError(f"answer {self.answer} is none of the {len(self.choices)} choices")
        if len(set(self.choices)) != len(self.choices):
            raise ValueError("two choices are equal")
        return self


class Scorer(Record):
    """How items become results: choices by log-probability, summed, or as a mean over the choice's tokens."""

    kind: Literal["choice"] = "choice"
    normalise: Literal["none", "tokens"]


class Suite(Record):
    """Items and scorer. ``digest`` covers both, every letter of them."""

    name: str
    scorer: Scorer
    items: tuple[Item, ...]

    @model_validator(mode="after")
    def _ids_are_unique(self) -> "Suite":
        ids = [item.id for item in self.items]
        if len(set(ids)) != len(ids):
            repeated = next(one for one in ids if ids.count(one) > 1)
            raise ValueError(f"the item id {repeated!r} repeats")
        return self

    @property
    def items_digest(self) -> str:
        return digest_of(self.items)


HOUSE_SCORER = Scorer(normalise="tokens")  # answers of people differ in length


def load_suite(name: str, folder: Path) -> Suite:
    """Read ``items.jsonl`` and ``suite.toml``.

    Raises:
        SuiteError: names file, line and what is wrong. A suite that can't be read never passes.
    """
    try:
        scorer = Scorer.model_validate(tomllib.loads((folder / "suite.toml").read_text())["scorer"])
        lines = (folder / "items.jsonl").read_bytes().splitlines()
    except (OSError, KeyError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise SuiteError(
            f"the suite {name} in {folder} can't be read: {error}", do="mend suite.toml and items.jsonl there"
        ) from error
    items = [
        parse_item(line, f"{folder / 'items.jsonl'}:{number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    return build_suite(name, scorer, items)


def house_suite(lines: bytes) -> Suite:
    """The suite of held-out preferences."""
    items = [parse_item(line, f"house:{number}") for number, line in enumerate(lines.splitlines(), 1)]
    return build_suite("house", HOUSE_SCORER, items)


def build_suite(name: str, scorer: Scorer, items: list[Item]) -> Suite:
    try:
        return Suite(name=name, scorer=scorer, items=tuple(sorted(items, key=lambda item: item.id)))
    except ValidationError as error:
        raise SuiteError(f"the suite {name} is invalid: {error.errors()[0]['msg']}", do="mend its items") from None


def cut(suite: Suite, max_items: int) -> Suite:
    """At most ``max_items`` items: the same ones every night, chosen by the hash of their ids."""
    chosen = sorted(suite.items, key=lambda item: hashlib.sha256(item.id.encode()).digest())[:max_items]
    return suite.model_copy(update={"items": tuple(sorted(chosen, key=lambda item: item.id))})


def parse_item(line: bytes | str, where: str) -> Item:
    """An item from a line of JSON; ``prompt`` is short for one user message."""
    try:
        raw: dict[str, Any] = json.loads(line)
        if "prompt" in raw:
            raw["messages"] = [{"role": "user", "content": raw.pop("prompt")}]
        return Item.model_validate(raw)
    except (ValueError, AttributeError, TypeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise SuiteError(f"{where}: {reason}", do="mend this item") from None


def spread(items: tuple[Item, ...], count: int) -> list[Item]:
    """``count`` items spread evenly over a suite."""
    return list(items[:: max(1, len(items) // count)][:count])
