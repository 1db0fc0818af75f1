"""Row checks as Ibis expressions: one table of flags, computed once, in DuckDB (or any other Ibis backend).

A flagged row goes to quarantine under the check's name. Expressions use only functions that Ibis translates for
DuckDB and Spark alike; regular expressions keep to what RE2 and Java share.
"""

import functools
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis

from infra.digest import Record

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
ROLES = r"^(system>)?(user>assistant>)*user\|assistant\|assistant$"
FUTURE = timedelta(days=1)


class Limits(Record):
    """Bounds in tokens of the model's own tokenizer."""

    max_prompt_tokens: int
    max_answer_tokens: int
    min_answer_tokens: int


Check = Callable[[Table, Limits], Column]


def _any_text(t: Table, pattern: str) -> Column:
    return t.prompt_text.re_search(pattern) | t.chosen_text.re_search(pattern) | t.rejected_text.re_search(pattern)


def _later_than_first(t: Table, *columns: str) -> Column:
    window = ibis.window(group_by=[t[column] for column in columns] + [t.readable], order_by=t.row)
    place: Column = ibis.row_number().over(window)
    return place > 0


def _contradicts(t: Table) -> Column:
    """Some row of the same prompt prefers A to B and another B to A; both are flagged, none is believed."""
    first = ibis.least(t.chosen_key, t.rejected_key)
    last = ibis.greatest(t.chosen_key, t.rejected_key)
    ahead = (t.chosen_key < t.rejected_key).ifelse(1, 0)
    window = ibis.window(group_by=[t.prompt_key, first, last])
    return (ahead.max().over(window) != ahead.min().over(window)) & (first != last)


# name -> expression, true where the row fails. Every check but `unreadable` sees readable rows only.
CHECKS: dict[str, Check] = {
    "unreadable": lambda t, _: ~t.readable,
    "roles": lambda t, _: ~t.roles.re_search(ROLES),
    "empty_prompt": lambda t, _: t.prompt_text.strip() == "",
    "empty_answer": lambda t, _: (t.chosen_text.strip() == "") | (t.rejected_text.strip() == ""),
    "equal_answers": lambda t, _: (t.chosen_text.strip() == t.rejected_text.strip()) & (t.chosen_text.strip() != ""),
    "duplicate_id": lambda t, _: _later_than_first(t, "id"),
    "duplicate_pair": lambda t, _: _later_than_first(t, "prompt_key", "chosen_key", "rejected_key"),
    "contradiction": lambda t, _: _contradicts(t),
    "prompt_too_long": lambda t, limits: t.prompt_tokens > limits.max_prompt_tokens,
    "answer_too_long": lambda t, limits: (
        (t.chosen_tokens > limits.max_answer_tokens) | (t.rejected_tokens > limits.max_answer_tokens)
    ),
    "answer_too_short": lambda t, limits: (
        (t.chosen_tokens < limits.min_answer_tokens) | (t.rejected_tokens < limits.min_answer_tokens)
    ),
    "timestamp_unreadable": lambda t, _: t.timestamp.notnull() & t.at.isnull(),
    "timestamp_in_future": lambda t, _: (
        t.at > ibis.literal(datetime.now(UTC).replace(tzinfo=None) + FUTURE)
    ).fill_null(False),
    "email": lambda t, _: _any_text(t, EMAIL),
    "phone": lambda t, _: _any_text(t, PHONE),
    "card": lambda t, _: _any_text(t, CARD),
    "secret": lambda t, _: _any_text(t, SECRET),
    "gate_overlap": lambda t, _: t.in_gate,
}

PERSONAL = ("email", "phone", "card")


def prompt_key(text: Column) -> Column:
    """Letters and digits only, lower case: two prompts that differ in case, spaces or punctuation are one."""
    return text.lower().re_replace(r"[^\p{L}\p{N}]+", " ").strip()


def prepare(rows: Table, gate_prompts: Table) -> Table:
    """Add what the checks share: keys, parsed timestamp, membership in the gate's items.

    Args:
        rows: the snapshot's rows with ``row`` (int64) and token counts.
        gate_prompts: one column ``prompt_text``.
    """
    t = rows.mutate(
        readable=rows.error.isnull(),
        prompt_key=prompt_key(rows.prompt_text),
        chosen_key=rows.chosen_text.strip(),
        rejected_key=rows.rejected_text.strip(),
        at=rows.timestamp.try_cast("timestamp"),
    )
    known = gate_prompts.select(prompt_key=prompt_key(gate_prompts.prompt_text)).distinct().mutate(in_gate=True)
    joined = t.left_join(known, "prompt_key")
    return joined.mutate(in_gate=joined.in_gate.fill_null(False)).drop("prompt_key_right")


def flags(t: Table, limits: Limits) -> Table:
    """One boolean column a check, beside ``row`` and what the profile needs."""
    columns = {
        name: check(t, limits) if name == "unreadable" else t.readable & check(t, limits)
        for name, check in CHECKS.items()
    }
    flagged = t.select(
        "row",
        "prompt_key",
        "chosen_text",
        "rejected_text",
        "prompt_tokens",
        "chosen_tokens",
        "rejected_tokens",
        **columns,
    )
    fails: Column = functools.reduce(operator.or_, (flagged[name] for name in CHECKS))
    return flagged.mutate(fails=fails)


def profile(flagged: Table) -> Table:
    """One row of figures: what Great Expectations judges."""
    passed = ~flagged.fails
    longer = (flagged.chosen_text.length() > flagged.rejected_text.length()).ifelse(1.0, 0.0)
    personal: Column = flagged.email | flagged.phone | flagged.card
    answer_tokens: Column = ibis.greatest(flagged.chosen_tokens, flagged.rejected_tokens)
    return flagged.aggregate(
        rows=flagged.count(),
        passed=passed.sum().fill_null(0),
        share_quarantined=flagged.fails.mean().fill_null(0.0),
        **{f"share_{name}": flagged[name].mean().fill_null(0.0) for name in CHECKS},
        share_personal_data=personal.mean().fill_null(0.0),
        share_chosen_longer=longer.mean(where=passed).fill_null(0.0),
        prompts_per_pair=(flagged.prompt_key.nunique(where=passed) / passed.sum().nullif(0)).fill_null(0.0),
        mean_prompt_tokens=flagged.prompt_tokens.mean(where=passed).fill_null(0.0),
        mean_chosen_tokens=flagged.chosen_tokens.mean(where=passed).fill_null(0.0),
        mean_rejected_tokens=flagged.rejected_tokens.mean(where=passed).fill_null(0.0),
        max_prompt_tokens=flagged.prompt_tokens.max(where=passed).fill_null(0),
        max_answer_tokens=answer_tokens.max(where=passed).fill_null(0),
    )
