"""Plain JSONL as a suite: questions with choices and the right one, or prompts and what the answer must be.

A row is ``{prompt, choices, answer}`` or ``{prompt, target}``, with the usual other names for each key (``KEYS``).
Where the columns have names of their own, a TOML file beside the JSONL with the same name says which: ``[fields]`` maps
ours to theirs, and ``[scorer]`` is as in suite.toml.
"""

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from infra.digest import digest_of, short
from tasks.errors import SuiteError
from tasks.gate.foreign import reason_of
from tasks.gate.suites import Check, Item, Scorer

# what a key may be called; of each line at most one is there
KEYS = {
    "prompt": ("prompt", "question", "input", "messages"),
    "choices": ("choices", "options"),
    "answer": ("answer",),
    "target": ("target",),
    "id": ("id",),
    "family": ("family",),
    "topic": ("topic",),
    "split": ("split",),
}
KINDS = {"choice": Scorer(kind="choice", normalise="tokens"), "checks": Scorer(kind="checks")}
SHOWN = 5  # bad rows that one error names


class _Bad(ValueError):
    """Why a row can't be an item."""


class Settings(NamedTuple):
    """The TOML beside a JSONL. ``scorer``: None where it says nothing."""

    fields: Mapping[str, str] = {}
    scorer: Scorer | None = None


def load_plain(path: Path) -> tuple[Scorer, list[Item]]:
    """Read a JSONL file and, where there is one, the TOML beside it.

    Raises:
        SuiteError: names the file and every bad row by its line (the first few).
    """
    settings = _settings(path.with_suffix(".toml"))
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise SuiteError(f"{path.name} can't be read: {error}", do="mend the path") from error
    items: dict[int, Item] = {}
    bad: list[str] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                items[number] = item_of(_row(line), settings.fields, path, number)
            except (_Bad, ValidationError) as error:
                bad.append(f"line {number}: {_reason(error)}")
    bad += _repeated(items) + _mixed(items)
    if bad:
        more = f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise SuiteError(f"{path.name}: {'; '.join(bad[:SHOWN])}{more}", do=f"mend these rows of {path.name}")
    if not items:
        raise SuiteError(f"{path.name} has no rows", do="give it one JSON object a line")
    kind = "choice" if next(iter(items.values())).choices else "checks"
    scorer = settings.scorer or KINDS[kind]
    if scorer.kind in KINDS and scorer.kind != kind:
        raise SuiteError(f"{path.name}: its scorer is {scorer.kind}, its rows are for {kind}", do="mend [scorer]")
    return scorer, list(items.values())


def item_of(row: Mapping[str, Any], fields: Mapping[str, str], path: Path, number: int) -> Item:
    """An item from a row.

    Raises:
        _Bad, ValidationError: why not.
    """
    found = {key: _value(row, key, fields) for key in KEYS}
    messages = _messages(found["prompt"])
    judged = _judged(found)
    id_ = found["id"] if found["id"] is not None else f"{path.stem}-{short(digest_of([messages, judged]), 12)}"
    named = {key: str(found[key]) for key in ("family", "topic", "split") if found[key] is not None}
    return Item.model_validate(
        {"id": str(id_), "messages": messages, "provenance": f"{path.name} line {number}", **judged, **named}
    )


def place_of(answer: Any, choices: list[str], labels: list[str]) -> int:
    """The index of the right choice: given as an index from 0, as a label (A, B, …) or as its text.

    Raises:
        _Bad: none of these, or two of them that differ.
    """
    if isinstance(answer, int) and not isinstance(answer, bool):
        if not 0 <= answer < len(choices):
            raise _Bad(f"answer {answer} is none of the {len(choices)} choices, counted from 0")
        return answer
    if not isinstance(answer, str):
        raise _Bad(f"the answer {answer!r:.40} is no index, letter or text")
    places = {named.index(answer.strip()) for named in (choices, labels) if answer.strip() in named}
    if len(places) > 1:
        raise _Bad(f"the answer {answer!r:.40} is the text of one choice and the letter of another: give its index")
    if not places:
        raise _Bad(f"the answer {answer!r:.40} is none of the choices, and no letter of one")
    return places.pop()


def _settings(path: Path) -> Settings:
    if not path.is_file():
        return Settings()
    try:
        raw = tomllib.loads(path.read_text())
        scorer = Scorer.model_validate(raw["scorer"]) if "scorer" in raw else None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise SuiteError(f"{path.name} can't be read: {_reason(error)}", do=f"mend {path.name}") from error
    fields = raw.get("fields", {})
    unknown = [*(raw.keys() - {"fields", "scorer"}), *(fields.keys() - KEYS.keys())]
    if unknown:
        raise SuiteError(
            f"{path.name} has {', '.join(sorted(unknown))}",
            do=f"[fields] may name {', '.join(KEYS)}; [scorer] its own keys",
        )
    return Settings(fields, scorer)


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise _Bad(f"it is no JSON: {error.msg} at character {error.colno}") from None
    except UnicodeDecodeError as error:
        raise _Bad(f"it is no UTF-8: {error.reason} at byte {error.start + 1}") from None
    if not isinstance(row, dict):
        raise _Bad("it is no JSON object")
    return row


def _value(row: Mapping[str, Any], key: str, fields: Mapping[str, str]) -> Any:
    if key in fields:
        if fields[key] not in row:
            raise _Bad(f"it has no {fields[key]!r}, which [fields] names as its {key}")
        return row[fields[key]]
    there = [name for name in KEYS[key] if name in row and name not in fields.values()]
    if len(there) > 1:
        raise _Bad(f"it has {' and '.join(there)}: name one of them in [fields]")
    return row[there[0]] if there else None


def _messages(prompt: Any) -> list[dict[str, str]]:
    if isinstance(prompt, str) and prompt.strip():
        return [{"role": "user", "content": prompt}]
    if isinstance(prompt, list) and prompt:
        if not all(isinstance(one, dict) and one.keys() == {"role", "content"} for one in prompt):
            raise _Bad("its messages must each have a role and a content, and nothing else")
        return prompt
    raise _Bad(f"it has no prompt: one of {', '.join(KEYS['prompt'])}")


def _judged(found: Mapping[str, Any]) -> dict[str, Any]:
    """Choices and the right one, or what the answer must be."""
    choices, target = found["choices"], found["target"]
    if choices is not None and target is not None:
        raise _Bad("it has choices and a target: one of them must judge")
    if choices is not None:
        texts, labels = _choices(choices)
        if found["answer"] is None:
            raise _Bad("its choices have no answer")
        return {"choices": texts, "answer": place_of(found["answer"], texts, labels)}
    if target is None:
        raise _Bad("it has neither choices with an answer nor a target")
    given = target if isinstance(target, list) else [target]
    wanted = [str(one) for one in given if isinstance(one, str | int) and not isinstance(one, bool)]
    if not given or len(wanted) < len(given) or not all(one.strip() for one in wanted):
        raise _Bad(f"its target {target!r:.40} is no text, and no list of texts")
    return {"checks": [Check(kind="exact", texts=tuple(wanted)).model_dump()]}


def _choices(choices: Any) -> tuple[list[str], list[str]]:
    """Texts and labels of choices: a list, or an object from label to text."""
    if isinstance(choices, dict):
        labels, texts = [str(label) for label in choices], list(choices.values())
    else:
        texts = choices if isinstance(choices, list) else []
        labels = [chr(ord("A") + place) for place in range(min(len(texts), 26))]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise _Bad("its choices must be a list of texts, or an object from letter to text")
    return texts, labels


def _repeated(items: Mapping[int, Item]) -> list[str]:
    first: dict[str, int] = {}
    found = []
    for number, item in items.items():
        if first.setdefault(item.id, number) != number:
            found.append(f"line {number}: the id {item.id!r} is that of line {first[item.id]}")
    return found


def _mixed(items: Mapping[int, Item]) -> list[str]:
    """The first row that is judged otherwise than the rows before it."""
    kinds = {number: bool(item.choices) for number, item in items.items()}
    odd = next((number for number, kind in kinds.items() if kind != next(iter(kinds.values()))), None)
    return [] if odd is None else [f"line {odd}: rows with choices and rows with a target are two suites"]


def _reason(error: Exception) -> str:
    return reason_of(error) if isinstance(error, ValidationError) else str(error)
