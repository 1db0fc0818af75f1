"""What ``nightshift bill`` prints: kept bills, with what the ledgers and the registry say of the nights' versions."""

import json
from pathlib import Path
from typing import Any, Literal

from infra.errors import BadSetting, NightshiftError
from infra.ledger import ledger_path, read_ledger
from infra.price_book import load_price_book
from tasks import place
from tasks.contracts import AnswerLength, Fate
from tasks.cost.focus import to_csv
from tasks.cost.kept import KeptBill, read_bills
from tasks.cost.month import report
from tasks.cost.month_words import in_words
from tasks.data.arrivals import newest_arrival, token_counts
from tasks.gate.given import answers_given
from tasks.lm.base import file_path
from tasks.registry.moves import moves_of
from tasks.registry.steps import evidence_of, registry_of, snapshot_of


def bill(
    month: str | None, tenant: str | None, pool: str | None, csv: Path | None, *, json_wanted: bool = False
) -> str:
    """The bill of a month, or of all; its lines go to a CSV file in FOCUS's columns where one is named."""
    nights = read_bills(place.home(), month)
    nights = [one for one in nights if tenant is None or one.tenant == tenant]
    notes: list[str] = []
    fates = [fate for name in sorted({one.recipe for one in nights}) for fate in _fates(name, notes)]
    book = load_price_book(place.settings().price_book)
    price = book.serving_price()
    figures = report(
        nights,
        fates,
        month=month,
        tenant=tenant,
        pool=pool,
        lengths=_lengths(nights, notes),
        serving=(price, book.currency) if price else None,
    )
    figures["notes"] = notes
    if csv is not None:
        _write(csv, to_csv(nights, pool))
    told = json.dumps(figures) if json_wanted else in_words(figures)
    return told if csv is None or json_wanted else f"{told}\n{csv}: written, in the columns of FOCUS 1.2"


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text)
    except OSError as error:
        raise BadSetting(
            f"--csv {path}: {error.strerror or error}", do="name a file in a folder that is there"
        ) from None


def _fates(name: str, notes: list[str]) -> list[Fate]:
    """Of every version of a model: first promotion by the ledger, decision by the registry. What fails is noted."""
    promoted: dict[int, str] = {}
    for move in moves_of(read_ledger(ledger_path(place.home(), name))):
        if move.kind == "promotion":
            promoted.setdefault(move.version, move.at)
    decided: dict[int, str | None] = {}
    try:
        place.tracking().check()
        decided = {int(one.version): one.tags.get("approval") for one in registry_of(name).versions()}
    except NightshiftError as error:
        notes.append(f"what people decided on versions of {name} is not known: {error.what}")
    return [
        Fate(recipe=name, version=number, approval=decided.get(number), **_served(name, number, promoted.get(number)))
        for number in sorted(decided.keys() | promoted.keys())
    ]


def _served(name: str, version: int, promoted: str | None) -> dict[str, Any]:
    """Since when it served, and the newest preference it was made from; or why that isn't known."""
    if promoted is None:
        return {}
    try:
        newest = newest_arrival(snapshot_of(name, version), place.store())
    except NightshiftError as error:
        return {"promoted": promoted, "missing": error.what}
    if newest is None:
        return {"promoted": promoted, "missing": "no preference of its snapshot has a timestamp"}
    return {"promoted": promoted, "newest": newest.isoformat()}


def _lengths(nights: list[KeptBill], notes: list[str]) -> list[AnswerLength]:
    """Of candidate and champion in each recipe's newest night that registered a version."""
    newest: dict[str, KeptBill] = {one.recipe: one for one in nights if one.version is not None}
    found = []
    for name, kept in sorted(newest.items()):
        assert kept.version is not None
        try:
            evidence = evidence_of(name, kept.version)
            given = answers_given(evidence.cards, place.store())
            tokenizer = file_path(evidence.model.base, "tokenizer.json", place.store())
        except NightshiftError as error:
            notes.append(f"how long answers of {name} version {kept.version} are is not known: {error.what}")
            continue
        if not given["candidate"]:
            notes.append(f"how long answers of {name} version {kept.version} are is not known: its gate asked for none")
        for role in ("candidate", "champion"):
            found += _length(name, kept.version, role, given[role], tokenizer)
    return found


def _length(
    name: str, version: int, role: Literal["candidate", "champion"], texts: list[str], tokenizer: Path
) -> list[AnswerLength]:
    if not texts:
        return []
    counts = token_counts(texts, tokenizer)
    mean = sum(counts) / len(counts)
    return [AnswerLength(recipe=name, version=version, role=role, answers=len(counts), tokens=mean)]
