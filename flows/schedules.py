"""Nights that start by themselves: one deployment a recipe, `nightly/<recipe name>`, made from its ``[schedule]``.

The server is the only place that knows which recipes are scheduled; `nightshift up` brings them up to date there.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowFilterName
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import automations
from flows.deployments import (
    NIGHTLY,
    Deployed,
    api_url,
    apply,
    deploy,
    ensure_watches,
    ensure_work_pools,
    known_zone,
    read,
)
from infra import cron
from infra.errors import NightshiftError, ServerError
from infra.settings import ROOT, Settings
from tasks.errors import RecipeError
from tasks.recipe import Recipe, load_recipe
from tasks.schedule import ScheduleSpec, blacked_out, in_words

FLOW = "nightly"
NIGHTS = 3  # shown of each schedule
_ZONE = "schedule.timezone="
_PAGE = 200  # the most that the server gives at once

Say = Callable[[str], None]


def deploy_all(settings: Settings, say: Say = print) -> list[str]:
    """What `nightshift up` does: every deployment of ours, and those of the recipes that were scheduled before.

    A recipe that can't be read any more is said, and its deployment stays as it is: it must not stop the rest.
    """
    names = deploy(settings)
    with temporary_settings({PREFECT_API_URL: api_url(settings)}):
        for found in scheduled():
            try:
                names.append(_deploy(str(found.parameters["recipe"]), _overrides(found), found.name, ROOT, say))
            except (NightshiftError, KeyError) as error:
                why = error.what if isinstance(error, NightshiftError) else "it names no recipe any more"
                say(f"The schedule {FLOW}/{found.name} is as it was: {why}")
                names.append(f"{FLOW}/{found.name}")
    return names


def schedule(
    settings: Settings, path: str, *, timezone: str | None = None, pause: bool | None = None, say: Say = print
) -> str:
    """Create or update a recipe's nightly deployment; in words, with its next nights.

    Args:
        path: the recipe, from the checkout's root or absolute.
        timezone: in place of the recipe's, now and later: it is kept as an override in the deployment's parameters.
        pause: whether it is paused afterwards; None: as it was.

    Raises:
        RecipeError: the recipe is invalid or has no ``[schedule]``. ServerError: there is no server, or no such zone.
    """
    zone = known_zone(timezone) if timezone else None
    with temporary_settings({PREFECT_API_URL: api_url(settings)}):
        name = load_recipe(ROOT / path).name
        if f"{FLOW}/{name}" == NIGHTLY:
            raise RecipeError(
                f"the recipe {path} is called {name!r}, like the deployment that `nightshift up` makes of the demo",
                do="give the recipe another name",
            )
        before = read(f"{FLOW}/{name}")
        overrides = _overrides(before) if before is not None else []
        if zone is not None:
            overrides = [one for one in overrides if not one.startswith(_ZONE)] + [f"{_ZONE}{zone}"]
        ensure_work_pools()
        ensure_watches()
        full = _deploy(path, overrides, None, ROOT, say)
        made = read(full)
        assert made is not None
        if pause is not None:
            _pause(made.id, pause)
            made = read(full)
            assert made is not None
        return in_lines([made], datetime.now(UTC))


def unschedule(settings: Settings, name: str) -> str:
    """Remove a recipe's nightly deployment, its runs to come, and the watches over it.

    Raises:
        ServerError: there is none of that name.
    """
    full = f"{FLOW}/{name}"
    with temporary_settings({PREFECT_API_URL: api_url(settings)}):
        found = read(full)
        if found is None or full == NIGHTLY:
            raise ServerError(f"no schedule is called {name!r}", do="`nightshift schedule` lists them")
        with get_client(sync_client=True) as client:
            client.delete_deployment(found.id)
        automations.remove((automations.stuck_name(name), automations.late_name(name)))
    return f"{full} is removed. Nights of it that run go on; `nightshift run` still starts one."


def listed(settings: Settings) -> str:
    """All nightly deployments, in words."""
    with temporary_settings({PREFECT_API_URL: api_url(settings)}):
        return in_lines([*_demo(), *scheduled()], datetime.now(UTC))


# --- one deployment ---


def row_of(recipe: Recipe, path: str, overrides: list[str]) -> Deployed:
    """What a recipe's nightly deployment is.

    Raises:
        RecipeError: it has no schedule.
    """
    if recipe.schedule is None:
        raise RecipeError(
            f"the recipe {path} has no [schedule]",
            do='add one, at least `cron = "0 2 * * *"` (docs/guides/schedule.md)',
        )
    return Deployed(
        "flows.nightly:nightly",
        recipe.name,
        {"recipe": path, "overrides": overrides},
        one_at_a_time=True,
        schedule=recipe.schedule,
        pinned=frozenset({"recipe", "overrides"}),
    )


def _deploy(path: str, overrides: list[str], name: str | None, code: Path, say: Say) -> str:
    recipe = load_recipe(ROOT / path, tuple(overrides))
    if name is not None and recipe.name != name:
        raise RecipeError(
            f"the recipe {path} is called {recipe.name!r} now",
            do=f"`nightshift schedule {name} --remove` and `nightshift schedule {path}`",
        )
    full, made = apply(row_of(recipe, path, overrides), None, code)
    hours = automations.stuck_hours(recipe.budget.max_hours)
    for wanted in automations.night_watches(recipe.name, made, hours, _blocks(recipe, say)):
        automations.ensure(wanted)
    return full


def _overrides(deployment: DeploymentResponse) -> list[str]:
    """Those of the deployment's parameters: somebody may have set more of them in the UI."""
    return [str(one) for one in deployment.parameters.get("overrides", [])]


def _blocks(recipe: Recipe, say: Say) -> Iterator[UUID]:
    """Documents of the recipe's notification blocks through which the server can tell of a late night by itself."""
    for named in recipe.deploy.notify:
        slug, _, name = named.partition("/")
        try:
            with get_client(sync_client=True) as client:
                found = client.read_block_document_by_name(name, slug).id
        except ObjectNotFound:
            say(f"Nobody will be told of late nights of {recipe.name} through {named}: no such block is saved")
            continue
        if slug == "smtp-email":  # a class of ours, which Prefect's server doesn't know
            say(f"Nobody will be told of late nights of {recipe.name} through {named}: the server can't send by SMTP")
            continue
        yield found


def _pause(deployment: UUID, pause: bool) -> None:
    with get_client(sync_client=True) as client:
        if pause:
            client.pause_deployment(deployment)
        else:
            client.resume_deployment(deployment)


def scheduled() -> list[DeploymentResponse]:
    """The recipes' deployments, by name; not the demo's."""
    found: list[DeploymentResponse] = []
    with get_client(sync_client=True) as client:
        while page := client.read_deployments(
            flow_filter=FlowFilter(name=FlowFilterName(any_=[FLOW])), limit=_PAGE, offset=len(found)
        ):
            found += page
    return sorted((one for one in found if f"{FLOW}/{one.name}" != NIGHTLY), key=lambda one: one.name)


def _demo() -> list[DeploymentResponse]:
    found = read(NIGHTLY)
    return [found] if found is not None else []


# --- words ---


def in_lines(deployments: list[DeploymentResponse], now: datetime) -> str:
    """What `nightshift schedule` shows of each."""
    return "\n\n".join("\n".join(_lines(one, now)) for one in deployments) or "no recipe is scheduled"


def _lines(one: DeploymentResponse, now: datetime) -> Iterator[str]:
    path = one.parameters.get("recipe", "no recipe")
    paused = "   PAUSED" if one.paused or not any(kept.active for kept in one.schedules) else ""
    yield f"{FLOW}/{one.name}   {path}{paused}"
    spec: ScheduleSpec | None = None
    try:
        spec = load_recipe(ROOT / path, tuple(_overrides(one))).schedule
    except NightshiftError as error:
        yield f"  its recipe can't be read, so blackout days are not known: {error.what}"
    for kept in one.schedules:
        if not isinstance(kept.schedule, CronSchedule):
            yield f"  {type(kept.schedule).__name__} from the UI; see there"
            continue
        zone = kept.schedule.timezone or "UTC"
        yield f"  {kept.schedule.cron}   {zone}   overlap: {_overlap(one)}{'' if kept.active else '   paused'}"
        if not paused and kept.active:
            yield "  next: " + ", ".join(next_nights(kept.schedule.cron, zone, spec, now))
    if spec is not None and spec.deadline is not None:
        yield f"  deadline: {spec.deadline} {spec.timezone}"


def next_nights(expression: str, zone: str, spec: ScheduleSpec | None, now: datetime, count: int = NIGHTS) -> list[str]:
    """The next nights on the zone's clocks, less blackout days; ``["none"]`` where there are none."""
    shown = ScheduleSpec(cron=expression, timezone=zone)
    found: list[str] = []
    for time in cron.times(expression, zone, now):
        if spec is None or blacked_out(spec, time) is None:
            found.append(in_words(time, shown))
        if len(found) == count:
            break
    return found or ["none"]


def _overlap(one: Any) -> str:
    strategy = one.concurrency_options.collision_strategy.value if one.concurrency_options else "ENQUEUE"
    return "skip" if strategy == "CANCEL_NEW" else "wait"
