"""What a step that runs has cost so far, and when that is more than the night or its month may cost. Pure.

The schedule's deadline ends a step in the same way: it is looked at where the budget is.
"""

import time
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from infra.price_book import exact
from tasks.cost.money import rounded
from tasks.errors import OverBudget, PastDeadline, PhaseSpent


class Limit(NamedTuple):
    """A limit of the recipe: on money, or on seconds the pool is held.

    Attributes:
        name: the recipe's key.
        most: the limit, ``before``: what was used of it when the step began.
        a_second: what a held second uses of it.
    """

    name: str
    most: Decimal
    before: Decimal
    a_second: Decimal
    unit: str


class LiveMeter:
    """Knows the limits of a step, and says when held time has used up one of them."""

    def __init__(self, limits: tuple[Limit, ...]) -> None:
        self._limits = limits

    def over(self, held_seconds: float) -> str | None:
        """The limit that is used up after so many held seconds, in a sentence, or None."""
        for limit in self._limits:
            used = limit.before + exact(held_seconds) * limit.a_second
            if not used <= limit.most:
                return (
                    f"{_said(used, limit.unit)} of {_said(limit.most, limit.unit)} ({limit.name}) are used up, "
                    f"{_said(limit.before, limit.unit)} of it before this step"
                )
        return None


class Watch:
    """A ``LiveMeter`` with a clock: from a job's first word to its last. Waiting in a queue comes before the first.

    A job that its scheduler starts again waits in between, which is counted: the watch errs on the cheap side.

    Args:
        clock: seconds that only grow. ``wall``: seconds since 1970.
        ends_by: the schedule's deadline.
        own: of the phase that is trained, which ends alone where that is used up.
    """

    def __init__(
        self,
        meter: LiveMeter,
        clock: Callable[[], float],
        ends_by: datetime | None = None,
        wall: Callable[[], float] = time.time,
        own: LiveMeter | None = None,
    ) -> None:
        self._meter, self._clock, self._own = meter, clock, own
        self._ends_by, self._wall = ends_by, wall
        self._began: float | None = None

    def look(self) -> None:
        """At each word of the job.

        Raises:
            OverBudget: a limit is used up. Whoever runs the job then asks it to keep a checkpoint and end.
            PhaseSpent: likewise, where it is the phase's own.
            PastDeadline: likewise, at the schedule's deadline.
        """
        self.look_at_deadline()
        if self._began is None:
            self._began = self._clock()
        held = max(self._clock() - self._began, 0.0)
        do = "raise that limit and run the night again: it goes on from what was kept"
        if (over := self._meter.over(held)) is not None:
            raise OverBudget(f"the budget is spent: {over}", do=do)
        if self._own is not None and (over := self._own.over(held)) is not None:
            raise PhaseSpent(f"the phase's budget is spent: {over}", do=do)

    def look_at_deadline(self) -> None:
        """Before a job, too: none is begun that would have to end.

        Raises:
            PastDeadline: it has come.
        """
        if self._ends_by is not None and not self._wall() < self._ends_by.timestamp():
            raise PastDeadline(
                f"the night's deadline has come: {self._ends_by:%Y-%m-%d %H:%M} {self._ends_by:%z} (schedule.deadline)",
                do="run the night again, or leave it to the next one: with the same data it goes on from what was kept",
            )


def _said(value: Decimal, unit: str) -> str:
    if unit == "s":
        return f"{rounded(value / 3600, 2)} h"
    return f"{rounded(value, 2 if value >= 1 else 4)} {unit}"
