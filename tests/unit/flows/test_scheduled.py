"""What a night asks before it begins: whether it may, by when it ends, and whose turn it is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.scheduled import deadline, refuse, scheduled_time, turn
from infra.errors import NightLocked
from infra.lock import night_lock
from infra.settings import ROOT
from tasks.errors import NotTonight
from tasks.recipe import Recipe, load_recipe
from tasks.schedule import ScheduleSpec

NOW = datetime(2026, 11, 28, 1, 30, tzinfo=UTC)  # Saturday, 02:30 in Berlin
EVERY_DAY = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def recipe(**schedule: object) -> Recipe:
    spec = ScheduleSpec.model_validate({"cron": "0 2 * * *", "timezone": "Europe/Berlin", **schedule})
    return load_recipe(ROOT / "recipes" / "demo.toml").model_copy(update={"schedule": spec})


def silent(text: str) -> None:
    raise AssertionError(text)


def test_outside_a_flow_run_nothing_was_scheduled() -> None:
    assert scheduled_time() is None


def test_a_blackout_day_stops_a_scheduled_night_and_no_person() -> None:
    with pytest.raises(NotTonight, match="blackout day") as skipped:
        refuse(recipe(blackout=EVERY_DAY), NOW - timedelta(minutes=30), NOW)
    assert "nightshift schedule" in skipped.value.do
    refuse(recipe(blackout=EVERY_DAY), None, NOW)


def test_a_deadline_counts_from_the_time_the_night_was_to_start_at_and_else_from_now() -> None:
    early = recipe(deadline="02:15")
    assert deadline(early, NOW - timedelta(minutes=30), NOW) == "2026-11-28T02:15:00+01:00"
    assert deadline(early, None, NOW) == "2026-11-29T02:15:00+01:00"
    assert deadline(recipe(), None, NOW) is None


def test_where_another_night_runs_a_person_is_refused_and_a_scheduled_night_skips(tmp_path: Path) -> None:
    with night_lock(tmp_path, {"run": "first"}):
        with pytest.raises(NightLocked), turn(tmp_path, {}, recipe(overlap="skip"), None, silent):
            pass
        with (
            pytest.raises(NotTonight, match="running already"),
            turn(tmp_path, {}, recipe(overlap="skip"), NOW, silent),
        ):
            pass


def test_a_waiting_night_begins_when_the_other_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = night_lock(tmp_path, {"run": "first"})
    first.__enter__()
    monkeypatch.setattr("flows.scheduled.time.sleep", lambda _seconds: first.__exit__(None, None, None))
    said: list[str] = []
    with turn(tmp_path, {"run": "second"}, recipe(), datetime.now(UTC), said.append) as killed:
        assert killed is None
        with pytest.raises(NightLocked, match="second"), night_lock(tmp_path, {}):
            pass
    assert len(said) == 1
    assert "waits for its end" in said[0]
    with night_lock(tmp_path, {}):  # and lets go
        pass


def test_a_waiting_night_gives_up_when_it_may_start_no_more(tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=5)
    with (
        night_lock(tmp_path, {"run": "first"}),
        pytest.raises(NotTonight, match="this one waited until"),
        turn(tmp_path, {}, recipe(), long_ago, silent),
    ):
        pass


def test_a_night_that_fails_in_its_turn_fails_as_itself_and_lets_go(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="mine"), turn(tmp_path, {}, recipe(), NOW, silent):
        raise RuntimeError("mine")
    with night_lock(tmp_path, {}):
        pass
