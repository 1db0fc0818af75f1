"""Whether a night may begin, and its turn on this machine: what one that Prefect started by its schedule asks first.

A night that a person starts asks neither: no blackout day, no latest start. Its deadline is the next one.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefect.context import FlowRunContext

from infra.errors import NightLocked
from infra.lock import night_lock
from tasks.errors import NotTonight
from tasks.recipe import Recipe
from tasks.schedule import ends_by, in_words, latest_start, why_not

_LOOK_SECONDS = 5.0


def scheduled_time() -> datetime | None:
    """When the flow run was to start by its deployment's schedule; None of one that a person or an event started.

    The scheduler's own mark (``auto_scheduled``) says so. What ran before and runs again was started again by a person.
    """
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    if run is None or not run.auto_scheduled or run.run_count > 1:
        return None
    # Prefect's own kind of datetime forgets its zone when hours are added
    return datetime.fromtimestamp(run.expected_start_time.timestamp(), UTC) if run.expected_start_time else None


def refuse(recipe: Recipe, scheduled: datetime | None, now: datetime) -> None:
    """Before anything is touched.

    Raises:
        NotTonight: the schedule leaves this night out.
    """
    if recipe.schedule is None or scheduled is None:
        return
    why = why_not(recipe.schedule, scheduled, now)
    if why is not None:
        raise _skipped(why, recipe)


def deadline(recipe: Recipe, scheduled: datetime | None, now: datetime) -> str | None:
    """The moment at which what holds a pool is asked to end, as ISO text: counted from the time it was to start at."""
    if recipe.schedule is None:
        return None
    found = ends_by(recipe.schedule, scheduled or now)
    return None if found is None else found.astimezone(recipe.schedule.zone).isoformat()


@contextmanager
def turn(
    home: Path,
    holder: Mapping[str, Any],
    recipe: Recipe,
    scheduled: datetime | None,
    say: Callable[[str], None],
) -> Iterator[dict[str, Any] | None]:
    """The night lock; a scheduled night waits for another recipe's, or is left out, as ``schedule.overlap`` says.

    Two nights of one recipe don't meet here: its deployment runs one at a time.

    Raises:
        NightLocked: another night runs, and this one was started by a person.
        NotTonight: another night runs, and this one doesn't wait, or not so long.
    """
    with ExitStack() as stack:
        yield _locked(stack, home, holder, recipe, scheduled, say)


def _locked(
    stack: ExitStack,
    home: Path,
    holder: Mapping[str, Any],
    recipe: Recipe,
    scheduled: datetime | None,
    say: Callable[[str], None],
) -> dict[str, Any] | None:
    spec, waited = recipe.schedule, False
    while True:
        try:
            return stack.enter_context(night_lock(home, holder))
        except NightLocked as error:
            if spec is None or scheduled is None:
                raise
            if spec.overlap == "skip":
                raise _skipped(f"{error.what}, and schedule.overlap is 'skip'", recipe) from None
            until = latest_start(spec, scheduled)
            if datetime.now(UTC) > until:
                raise _skipped(f"{error.what}; this one waited until {in_words(until, spec)}", recipe) from None
            if not waited:
                say(f"{error.what}; this night waits for its end, until {in_words(until, spec)} at most")
                waited = True
            time.sleep(_LOOK_SECONDS)


def _skipped(why: str, recipe: Recipe) -> NotTonight:
    return NotTonight(why, do=f"nothing; `nightshift schedule` shows the next nights of {recipe.name}")
