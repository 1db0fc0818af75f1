"""From a record to what is made of it: one importer a kind and form."""

from collections.abc import Callable

from tasks.data.kinds import argilla, labels, ratings
from tasks.data.kinds.conversations import service_log
from tasks.data.kinds.fields import common, named
from tasks.data.kinds.layouts import LAYOUTS, layout_of
from tasks.data.records import Record
from tasks.data.rows import Built

Importer = Callable[[Record], list[Built]]


def build(kind: str, form: str, record: Record) -> list[Built]:
    """What one record becomes; none is fine (a talk without an edit, ratings that are tied).

    Args:
        kind: ``pairs``, ``labels`` or ``conversations``; documents are read as whole files, not by records.
        form: one of ``FORMS[kind]``; ``auto`` tells it from the record's keys.

    Raises:
        ValueError: the record can't be read as that; the message says why, and what there is.
    """
    try:
        importer = FORMS[kind][form]
    except KeyError:
        raise ValueError(_unknown(kind, form)) from None
    found = importer(record)
    raw = record.raw
    if b"\\u" in raw and (
        b"\\ud" in raw or b"\\uD" in raw
    ):  # JSON can spell half a surrogate pair, which no file can hold
        _refuse_half_characters(found)
    return found


def _pairs_of(layout: str) -> Importer:
    split, builder = LAYOUTS[layout], f"pairs/{layout}"

    def importer(record: Record) -> list[Built]:
        prompt, chosen, rejected = split(record.value)
        return [Built(prompt, chosen, rejected, builder=builder, **common(record.value))]

    return importer


def _pairs(record: Record) -> list[Built]:
    """Pairs of the form that the record's keys tell."""
    value = record.value
    if "_server_id" in value and argilla.is_export(value):  # its fields may be called chosen and rejected
        return argilla.ranked(record)
    if value.get("chosen") is not None or value.get("chosen_response") is not None:
        return _PAIRS[layout_of(value)](record)
    if argilla.is_export(value):
        return argilla.ranked(record)
    if any(isinstance(value.get(name), list) for name in ratings.PARALLEL):
        return ratings.best_over_worst(record)
    if isinstance(value.get("output"), list):
        return _PAIRS["llama-factory"](record)
    missing = [name for name in ("chosen", "rejected") if value.get(name) is None]
    raise ValueError(f"no {' and no '.join(missing)}; {named(value)}; forms of pairs are {', '.join(FORMS['pairs'])}")


_PAIRS: dict[str, Importer] = {layout: _pairs_of(layout) for layout in LAYOUTS}

FORMS: dict[str, dict[str, Importer]] = {
    "pairs": {
        "auto": _pairs,
        **_PAIRS,
        "ratings": ratings.best_over_worst,
        "ratings-all": ratings.all_pairs,
        "argilla": argilla.ranked,
    },
    "labels": labels.FORMS,
    "conversations": {"auto": service_log},
}


def _unknown(kind: str, form: str) -> str:
    if kind not in FORMS:
        return f"there is no kind {kind!r} of records, only {', '.join(FORMS)}"
    return f"there is no form {form!r} of {kind}, only {', '.join(FORMS[kind])}"


def _refuse_half_characters(found: list[Built]) -> None:
    for one in found:
        try:
            _all_text(one).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"not Unicode text: {error.reason}") from None


def _all_text(one: Built) -> str:
    turns = [*one.prompt, *one.chosen, *one.rejected]
    names = (
        one.id,
        one.annotator,
        one.timestamp,
        one.tenant,
        one.chosen_model,
        one.rejected_model,
        one.citation,
        one.truth,
    )
    return "".join([*(text for turn in turns for text in turn.values()), *(name for name in names if name)])
