"""Suites: a set of items with one scorer, as files in ``expectations/model/<suite>/``, or held out from the sources."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError, model_validator

from infra.digest import Record, digest_of
from tasks.errors import SuiteError

CheckKind = Literal[
    "exact", "number", "regex", "contains", "excludes", "starts", "ends", "words", "sentences", "bullets", "lines",
    "json", "upper", "lower", "refuses", "answers", "extract",
]  # fmt: skip
Fold = Literal["strip", "case", "punctuation", "digits"]
ScorerKind = Literal["choice", "checks", "judge", "reward", "drift"]
Split = Literal["gate", "sealed", "twin"]


class Message(Record):
    role: str
    content: str


class Check(Record):
    """One thing a generated answer must live up to (tasks/gate/answers.py has a function a kind).

    ``texts``: exact, contains, excludes, starts, ends: the texts; json: keys of the object. ``least`` and ``most``:
    words, sentences, bullets, lines: how many. ``number`` with ``tolerance``: the last number of the answer.
    extract: what ``pick`` of the ``pattern``'s matches holds, or the whole answer, equals one of the ``texts``, without
    what the patterns of ``drop`` match and without what ``fold`` names (others' suites: tasks/gate/foreign/extract.py).
    """

    kind: CheckKind
    texts: tuple[str, ...] = ()
    pattern: str = ""
    number: float | None = None
    tolerance: float = Field(default=0.0, ge=0)
    least: int | None = Field(default=None, ge=0)
    most: int | None = Field(default=None, ge=0)
    pick: Literal["first", "last"] = "first"
    fold: tuple[Fold, ...] = ()
    drop: tuple[str, ...] = ()


class Item(Record):
    """One prompt, and what makes an answer to it right.

    Attributes:
        family: items that stand or fall together, paraphrases and template twins; empty: alone.
        provenance: who wrote it, or the source of the fact, or generator and seed.
        split: ``gate`` is judged, ``sealed`` waits to replace what is worn, ``twin`` may be trained on, never judged.
        choices: for choice scorers; ``answer`` is the index of the right one.
        checks: for generated answers; all must hold.
    """

    id: str = Field(min_length=1)
    family: str = ""
    topic: str = ""
    provenance: str = ""
    split: Split = "gate"
    messages: tuple[Message, ...] = Field(min_length=1)
    choices: tuple[str, ...] = ()
    answer: int | None = Field(default=None, ge=0)
    checks: tuple[Check, ...] = ()

    @property
    def cluster(self) -> str:
        """The family, or the item itself where it has none."""
        return self.family or self.id

    @model_validator(mode="after")
    def _can_be_scored(self) -> "Item":
        if len(self.choices) == 1:
            raise ValueError("there must be at least 2 choices")
        if self.choices and self.answer is None:
            raise ValueError("the choices have no answer: it must be the index of the right one")
        if self.answer is not None and self.answer >= len(self.choices):
            raise ValueError(f"answer {self.answer} is none of the {len(self.choices)} choices")
        if len(set(self.choices)) != len(self.choices):
            raise ValueError("two choices are equal")
        return self


class Scorer(Record):
    """How items become results.

    ``choice``: log-probability of each choice, summed, or as a mean over tokens, characters or bytes. ``checks``: the
    answer is generated and every check of the item must hold. ``judge``: a judge model grades the answer. ``reward``: a
    reward model does. ``drift``: measures of the answer, held against the anchor's (tasks/gate/drift.py).

    ``template``: ``none`` gives the model an item's one message as it is, and ``delimiter`` between it and each choice
    (tasks/lm/raw.py), as others' suites want it. ``stop``: texts that a generated answer ends before.
    """

    kind: ScorerKind = "choice"
    normalise: Literal["none", "tokens", "characters", "bytes"] = "none"
    template: Literal["chat", "none"] = "chat"
    delimiter: str = ""
    stop: tuple[str, ...] = ()
    max_tokens: int = Field(default=128, gt=0)
    samples: int = Field(default=1, gt=0)  # answers an item; above 1 they are sampled
    temperature: float = Field(default=0.0, ge=0)
    rubric: str = ""  # judge: what it is asked

    @property
    def generates(self) -> bool:
        return self.kind != "choice"


class Rotation(Record):
    """How a suite's items are renewed: after ``every`` decisions, ``share`` of the families retire and others enter."""

    every: int = Field(gt=0)
    share: float = Field(gt=0, le=1)


class Suite(Record):
    """Items and scorer. ``digest`` covers both, every letter of them."""

    name: str
    scorer: Scorer
    items: tuple[Item, ...]
    calibration: tuple[Item, ...] = ()  # judge: labelled pairs, two choices each, the better one the answer

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


class Bank(NamedTuple):
    """A suite as its folder has it: all splits, how it is renewed, where fresh items come from, and training twins."""

    suite: Suite
    rotation: Rotation | None = None
    generator: str | None = None
    twins: str | None = None


def load_bank(name: str, folder: Path) -> Bank:
    """Read ``suite.toml`` and the items it names (``items.jsonl`` beside it unless it says otherwise).

    Raises:
        SuiteError: names file, line and what is wrong. A suite that can't be read never passes.
    """
    try:
        settings = tomllib.loads((folder / "suite.toml").read_text())
        scorer = Scorer.model_validate(settings["scorer"])
        rotation = Rotation.model_validate(settings["rotation"]) if "rotation" in settings else None
        path = folder / settings.get("items", "items.jsonl")
        lines = path.read_bytes().splitlines()
    except (OSError, KeyError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise SuiteError(
            f"the suite {name} in {folder} can't be read: {error}", do="mend suite.toml and items.jsonl there"
        ) from error
    items = [parse_item(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line.strip()]
    return Bank(build_suite(name, scorer, items), rotation, settings.get("generator"), settings.get("twins"))


def load_suite(name: str, folder: Path) -> Suite:
    """A suite's items of all splits, and its scorer.

    Raises:
        SuiteError: see ``load_bank``.
    """
    return load_bank(name, folder).suite


def house_suite(lines: bytes) -> Suite:
    """The suite of held-out preferences."""
    items = [parse_item(line, f"house:{number}") for number, line in enumerate(lines.splitlines(), 1)]
    return build_suite("house", HOUSE_SCORER, items)


def build_suite(name: str, scorer: Scorer, items: list[Item]) -> Suite:
    """A suite of these items, in the order of their ids, each of which its scorer can score."""
    if not items:
        raise SuiteError(f"the suite {name} is empty", do="give it items, or take it out of the recipe")
    for item in items:
        problem = item_problem(scorer, item)
        if problem is not None:
            raise SuiteError(f"the suite {name}, item {item.id}: {problem}", do="mend this item, or the suite's scorer")
    try:
        return Suite(name=name, scorer=scorer, items=tuple(sorted(items, key=lambda item: item.id)))
    except ValidationError as error:
        raise SuiteError(f"the suite {name} is invalid: {error.errors()[0]['msg']}", do="mend its items") from None


def item_problem(scorer: Scorer, item: Item) -> str | None:
    """Why a scorer can't score an item, or None."""
    if scorer.kind == "choice" and not item.choices:
        return "it has no choices, which a choice scorer needs"
    if scorer.kind == "checks" and not item.checks:
        return "it has no checks, which a checks scorer needs"
    if item.checks:
        from tasks.gate.answers import check_problem  # it needs the records above

        return next((problem for check in item.checks if (problem := check_problem(check)) is not None), None)
    return None


def cut(suite: Suite, max_items: int) -> Suite:
    """At most ``max_items`` items: the same ones every night, chosen by the hash of their ids."""
    chosen = sorted(suite.items, key=lambda item: hashed(item.id))[:max_items]
    return suite.model_copy(update={"items": tuple(sorted(chosen, key=lambda item: item.id))})


def hashed(key: str) -> bytes:
    """What items and families are put in a random, lasting order by."""
    return hashlib.sha256(key.encode()).digest()


def parse_item(line: bytes | str, where: str) -> Item:
    """An item from a line of JSON; ``prompt`` is short for one user message."""
    try:
        raw = json.loads(line)
    except ValueError as error:
        raise SuiteError(f"{where}: {error}", do="mend this item") from None
    return parse_raw(raw, where)


def parse_raw(raw: dict[str, Any], where: str) -> Item:
    """An item from the JSON object of its line."""
    try:
        fields = dict(raw)
        if "prompt" in fields:
            fields["messages"] = [{"role": "user", "content": fields.pop("prompt")}]
        return Item.model_validate(fields)
    except (ValueError, AttributeError, TypeError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise SuiteError(f"{where}: {reason}", do="mend this item") from None


def spread(items: tuple[Item, ...], count: int) -> list[Item]:
    """``count`` items spread evenly over a suite."""
    return list(items[:: max(1, len(items) // count)][:count])
