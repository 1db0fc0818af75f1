"""What earlier decisions were, for the report: each suite's way since day one, and what re-anchorings gave up. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from infra.number_words import NONE, signed
from tasks.contracts import PastNight, Reanchored, Verdict
from tasks.gate.pictures_lines import Decision
from tasks.gate.report_rows import MARKS

# so many decisions are listed in numbers
LISTED = 30


def timeline(
    verdict: Verdict, night: str, past: Sequence[PastNight], reanchored: Sequence[Reanchored]
) -> dict[str, list[Decision]]:
    """Every suite of tonight with its decisions since day one, tonight's last.

    Tonight is added where the past doesn't hold it yet. A night without any number for any suite decided nothing. Of
    several phases of a night the one whose verdict was the night's.
    """
    nights = [one for one in past if one.chosen and any(suite.anchor_delta is not None for suite in one.suites)]
    breaks = sorted(instant(one.at) for one in reanchored)
    part, parts = 0, []
    for one in nights:  # never falls, even where a clock ran backwards
        part = max(part, sum(moment <= instant(one.at) for moment in breaks))
        parts.append(part)
    tonight = max((i for i, one in enumerate(nights) if one.night == night), default=None)
    found: dict[str, list[Decision]] = {}
    for suite in verdict.suites:
        line = []
        for i, (one, segment) in enumerate(zip(nights, parts, strict=True)):
            then = next((each for each in one.suites if each.name == suite.name), None)
            numbers = (None, None, None) if then is None else (then.delta, then.anchor_delta, then.lifetime)
            line.append(Decision(one.at[:10], one.promoted, i == tonight, *numbers, segment))
        if tonight is None and any(each.anchor_delta is not None for each in verdict.suites):
            line.append(Decision("tonight", False, True, suite.delta, suite.anchor_delta, suite.lifetime, len(breaks)))
        found[suite.name] = line
    return found


def instant(at: str) -> datetime:
    """An ISO time; UTC where it names no zone."""
    moment = datetime.fromisoformat(at)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def since_anchor(past: Sequence[PastNight], reanchored: Sequence[Reanchored], night: str) -> int:
    """Decisions judged since the last re-anchoring, this night's own left out."""
    last = max((instant(one.at) for one in reanchored), default=None)
    return sum(
        one.verdict != "BLOCK" and one.night != night and (last is None or instant(one.at) > last) for one in past
    )


def past_rows(past: Sequence[PastNight], suites: Sequence[str]) -> list[dict[str, Any]]:
    """The last decisions, newest first: what each said against the anchor."""
    rows = []
    for one in reversed(past[-LISTED:]):
        deltas = {suite.name: suite.anchor_delta for suite in one.suites}
        rows.append(
            {
                "day": one.at[:10],
                "night": one.night if one.phase is None else f"{one.night}, phase {one.phase}",
                "verdict": one.verdict,
                "mark": MARKS[one.verdict],
                "promoted": "promoted" if one.promoted else "",
                "deltas": [signed(deltas.get(name)) for name in suites],
            }
        )
    return rows


def reanchored_row(one: Reanchored) -> dict[str, str]:
    losses = ", ".join(f"{loss.name} {signed(loss.anchor_delta)}" for loss in one.losses)
    return {"day": one.at[:10], "by": one.by, "reason": one.reason, "losses": losses or NONE}


def moment(at: str) -> str:
    """An ISO time to the minute, for people; any other text as it is."""
    try:
        return f"{instant(at).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return at
