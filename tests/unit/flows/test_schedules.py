"""A recipe's nightly deployment: what is kept of what a person changed, and which nights are shown."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule

from flows.deployments import Deployed, job_variables, parameters_for, schedules_for, strategy_of, version_of
from flows.schedules import next_nights, row_of, scheduled
from infra.settings import ROOT
from tasks.errors import RecipeError
from tasks.recipe import load_recipe
from tasks.schedule import ScheduleSpec

DEMO = load_recipe(ROOT / "recipes" / "demo.toml")
NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


def spec(**values: object) -> ScheduleSpec:
    return ScheduleSpec.model_validate({"cron": "0 2 * * *", "timezone": "Europe/Berlin", **values})


def row(**values: object) -> Deployed:
    return row_of(DEMO.model_copy(update={"schedule": spec(**values)}), "recipes/mine.toml", [])


def before(deployed: Deployed, *kept: tuple[str, bool], **values: Any) -> DeploymentResponse:
    schedules = [
        SimpleNamespace(schedule=CronSchedule(cron=cron, timezone="UTC"), active=active, parameters={}, slug=None)
        for cron, active in kept
    ]
    given = {"version": version_of(deployed), "schedules": schedules, "parameters": {}, **values}
    return cast(DeploymentResponse, SimpleNamespace(**given))


def crons(deployed: Deployed, was: DeploymentResponse | None) -> list[tuple[str, str | None, bool | None]]:
    return [(one.schedule.cron, one.schedule.timezone, one.active) for one in schedules_for(deployed, was, None)]  # pyright: ignore


def test_a_new_deployment_gets_the_recipe_s_schedule() -> None:
    assert crons(row(), None) == [("0 2 * * *", "Europe/Berlin", True)]


def test_a_schedule_changed_in_the_ui_stays_while_the_recipe_s_own_does() -> None:
    assert crons(row(), before(row(), ("5 5 * * *", False))) == [("5 5 * * *", "UTC", False)]
    assert crons(row(), before(row())) == [], "also that somebody removed it"
    # blackout days and limits are read by the night itself: a change of them renews nothing
    assert crons(row(blackout=["sat"], deadline="06:00"), before(row(), ("5 5 * * *", True)))[0][0] == "5 5 * * *"


@pytest.mark.parametrize("changed", [{"cron": "0 3 * * *"}, {"timezone": "UTC"}])
def test_a_changed_recipe_renews_the_schedule_and_keeps_it_paused(changed: dict[str, str]) -> None:
    new = row(**changed)
    expected = (spec(**changed).cron, spec(**changed).timezone)
    assert crons(new, before(row(), ("5 5 * * *", True))) == [(*expected, True)]
    assert crons(new, before(row(), ("5 5 * * *", False))) == [(*expected, False)]
    assert crons(new, before(row())) == [(*expected, True)]


def test_recipe_and_overrides_are_the_command_s_and_other_parameters_a_person_s() -> None:
    was = before(row(), parameters={"recipe": "recipes/old.toml", "overrides": ["seed=3"], "fresh": True})
    known = {"recipe", "overrides", "fresh"}
    assert parameters_for(row(), was, known) == {"recipe": "recipes/mine.toml", "overrides": [], "fresh": True}


def test_overlap_decides_what_becomes_of_a_run_that_comes_too_early() -> None:
    assert strategy_of(row()) == ConcurrencyLimitStrategy.ENQUEUE
    assert strategy_of(row(overlap="skip")) == ConcurrencyLimitStrategy.CANCEL_NEW


def test_a_recipe_without_a_schedule_is_no_deployment() -> None:
    with pytest.raises(RecipeError, match=r"recipes/mine\.toml has no \[schedule\]"):
        row_of(DEMO, "recipes/mine.toml", [])


def test_runs_send_heartbeats_whoever_started_their_worker() -> None:
    assert job_variables(ROOT)["env"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"


def test_the_next_nights_leave_out_blackout_days() -> None:
    dark = spec(blackout=["sat", "2026-11-30..2026-12-02"])
    assert next_nights("0 2 * * *", "Europe/Berlin", dark, NOW) == [
        "Fri 2026-11-27 02:00 CET",
        "Sun 2026-11-29 02:00 CET",
        "Thu 2026-12-03 02:00 CET",
    ]
    assert next_nights("0 2 * * *", "Europe/Berlin", spec(blackout=["01-01..12-31"]), NOW) == ["none"]


def test_a_night_in_the_hour_that_is_left_out_still_comes_once_and_each_day_has_one() -> None:
    shown = next_nights("30 2 * * *", "Europe/Berlin", None, datetime(2026, 3, 27, 12, tzinfo=UTC), count=3)
    assert [night[4:14] for night in shown] == ["2026-03-28", "2026-03-29", "2026-03-30"]
    shown = next_nights("30 2 * * *", "Europe/Berlin", None, datetime(2026, 10, 23, 12, tzinfo=UTC), count=3)
    assert [night[4:14] for night in shown] == ["2026-10-24", "2026-10-25", "2026-10-26"]


class Pages:
    """A stand-in for Prefect's client: a server with this many deployments, as many at once as it gives."""

    def __init__(self, count: int) -> None:
        self.there = [SimpleNamespace(name=f"night-{n:04}") for n in range(count)]

    def __enter__(self) -> "Pages":
        return self

    def __exit__(self, *_: object) -> None: ...

    def read_deployments(self, *, flow_filter: object, limit: int, offset: int) -> list[SimpleNamespace]:
        return self.there[offset : offset + min(limit, 200)]


@pytest.mark.parametrize("count", [0, 200, 401])
def test_all_scheduled_recipes_are_found_however_many(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.schedules.get_client", lambda sync_client: Pages(count))
    assert [one.name for one in scheduled()] == [f"night-{n:04}" for n in range(count)]
