"""The comparison for a terminal, in at most 100 columns. Pure."""

import textwrap

from tasks.plan.comparison import Comparison
from tasks.plan.forecast import Forecast
from tasks.plan.memory import Memory

WIDTH = 100
NAME = 27  # letters of a name at most
PARTS = tuple(Memory.model_fields)


def comparison_in_words(found: Comparison) -> str:
    """Pools, what each memory is made of, what other methods cost, and what is to be known about the figures."""
    lines = ["", *_wrap(_headline(found)), ""]
    lines += [*_table(found.pools, "pool", found.cheapest), ""]
    lines += [*_parts(found.pools, "pool"), ""]
    if found.methods:
        lines += [f"What the method costs, on {found.methods_on}:", ""]
        lines += [*_table(found.methods, "method", None), ""]
        lines += [*_parts(found.methods, "method"), ""]
    lines += [line for warning in found.warnings for line in _wrap(f"warning: {warning}")]
    lines += _wrap(_footnote(found))
    return "\n".join(lines)


def _headline(found: Comparison) -> str:
    what = f"{found.recipe} tonight: {found.steps} steps, {found.pairs} pairs, deadline {found.deadline_hours:g} h. "
    if found.cheapest is None:
        what += "No pool runs it: each says why below."
    else:
        best = next(one for one in found.pools if one.name == found.cheapest)
        what += f"Cheapest that meets it: {best.name}, {_amount(best)}."
    return f"{what} But tonight isn't worth it: {found.idle}." if found.idle else what


def _table(rows: tuple[Forecast, ...], what: str, best: str | None) -> list[str]:
    wide = _wide(rows)
    lines = [f"  {what:<{wide}} runs {'GPUs':>6} {'GB of GB':>12} {'hours':>7} {'kWh':>7} {'amount':>11}  error"]
    for one in rows:
        lines.append(_row(one, wide, "*" if one.name == best else " "))
        if not one.runs:
            lines += _wrap(f"{one.why}. {_sentence(one.do)}", indent=6)
        elif what == "pool" and one.devices < one.of and one.whole_amount is not None:
            lines += _wrap(f"its block asks for all {one.of}: {_cell(one, one.whole_amount)}", indent=6)
    return lines


def _row(one: Forecast, wide: int, mark: str) -> str:
    gpus = f"{one.devices} of {one.of}" if one.of else "-"
    memory = "-"
    if one.memory is not None and one.capacity_bytes is not None:
        memory = f"{_number(one.memory.total / 1e9)} of {_number(one.capacity_bytes / 1e9)}"
    hours = "-" if one.seconds is None else _number(one.seconds / 3600)
    kwh = "-" if one.kwh is None else _number(one.kwh)
    row = (
        f"{mark} {_name(one):<{wide}} {'yes' if one.runs else 'no':<4} {gpus:>6} {memory:>12} {hours:>7} {kwh:>7} "
        f"{_cell(one, one.amount):>11}  {_error(one)}"
    )
    return row.rstrip()


def _error(one: Forecast) -> str:
    """How wrong forecasts of this device's time have been, in a few letters; ``Rate.in_words`` has more."""
    if one.rate is None:
        return "-"
    if one.rate.source == "formula":
        return f"±{one.rate.error:.0%} formula"
    return f"±{one.rate.error:.0%} {one.rate.nights} nights" if one.rate.tested else f"±{one.rate.error:.0%} 1 night"


def _parts(rows: tuple[Forecast, ...], what: str) -> list[str]:
    """Tokens, and each part of a device's memory."""
    wide = _wide(rows)
    shown = [one for one in rows if one.memory is not None]
    if not shown:
        return []
    lines = [f"  {what:<{wide}} {'tokens':>6} " + " ".join(f"{_SHORT.get(part, part):>7}" for part in PARTS)]
    for one in shown:
        assert one.memory is not None
        figures = " ".join(f"{_number(bytes_ / 1e9):>7}" for bytes_ in one.memory.parts().values())
        lines.append(f"  {_name(one):<{wide}} {_count(one.tokens or 0):>6} {figures}")
    return [*lines, "  (GB a device, 10^9 bytes)"]


_SHORT = {
    "gradients": "grad.", "optimizer": "optim.", "reference": "refer.", "activations": "activ.", "overhead": "other"
}  # fmt: skip


def _wide(rows: tuple[Forecast, ...]) -> int:
    return max((len(_name(one)) for one in rows), default=0)


def _name(one: Forecast) -> str:
    return one.name if len(one.name) <= NAME else f"{one.name[: NAME - 1]}…"


def _cell(one: Forecast, amount: float | None) -> str:
    return "-" if amount is None else f"{_number(amount)} {one.currency}{'*' if one.example else ''}"


def _amount(one: Forecast) -> str:
    assert one.amount is not None  # what runs has a price
    return f"{_number(one.amount)} {one.currency}{' (example)' if one.example else ''}"


def _number(value: float) -> str:
    """Three figures, at most four decimals."""
    if value == 0:
        return "0"
    if value < 0.0001:
        return "<0.0001"
    places = 4 if value < 0.1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:,.{places}f}"


def _count(tokens: int) -> str:
    if tokens < 100_000:
        return f"{tokens:,}"
    return f"{tokens / 1e6:,.1f}M" if tokens < 10**9 else f"{tokens / 1e9:,.1f}G"


def _footnote(found: Comparison) -> str:
    rows = (*found.pools, *found.methods)
    example = "Amounts with * are examples: nobody offered these prices. " if any(one.example for one in rows) else ""
    return (
        f"{example}kWh is board power × time, estimated. Prices: {found.price_book}. "
        "GPUs: the fewest of the pool that fit and meet the deadline."
    )


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrap(text: str, indent: int = 0) -> list[str]:
    space = " " * indent
    return textwrap.wrap(text, WIDTH, initial_indent=space, subsequent_indent=space)
