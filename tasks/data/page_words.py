"""How the data report says things: shares, units, states and what they are drawn as. Pure."""

from typing import NamedTuple

from infra.number_words import NONE, count, number, signed
from tasks.data.agreement import Agreement
from tasks.data.judge_profile import Finding
from tasks.data.page_records import DataReport, Source, stops
from tasks.data.style import BiasFigure

# beyond these a bound is no number anyone reads: of one pair alone the interval is as wide as numbers go
_NO_BOUND, _UNBOUNDED = 1e4, "no bound"


class State(NamedTuple):
    """How a figure stands: the class that colours it, a mark and a word, so that colour alone says nothing."""

    look: str
    mark: str
    word: str


FINE = State("fine", "✓", "fine")
LEVELS: dict[str, State] = {
    "none": State("fine", "✓", "no shift"),
    "some": State("warns", "▲", "some shift"),
    "large": State("stops", "▲", "large shift"),
    "too few rows": State("BLOCK", "?", "too few rows"),
}

MEASURES = {
    "difference of shares": "share in chosen minus share in rejected answers, in percentage points",
    "share": "share of pairs",
    "ratio": "chosen divided by rejected",
}
BIAS_NAMES: dict[str, tuple[str, str]] = {
    "length": ("length", "characters, geometric mean"),
    "longer": ("longer is chosen", "of pairs that differ in length"),
    "lists": ("lists", "answers with one"),
    "bold": ("bold", "answers with some"),
    "headings": ("headings", "answers with one"),
    "refusals": ("refusals", "answers that refuse"),
    "sycophancy": ("flattering openers", "answers with one"),
    "languages": ("two languages", "of pairs where both are known"),
    "models": ("two models", "of pairs where both are known"),
}


class Part(NamedTuple):
    """A part of the rows that came in."""

    key: str
    words: str
    rows: int


def parts(report: DataReport) -> list[Part]:
    """Where all rows went, in the order they are drawn."""
    return [
        Part("train", "to train on", sum(flow.to_train for flow in report.flows)),
        Part("held", "held out", sum(flow.held_out for flow in report.flows)),
        Part("aside", "passed, not for tonight", sum(flow.aside for flow in report.flows)),
        Part("left", "quarantined", report.quarantined),
    ]


def percent(part: float, of: float = 1) -> str:
    """A share in per cent; what is small but there is never 0, what is nearly all never 100."""
    if not of:
        return NONE
    share = 100 * part / of
    if 0 < share < 0.05:
        return "< 0.1 %"
    if 99.95 <= share < 100:
        return "> 99.9 %"
    return f"{number(share, 1)} %"


def rows_word(rows: int) -> str:
    return f"{count(rows)} row{'' if rows == 1 else 's'}"


# ---- bias


def bias_state(one: BiasFigure) -> State:
    return State("warns", "▲", "warns") if one.warns else FINE


_UNITS = {"ratio": "×", "share": " %", "difference of shares": " points"}


def bias_value(one: BiasFigure, value: float) -> str:
    """A value of this figure with its unit."""
    said = _bare(one, value)
    return said if said == _UNBOUNDED else f"{said}{_UNITS[one.measure]}"


def bias_range(one: BiasFigure) -> str:
    """The interval, with the unit once."""
    lower, upper = _bare(one, one.lower), bias_value(one, one.upper)
    return f"{lower} to {upper}"


def _bare(one: BiasFigure, value: float) -> str:
    if abs(value) >= _NO_BOUND:
        return _UNBOUNDED
    if one.measure == "ratio":
        return number(value, 2)
    if one.measure == "share":
        return number(100 * value, 1)
    return signed(100 * value, 1) if value else "0"


# ---- agreement, expectations, the night


def reliability(one: Agreement) -> State:
    """By the interval's lower end: what is not shown to be reliable isn't called so (Krippendorff 2004)."""
    low = one.alpha if one.low is None else one.low
    if low is None:
        return State("BLOCK", "?", "nothing to compare")
    if low >= 0.8:
        return State("fine", "✓", "reliable")
    return State("warns", "▲", "tentative") if low >= 0.667 else State("stops", "▲", "not reliable")


def outcome(one: Finding) -> State:
    if one.error is not None:
        return State("stops", "✕", "not computed")
    if one.success:
        return FINE
    return State("stops", "✕", "breached") if stops(one) else State("warns", "▲", "breached")


def night_state(report: DataReport) -> State:
    """Of the whole: stopped by a critical breach, gone on with warnings, or nothing to object to."""
    if report.breaches:
        return State("stops", "✕", "STOPPED")
    return State("warns", "▲", "GOES ON, WITH WARNINGS") if warnings(report) else State("fine", "✓", "GOES ON")


def warnings(report: DataReport) -> list[str]:
    """What a person should look at although the night goes on."""
    found = [breach(one) for one in report.expectations if not one.success and not stops(one)]
    found += [one.says for one in report.bias if one.warns]
    for against in report.drift:
        found += [f"Against {against.against}: {one.says}" for one in against.figures if one.level == "large"]
    if report.leaked_items:
        items = len(report.leaked_items)
        found.append(f"{count(items)} item{'' if items == 1 else 's'} of the gate stood in rows that came in.")
    if report.skipped:
        found.append(f"{count(report.skipped)} comparisons of near-duplicates were left out: some may have stayed.")
    return found + silent(report.sources)


def silent(sources: tuple[Source, ...]) -> list[str]:
    """Sources that were read, had nothing to object to, and gave no row: nobody would miss them."""
    return [
        f"{one.name} gave no row: {_MADE_OF.get(one.kind, _OTHERS)}" for one in sources if one.objects and not one.rows
    ]


_MADE_OF = {
    "documents": "none of its files holds a question that it answers. Lay NAME.questions.jsonl beside a file, or set "
    'form = "titles" to ask for its sections by their names',
    "conversations": "nobody edited, regenerated, took over or closed a talk in it. Check its form",
}
_OTHERS = "nothing in it was rated or compared. Check its kind and form, and that the export ran"


def breach(one: Finding) -> str:
    if one.error is not None:
        return f"{one.figure} could not be computed: {one.error}"
    return f"{one.figure} is {figure(one.observed)}, expected {one.expected}: {one.why}"


def figure(value: float | None) -> str:
    """A profile's figure: whole numbers with separators, others to four places."""
    if value is None:
        return NONE
    return count(int(value)) if value == int(value) and abs(value) < 1e15 else number(value, 4)
