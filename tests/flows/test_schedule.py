"""Nights by a schedule on a real Prefect server: which runs are its own, which are left out, what a command changes."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import CronSchedule
from prefect.events.schemas.automations import EventTrigger
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL
from prefect.states import Scheduled

from flows import automations, frame, schedules
from flows.automations import ZOMBIE, late_name, stuck_name
from flows.deployments import read
from flows.initial import init_recipe
from flows.nightly import nightly
from flows.scheduled import scheduled_time
from infra.errors import NightLocked, ServerError
from infra.lock import night_lock
from infra.settings import Settings
from tasks.errors import RecipeError
from tasks.nights import read_summary

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

NIGHT = "nightly/tiny"
SCHEDULE = """
[schedule]
cron = "0 2 * * *"
timezone = "Europe/Berlin"
"""


@pytest.fixture
def settings(home: Path) -> Settings:
    return Settings.model_validate({"home": home, "prefect_api_url": PREFECT_API_URL.value()})


@pytest.fixture
def recipe(tiny_recipe: Path, settings: Settings) -> Iterator[Path]:
    """One with a schedule; its deployment goes with the test."""
    write(tiny_recipe, "")
    yield tiny_recipe
    if read(NIGHT) is not None:
        schedules.unschedule(settings, "tiny")


def write(recipe: Path, keys: str) -> None:
    recipe.write_text(recipe.read_text().partition("\n[schedule]")[0] + SCHEDULE + keys)


def deployment() -> DeploymentResponse:
    found = read(NIGHT)
    assert found is not None
    return found


def run_of(moment: datetime) -> FlowRun:
    """The run of that moment, made by the server's own scheduler."""
    with get_client(sync_client=True) as client:
        made = deployment().id
        span = {"start_time": moment.isoformat(), "end_time": (moment + timedelta(minutes=1)).isoformat()}
        client.request(
            "POST",
            "/deployments/{id}/schedule",  # pyright: ignore[reportArgumentType]  the list of routes lacks it
            path_params={"id": made},
            json=span | {"min_runs": 1, "max_runs": 1},
        )
        answer = client.request("POST", "/flow_runs/filter", json={"deployments": {"id": {"any_": [str(made)]}}})
        (run,) = [one for one in answer.json() if datetime.fromisoformat(one["expected_start_time"]) == moment]
        return client.read_flow_run(UUID(run["id"]))


def start(run: FlowRun, flow_: Any = nightly) -> Any:
    """Its final state."""
    return run_flow(flow_, flow_run=run, parameters=run.parameters, return_type="state")


def every_minute(recipe: Path, settings: Settings, keys: str = "") -> datetime:
    """A schedule of every minute; the minute that has just begun."""
    write(recipe, keys)
    recipe.write_text(recipe.read_text().replace("0 2 * * *", "* * * * *"))
    schedules.schedule(settings, str(recipe))
    return datetime.now(UTC).replace(second=0, microsecond=0)


def test_a_run_that_the_scheduler_made_knows_its_time_and_one_that_a_person_started_has_none(
    recipe: Path, settings: Settings
) -> None:
    seen: list[datetime | None] = []

    @flow(name="nightly")
    def asks(recipe: str, overrides: list[str]) -> None:
        seen.append(scheduled_time())

    moment = every_minute(recipe, settings) - timedelta(minutes=3)
    run = run_of(moment)
    assert start(run, asks).is_completed()
    with get_client(sync_client=True) as client:
        by_hand = client.create_flow_run_from_deployment(deployment().id)
    assert start(by_hand, asks).is_completed()
    asks("recipe", [])
    assert seen == [moment, None, None]

    with get_client(sync_client=True) as client:  # *Retry* in the UI
        client.set_flow_run_state(run.id, Scheduled(name="AwaitingRetry"), force=True)
        again = client.read_flow_run(run.id)
    assert start(again, asks).is_completed()
    assert seen[3:] == [None]


def test_a_scheduled_run_on_a_blackout_day_is_skipped_before_it_touches_anything(
    recipe: Path, settings: Settings, home: Path
) -> None:
    moment = every_minute(recipe, settings, 'blackout = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]')
    with night_lock(home, {"run": "another"}):  # not even the lock is asked for
        state = start(run_of(moment))
    assert (state.type.value, state.name) == ("COMPLETED", "Skipped")
    assert "falls on a blackout day" in state.message
    assert not (home / "nights").exists()
    assert not (home / "mlflow.db").exists()


def test_a_scheduled_run_that_starts_too_late_is_skipped_with_the_reason(
    recipe: Path, settings: Settings, home: Path
) -> None:
    moment = every_minute(recipe, settings, "start_within_hours = 0.5") - timedelta(hours=1)
    state = start(run_of(moment))
    assert state.name == "Skipped"
    assert "could not start within 0.5 h of its time (schedule.start_within_hours)" in state.message


def test_what_a_person_starts_runs_on_a_blackout_day(recipe: Path, home: Path) -> None:
    write(recipe, 'blackout = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]')
    with night_lock(home, {"run": "another"}), pytest.raises(NightLocked):  # as far as a night that may run comes
        nightly(recipe=str(recipe))


def test_a_scheduled_night_leaves_itself_out_where_another_runs_and_overlap_says_skip(
    recipe: Path, settings: Settings, home: Path
) -> None:
    moment = every_minute(recipe, settings, 'overlap = "skip"')
    with night_lock(home, {"run": "another"}):
        state = start(run_of(moment))
    assert state.name == "Skipped"
    assert "a night is running already" in state.message


def test_a_scheduled_night_waits_for_another_s_end_no_longer_than_it_may_start(
    recipe: Path, settings: Settings, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.scheduled._LOOK_SECONDS", 0.2)
    moment = every_minute(recipe, settings)
    run = run_of(moment)
    until = time.time() + 10
    write(recipe, f"start_within_hours = {(until - moment.timestamp()) / 3600}")
    with night_lock(home, {"run": "another"}):
        state = start(run)
    assert state.name == "Skipped", state.message
    assert "this one waited until" in state.message
    assert time.time() > until


def test_a_night_past_its_deadline_begins_nothing_on_the_pool_is_billed_and_says_so(
    recipe: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_recipe(str(recipe), once=False)
    monkeypatch.setattr(frame, "deadline", lambda *_: "2026-11-26T06:00:00+01:00")
    state = nightly(recipe=str(recipe), return_state=True)
    assert (state.type.value, state.name) == ("FAILED", "PastDeadline")
    assert "2026-11-26 06:00 +0100 (schedule.deadline)" in state.message
    summary = read_summary(home, "last")
    assert summary["state"] == "PastDeadline"
    assert summary["bill"]["device_hours"] > 0


# --- the command ---


def test_schedule_makes_a_deployment_with_its_recipe_one_at_a_time_and_the_watches_over_it(
    recipe: Path, settings: Settings
) -> None:
    said = schedules.schedule(settings, str(recipe))
    made = deployment()
    assert made.parameters == {"recipe": str(recipe), "overrides": []}
    assert [(one.schedule.cron, one.schedule.timezone) for one in made.schedules] == [("0 2 * * *", "Europe/Berlin")]  # pyright: ignore
    assert made.global_concurrency_limit is not None
    assert made.global_concurrency_limit.limit == 1
    assert made.concurrency_options is not None
    assert made.concurrency_options.collision_strategy.value == "ENQUEUE"
    assert f"{NIGHT}   {recipe}" in said
    assert said.count(" 02:00 C") == 3
    with get_client(sync_client=True) as client:
        for name in (ZOMBIE, stuck_name("tiny"), late_name("tiny")):
            assert len(client.read_automations_by_name(name)) == 1, name


def test_overlap_skip_cancels_the_new_run(recipe: Path, settings: Settings) -> None:
    write(recipe, 'overlap = "skip"')
    schedules.schedule(settings, str(recipe))
    options = deployment().concurrency_options
    assert options is not None
    assert options.collision_strategy.value == "CANCEL_NEW"


def test_what_a_person_changed_in_the_ui_stays_until_the_recipe_s_own_schedule_changes(
    recipe: Path, settings: Settings
) -> None:
    def crons() -> list[tuple[str, bool]]:
        return [(one.schedule.cron, one.active) for one in deployment().schedules]  # pyright: ignore

    schedules.schedule(settings, str(recipe))
    made = deployment()
    other = CronSchedule(cron="5 5 * * *", timezone="UTC")
    with get_client(sync_client=True) as client:
        client.update_deployment_schedule(made.id, made.schedules[0].id, active=False, schedule=other)
    schedules.schedule(settings, str(recipe))
    assert crons() == [("5 5 * * *", False)]

    recipe.write_text(recipe.read_text().replace("0 2 * * *", "30 1 * * *"))
    schedules.schedule(settings, str(recipe))
    assert crons() == [("30 1 * * *", False)], "a new time, and still paused"
    assert deployment().id == made.id


def test_a_timezone_given_once_is_kept_and_decides_blackout_days_too(recipe: Path, settings: Settings) -> None:
    schedules.schedule(settings, str(recipe), timezone="Asia/Tokyo")
    assert deployment().parameters["overrides"] == ["schedule.timezone=Asia/Tokyo"]
    schedules.schedule(settings, str(recipe))
    (kept,) = deployment().schedules
    assert kept.schedule.timezone == "Asia/Tokyo"  # pyright: ignore
    schedules.schedule(settings, str(recipe), timezone="UTC")
    assert deployment().parameters["overrides"] == ["schedule.timezone=UTC"]
    (kept,) = deployment().schedules
    assert kept.schedule.timezone == "UTC"  # pyright: ignore


def test_a_schedule_can_be_paused_go_on_be_listed_and_removed(recipe: Path, settings: Settings) -> None:
    assert "PAUSED" in schedules.schedule(settings, str(recipe), pause=True)
    assert deployment().paused
    assert "PAUSED" in schedules.schedule(settings, str(recipe)), "nothing said: it stays paused"
    assert "PAUSED" not in schedules.schedule(settings, str(recipe), pause=False)
    assert NIGHT in schedules.listed(settings)
    assert "is removed" in schedules.unschedule(settings, "tiny")
    assert read(NIGHT) is None
    with get_client(sync_client=True) as client:
        assert client.read_automations_by_name(stuck_name("tiny")) == []
    with pytest.raises(ServerError, match="no schedule is called 'tiny'"):
        schedules.unschedule(settings, "tiny")


def test_up_deploys_scheduled_recipes_again_and_a_broken_one_stops_nothing(
    recipe: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedules.schedule(settings, str(recipe))
    monkeypatch.setattr(schedules, "deploy", lambda _settings: ["nightly/nightly"])
    recipe.write_text(recipe.read_text().replace("0 2 * * *", "0 3 * * *"))
    said: list[str] = []
    assert schedules.deploy_all(settings, said.append) == ["nightly/nightly", NIGHT]
    assert deployment().schedules[0].schedule.cron == "0 3 * * *"  # pyright: ignore
    assert said == []

    recipe.write_text("name = ")
    assert schedules.deploy_all(settings, said.append) == ["nightly/nightly", NIGHT]
    assert len(said) == 1
    assert "is as it was" in said[0]
    assert "can't be read" in said[0]
    assert deployment().schedules[0].schedule.cron == "0 3 * * *"  # pyright: ignore


def test_a_recipe_without_a_schedule_says_what_to_add(tiny_recipe: Path, settings: Settings) -> None:
    with pytest.raises(RecipeError, match=r"has no \[schedule\]"):
        schedules.schedule(settings, str(tiny_recipe))


# --- automations ---


def found(name: str) -> Any:
    with get_client(sync_client=True) as client:
        (one,) = client.read_automations_by_name(name)
    return one


def updated(name: str) -> str:
    with get_client(sync_client=True) as client:
        answer = client.request("POST", "/automations/filter", json={"automations": {"name": {"any_": [name]}}}).json()
    return answer[0]["updated"]


def test_a_watch_that_is_as_wanted_is_left_alone_and_a_paused_one_stays_paused() -> None:
    wanted = automations.watches(["nightly", "audit"])[0]
    automations.ensure(wanted)
    before, at = found(ZOMBIE), updated(ZOMBIE)
    automations.ensure(automations.watches(["audit", "nightly"])[0])
    assert updated(ZOMBIE) == at, "a change drops the waits that are open"

    with get_client(sync_client=True) as client:
        client.pause_automation(before.id)
    automations.ensure(automations.watches(["nightly"], timedelta(seconds=300))[0])
    after = found(ZOMBIE)
    assert isinstance(after.trigger, EventTrigger)
    assert (after.id, after.enabled, after.trigger.within) == (before.id, False, timedelta(seconds=300))
    automations.remove([ZOMBIE])
