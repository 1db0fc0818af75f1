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

EMAIL = r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
PHONE = (
    r"(^|[^0-9A-Za-z])(\+[0-9]{9,14}"
    r"|(\+[0-9]{1,3}[ .-]?)?(\([0-9]{2,4}\) ?|[0-9]{2,4}[ .-])[0-9]{3,4}[ .-][0-9]{3,4})($|[^0-9])"
)
CARD = r"(^|[^0-9])[3-6][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{1,7}($|[^0-9])"
SECRET = (
    r"(AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|sk[-_][A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}"
    r"|(?i:password|passwd|api[_-]?key|secret|access[_-]?token) *[:=] *[^ ]{8,})"
)
ROLES = {
    "pair": r"^(system>)?(user>assistant>)*user\|assistant\|assistant$",
    "label": r"^(system>)?(user>assistant>)*user\|(assistant\||\|assistant)$",
    "document": r"^(system>)?user\|assistant\|(assistant)?$",
}
# a tokenizer may read these as structure: a user's text must never end its own turn
TEMPLATE = r"<\|[A-Za-z_]+\|>|\[/?INST\]|<</?SYS>>|</?s>|<(start|end)_of_turn>|<[｜][^>]{1,40}[｜]>"
CONTROL = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
FUTURE = timedelta(days=1)
_NOTHING = answer_key("")  # of spaces alone, too


class Limits(Record):
    """Bounds in tokens of the model's own tokenizer."""

    max_prompt_tokens: int
    max_answer_tokens: int
    min_answer_tokens: int


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


def _later_than_first(t: Table, *columns: str) -> Column:
    window = ibis.window(group_by=[t[column] for column in columns] + [t.unreadable], order_by=t.row)
    place: Column = ibis.row_number().over(window)
    return place > 0


# name -> expression over a row and its texts, true where it fails. All but `unreadable` count for readable rows only.
ROW_CHECKS: dict[str, Check] = {
    "unreadable": lambda t: t.error.notnull(),
    "roles": _wrong_roles,
    "empty_prompt": lambda t: ~t.prompt_text.re_search(r"\S"),
    "empty_answer": lambda t: _empty(t, "chosen") | _empty(t, "rejected"),
    "equal_answers": lambda t: _is(t, "pair") & (t.chosen_key == t.rejected_key) & (t.chosen_key != _NOTHING),
    "timestamp_unreadable": lambda t: t.timestamp.notnull() & t.timestamp.try_cast("timestamp").isnull(),
    "template_tokens": lambda t: _any_text(t, TEMPLATE),
    "control_characters": lambda t: _any_text(t, CONTROL),
    "email": lambda t: _any_text(t, EMAIL),
    "phone": lambda t: _any_text(t, PHONE),
    "card": lambda t: _any_text(t, CARD),
    "secret": lambda t: _any_text(t, SECRET),
}


def row_flags(t: Table) -> Table:
    """One boolean column a row check, in the order of ``ROW_CHECKS``, beside ``place``."""
    readable = t.error.isnull()
    columns = {
        name: check(t).fill_null(False) if name == "unreadable" else readable & check(t).fill_null(False)
        for name, check in ROW_CHECKS.items()
    }
    at = ibis.ifelse(readable, t.timestamp.try_cast("timestamp"), ibis.null("timestamp"))
    return t.select("place", at=at, **columns)


def _contradicts(t: Table) -> Column:
    """Some row of the same prompt prefers A to B and another B to A; both are flagged, none is believed."""
    first = ibis.least(t.chosen_key, t.rejected_key)
    last = ibis.greatest(t.chosen_key, t.rejected_key)
    ahead = (t.chosen_key < t.rejected_key).ifelse(1, 0)
    stands = (t.kind == "pair") & ~t.relabelled
    window = ibis.window(group_by=[t.prompt_key, first, last, stands])
    return stands & (ahead.max().over(window) != ahead.min().over(window)) & (first != last)


SetCheck = Callable[[Table, Limits], Column]

# name -> expression over the facts of all rows (``tasks.data.facts``), readable ones
SET_CHECKS: dict[str, SetCheck] = {
    "duplicate_id": lambda t, _: _later_than_first(t, "id"),
    "duplicate_pair": lambda t, _: _later_than_first(t, "kind", "prompt_key", "chosen_key", "rejected_key"),
    "relabelled": lambda t, _: t.relabelled,
    "contradiction": lambda t, _: _contradicts(t) | t.cycle,
    "near_duplicate": lambda t, _: t.near_duplicate,
    "near_contradiction": lambda t, _: t.near_contradiction,
    "prompt_too_long": lambda t, limits: t.prompt_tokens > limits.max_prompt_tokens,
    "answer_too_long": lambda t, limits: (
        (t.chosen_tokens > limits.max_answer_tokens) | (t.rejected_tokens > limits.max_answer_tokens)
    ),
    "answer_too_short": lambda t, limits: (
        (_answer(t, "chosen") & (t.chosen_tokens < limits.min_answer_tokens))
        | (_answer(t, "rejected") & (t.rejected_tokens < limits.min_answer_tokens))
    ),
    "timestamp_in_future": lambda t, _: (
        t.at > ibis.literal(datetime.now(UTC).replace(tzinfo=None) + FUTURE)
    ).fill_null(False),
    "gate_overlap": lambda t, _: t.in_gate | t.leaked,
}

CHECKS = (*ROW_CHECKS, *SET_CHECKS)
PERSONAL = ("email", "phone", "card")


def flags(t: Table, limits: Limits) -> Table:
    """One boolean column a check, beside ``row`` and what the profile needs.

    Args:
        t: the facts of all rows, see ``tasks.data.facts``.
    """
    readable = ~t.unreadable
    found = {name: readable & check(t, limits) for name, check in SET_CHECKS.items()}
    # who is equal is near, too: one reason says it
    found["near_duplicate"] = found["near_duplicate"] & ~found["duplicate_pair"]
    found["near_contradiction"] = found["near_contradiction"] & ~found["contradiction"]
    flagged = t.mutate(**found)
    fails: Column = functools.reduce(operator.or_, (flagged[name] for name in CHECKS))
    return flagged.mutate(fails=fails)


def profile(flagged: Table) -> Table:
    """One row of figures: what Great Expectations judges."""
    passed = ~flagged.fails
    pairs = passed & (flagged.kind == "pair")
    longer = (flagged.chosen_length > flagged.rejected_length).ifelse(1.0, 0.0)
    personal: Column = functools.reduce(operator.or_, (flagged[name] for name in PERSONAL))
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
