"""Checks as Ibis expressions, run in DuckDB or, unchanged, in Spark. A row that fails goes to quarantine.

Row checks see one row with its texts, and are computed once a shard. Set checks see keys and numbers of all rows, and
are computed every night. Expressions use only functions that Ibis translates for both backends alike; regular
expressions keep to what RE2 and Java share.
"""

import functools
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis

from infra.digest import Record
from tasks.data.keys import answer_key

# Ibis gives a column its type at run time: a checker sees a bare Column, without re_search or >
Table = Any
Column = Any

ROLES = {
    "pair": r"^(system>)?(user>assistant>)*user\|assistant\|assistant$",
    "label": r"^(system>)?(user>assistant>)*user\|(assistant\||\|assistant)$",
    "document": r"^(system>)?user\|assistant\|(assistant)?$",
}
# a tokenizer may read these as structure: a user's text must never end its own turn
TEMPLATE = r"<\|[A-Za-z_]+\|>|\[/?INST\]|<</?SYS>>|</?s>|<(start|end)_of_turn>|<[｜][^>]{1,40}[｜]>"
CONTROL = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
FUTURE = timedelta(days=1)
# ISO times. A zone is read here: DuckDB drops whatever stands behind a time, Spark adds it up. Years that stay years
# of four digits in any zone: beyond them neither DuckDB nor Python can count, and would end the night for one row
_DATE = r"[12]\d{3}-\d{1,2}-\d{1,2}"
DATED = rf"^\s*({_DATE})\s*$"
TIMED = (
    rf"^\s*({_DATE}[T ]\d{{1,2}}:\d{{2}}(?::\d{{2}}(?:\.\d+)?)?) ?"
    r"(?:Z|UTC|([+-])([01]\d|2[0-3]):?([0-5]\d)?)?\s*$"
)
PERSONAL = ("email", "phone", "iban", "card", "ip")
_NOTHING = answer_key("")  # of spaces alone, too


class Limits(Record):
    """What the recipe says a row must live up to; bounds are in tokens of the model's own tokenizer.

    Attributes:
        personal: kinds of personal data whose rows leave; others are masked, or stay.
    """

    max_prompt_tokens: int
    max_answer_tokens: int
    min_answer_tokens: int
    personal: tuple[str, ...]


Check = Callable[[Table], Column]


def _any_text(t: Table, pattern: str) -> Column:
    return t.prompt_text.re_search(pattern) | t.chosen_text.re_search(pattern) | t.rejected_text.re_search(pattern)


def _wrong_roles(t: Table) -> Column:
    wrong = ibis.literal(True)
    for kind, pattern in ROLES.items():
        wrong = wrong & ~((t.kind == kind) & t.roles.re_search(pattern))
    return wrong


def _is(t: Table, kind: str) -> Column:
    return t.kind == kind


def _answer(t: Table, side: str) -> Column:
    """Whether the row has an answer on this side: a label has one, a document's rejected one may be yet to come."""
    return (
        _is(t, "pair")
        | (_is(t, "label") & (t.label if side == "chosen" else ~t.label))
        | (_is(t, "document") & (ibis.literal(side == "chosen")))
    )


def _empty(t: Table, side: str) -> Column:
    return _answer(t, side) & (t[f"{side}_key"] == _NOTHING)


def _personal(kind: str) -> "SetCheck":
    """Found in the row, and not to be masked or let through."""
    return lambda t, limits: t[f"has_{kind}"] & ibis.literal(kind in limits.personal)


def _at(t: Table) -> Column:
    """When the row was made, in UTC; of a time without a zone it is UTC's; null where it is no ISO time."""
    text = t.timestamp.re_search(TIMED).ifelse(t.timestamp.re_extract(TIMED, 1), t.timestamp.re_extract(DATED, 1))
    hours, minutes = (t.timestamp.re_extract(TIMED, group).try_cast("int64").fill_null(0) for group in (3, 4))
    east = (t.timestamp.re_extract(TIMED, 2) == "-").ifelse(-1, 1) * (hours * 60 + minutes)
    return text.try_cast("timestamp") - east.as_interval("m")


# name -> expression over a row and its texts, true where it fails. All but `unreadable` count for readable rows only.
ROW_CHECKS: dict[str, Check] = {
    "unreadable": lambda t: t.error.notnull(),
    "roles": _wrong_roles,
    "empty_prompt": lambda t: ~t.prompt_text.re_search(r"\S"),
    "empty_answer": lambda t: _empty(t, "chosen") | _empty(t, "rejected"),
    "equal_answers": lambda t: _is(t, "pair") & (t.chosen_key == t.rejected_key) & (t.chosen_key != _NOTHING),
    "timestamp_unreadable": lambda t: t.timestamp.notnull() & _at(t).isnull(),
    "template_tokens": lambda t: _any_text(t, TEMPLATE),
    "control_characters": lambda t: _any_text(t, CONTROL),
}


def row_flags(t: Table) -> Table:
    """One boolean column a row check, in the order of ``ROW_CHECKS``; beside them ``place``, ``at`` (when the row was
    made, in UTC) and the answers' lengths in characters."""
    readable = t.error.isnull()
    columns = {
        name: check(t).fill_null(False) if name == "unreadable" else readable & check(t).fill_null(False)
        for name, check in ROW_CHECKS.items()
    }
    at = ibis.ifelse(readable, _at(t), ibis.null("timestamp"))
    lengths = {f"{side}_length": t[f"{side}_text"].length() for side in ("chosen", "rejected")}
    return t.select("place", at=at, **lengths, **columns)


SetCheck = Callable[[Table, Limits], Column]

# name -> expression over the facts of a row (``tasks.data.facts``): what its features say
FACT_CHECKS: dict[str, SetCheck] = {
    "prompt_too_long": lambda t, limits: t.prompt_tokens > limits.max_prompt_tokens,
    "answer_too_long": lambda t, limits: (
        (t.chosen_tokens > limits.max_answer_tokens) | (t.rejected_tokens > limits.max_answer_tokens)
    ),
    "answer_too_short": lambda t, limits: (
        (_answer(t, "chosen") & (t.chosen_tokens < limits.min_answer_tokens))
        | (_answer(t, "rejected") & (t.rejected_tokens < limits.min_answer_tokens))
    ),
    "template": lambda t, _: t.template_error.notnull(),
    "cut_equal": lambda t, _: t.cut_equal,
    "cut_empty": lambda t, _: t.cut_empty,
    "timestamp_in_future": lambda t, _: (
        t["at"] > ibis.literal(datetime.now(UTC).replace(tzinfo=None) + FUTURE)
    ).fill_null(False),
    **{name: _personal(name) for name in (*PERSONAL, "secret")},
}

# name -> expression over the facts of all rows
SET_CHECKS: dict[str, SetCheck] = {
    "duplicate_id": lambda t, _: (t.row > t.first_of_id).fill_null(False),
    "duplicate_pair": lambda t, _: (t.row > t.first_of_pair).fill_null(False),
    "relabelled": lambda t, _: t.relabelled,
    "contradiction": lambda t, _: (_stands(t) & t.both_ways.fill_null(False)) | t.cycle,
    "near_duplicate": lambda t, _: t.near_duplicate,
    "near_contradiction": lambda t, _: t.near_contradiction,
    "gate_overlap": lambda t, _: t.in_gate | t.leaked,
    "house_overlap": lambda t, _: t.leaked_house,
}

CHECKS = (*ROW_CHECKS, *FACT_CHECKS, *SET_CHECKS)


def with_marks(facts: Table, marks: Table, gate_keys: Table) -> Table:
    """Facts, with what was found of rows in the light of all others."""
    names = [name for name in marks.columns if name != "row"]
    joined = facts.left_join(marks, "row")
    joined = joined.mutate(**{name: joined[name].fill_null(False) for name in names}).drop("row_right")
    known = gate_keys.distinct().mutate(in_gate=True)
    joined = joined.left_join(known, "prompt_key")
    return joined.mutate(in_gate=joined.in_gate.fill_null(False)).drop("prompt_key_right")


def sound(t: Table, limits: Limits) -> Table:
    """Facts of the rows that fail no check of their own: who leaves anyhow turns nobody else out."""
    fails: Column = functools.reduce(operator.or_, (t[name] for name in ROW_CHECKS))
    for check in FACT_CHECKS.values():
        fails = fails | check(t, limits)
    return t.filter(~fails)


def _stands(t: Table) -> Column:
    return (t.kind == "pair") & ~t.relabelled


def _first(t: Table, name: str, *columns: str) -> Table:
    """The first row of each group of equal ones that has several: most rows are alone, so this is a small table."""
    groups = t.group_by(list(columns)).aggregate(**{name: t.row.min()}, several=t.count() > 1)
    return groups.filter(groups.several).drop("several")


def _both_ways(t: Table) -> Table:
    """Two answers of a prompt of which some row prefers A to B and another B to A: none of them is believed."""
    stands = t.filter(_stands(t)).mutate(ahead=(t.chosen_key < t.rejected_key).ifelse(1, 0))
    groups = stands.group_by(["prompt_key", "lesser_key", "greater_key"])
    found = groups.aggregate(both_ways=stands.ahead.max() != stands.ahead.min())
    return found.filter(found.both_ways)


def _with_sets(t: Table) -> Table:
    """What the set checks read of other rows. Grouped and joined: windows over all rows take three times as long."""
    t = t.mutate(
        lesser_key=ibis.least(t.chosen_key, t.rejected_key), greater_key=ibis.greatest(t.chosen_key, t.rejected_key)
    )
    readable = t.filter(~t.unreadable)
    pair = ("kind", "prompt_key", "chosen_key", "rejected_key")
    for found, keys in (
        (_first(readable, "first_of_id", "id"), ("id",)),
        (_first(readable, "first_of_pair", *pair), pair),
        (_both_ways(readable), ("prompt_key", "lesser_key", "greater_key")),
    ):
        t = t.left_join(found, list(keys)).drop(*(f"{key}_right" for key in keys))
    return t


def flags(t: Table, limits: Limits) -> Table:
    """One boolean column a check, beside where the row is and what the profile needs.

    Args:
        t: the facts of all rows, see ``tasks.data.facts``.
    """
    t = _with_sets(t)
    readable = ~t.unreadable
    found = {name: readable & check(t, limits) for name, check in (FACT_CHECKS | SET_CHECKS).items()}
    # who is equal is near, too: one reason says it
    found["near_duplicate"] = found["near_duplicate"] & ~found["duplicate_pair"]
    found["near_contradiction"] = found["near_contradiction"] & ~found["contradiction"]
    flagged = t.mutate(**found)
    fails: Column = functools.reduce(operator.or_, (flagged[name] for name in CHECKS))
    # no names and sources: a wide table takes longer to write than its checks to compute
    return flagged.select(*_PLACES, *_FOR_PROFILE, *CHECKS, fails=fails)


_PLACES = ("row", "shard", "place", "kind", "prompt_key")
_FOR_PROFILE = (
    "chosen_length", "rejected_length", "prompt_tokens", "chosen_tokens", "rejected_tokens",
    *(f"has_{name}" for name in PERSONAL),
)  # fmt: skip


def profile(flagged: Table) -> Table:
    """One row of figures: what Great Expectations judges."""
    passed = ~flagged.fails
    pairs = passed & (flagged.kind == "pair")
    longer: Column = flagged.chosen_length > flagged.rejected_length  # not 1.0 or 0.0: Spark's are decimals of a digit
    personal: Column = functools.reduce(operator.or_, (flagged[f"has_{name}"] for name in PERSONAL))
    answer_tokens: Column = ibis.greatest(flagged.chosen_tokens, flagged.rejected_tokens)
    return flagged.aggregate(
        rows=flagged.count(),
        passed=passed.sum().fill_null(0),
        share_quarantined=flagged.fails.mean().fill_null(0.0),
        **{f"share_{name}": flagged[name].mean().fill_null(0.0) for name in CHECKS},
        share_personal_data=personal.mean().fill_null(0.0),
        share_chosen_longer=longer.mean(where=pairs).fill_null(0.0),
        prompts_per_pair=(flagged.prompt_key.nunique(where=passed) / passed.sum().nullif(0)).fill_null(0.0),
        mean_prompt_tokens=flagged.prompt_tokens.mean(where=passed).fill_null(0.0),
        mean_chosen_tokens=flagged.chosen_tokens.mean(where=passed).fill_null(0.0),
        mean_rejected_tokens=flagged.rejected_tokens.mean(where=passed).fill_null(0.0),
        max_prompt_tokens=flagged.prompt_tokens.max(where=passed).fill_null(0),
        max_answer_tokens=answer_tokens.max(where=passed).fill_null(0),
    )
