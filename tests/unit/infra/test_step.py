"""A step: metered, reused for the same inputs by the same code, run again when asked, never reused after a failure."""

import os
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.settings import PREFECT_LOCAL_STORAGE_PATH

from infra import step as step_module
from infra.attempts import attempts_of
from infra.digest import Record
from infra.errors import NightshiftError
from infra.step import attempt_log, step

pytestmark = [pytest.mark.usefixtures("prefect_server", "home")]

CALLS: list[int] = []


class SmallNight(Record):
    folder: str
    flow_run: str = "run"
    fresh: bool = False


class Sum(Record):
    value: int


@step(area="cost", key=lambda night, a, b: [a, b])
def add(night: SmallNight, a: int, b: int) -> Sum:
    CALLS.append(a)
    if a < 0:
        raise NightshiftError(f"a is {a}", do="give another")
    return Sum(value=a + b)


@step(area="cost", key=None)
def always(night: SmallNight) -> int:
    CALLS.append(0)
    return 1


@flow(validate_parameters=False)
def one(night: SmallNight, call: Any, *args: int) -> Any:
    return call(night, *args)


@pytest.fixture
def night(tmp_path: Path) -> SmallNight:
    CALLS.clear()
    return SmallNight(folder=str(tmp_path))


def events(night: SmallNight) -> list[str]:
    return [entry["event"] for entry in attempt_log(night).entries() if entry["event"] != "beat"]


def test_reusing_a_result_renews_its_time_as_it_is_cleaned_away_by_its_age(
    night: SmallNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(PREFECT_LOCAL_STORAGE_PATH.value())
    monkeypatch.setattr(step_module, "results_folder", lambda home: folder)
    before = set(folder.glob("*"))
    one(night, add, 70, 1)
    (result,) = set(folder.glob("add-*")) - before
    os.utime(result, (5, 5))
    one(night, add, 70, 2)
    assert result.stat().st_mtime == 5
    one(night, add, 70, 1)
    assert events(night)[-1] == "reused"
    assert result.stat().st_mtime > 1e9


def test_a_step_with_the_same_inputs_is_reused_and_its_result_is_a_record_again(night: SmallNight) -> None:
    assert one(night, add, 1, 2) == Sum(value=3)
    assert one(night, add, 1, 2) == Sum(value=3)
    assert CALLS == [1]
    assert events(night) == ["start", "end", "reused"]


def test_other_inputs_run_it_again(night: SmallNight) -> None:
    one(night, add, 2, 2)
    one(night, add, 2, 3)
    assert CALLS == [2, 2]


def test_changed_code_runs_it_again(night: SmallNight, monkeypatch: pytest.MonkeyPatch) -> None:
    one(night, add, 3, 2)
    monkeypatch.setattr(step_module, "revision", lambda area: "other code")
    one(night, add, 3, 2)
    assert CALLS == [3, 3]


@pytest.mark.parametrize(
    "place", ["tasks/data/checks.py", "expectations/data/pairs.py", "tasks/lm/base.py", "tasks/recipe.py"]
)
def test_a_steps_revision_covers_its_area_its_expectations_and_what_areas_share(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (place, "tasks/gate/verdict.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x = 1\n")
    monkeypatch.setattr(step_module, "ROOT", tmp_path)
    revision = step_module.revision.__wrapped__
    before = revision("data")
    (tmp_path / "tasks/gate/verdict.py").write_text("x = 2\n")
    assert revision("data") == before
    (tmp_path / place).write_text("x = 2\n")
    assert revision("data") != before


def test_another_store_runs_it_again(
    night: SmallNight, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    one(night, add, 4, 2)
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path_factory.mktemp("other")))
    one(night, add, 4, 2)
    assert CALLS == [4, 4]


def test_fresh_runs_it_again_and_keeps_the_new_result(night: SmallNight) -> None:
    one(night, add, 5, 2)
    one(night.model_copy(update={"fresh": True}), add, 5, 2)
    assert CALLS == [5, 5]
    one(night, add, 5, 2)
    assert CALLS == [5, 5]


def test_a_failure_is_metered_raised_as_it_was_and_never_reused(night: SmallNight) -> None:
    for _ in range(2):
        with pytest.raises(NightshiftError, match="a is -1"):
            one(night, add, -1, 2)
    assert CALLS == [-1, -1]
    assert [attempt.state for attempt in attempts_of(attempt_log(night).entries())] == ["Failed", "Failed"]


def test_a_step_without_a_key_always_runs(night: SmallNight) -> None:
    one(night, always)
    one(night, always)
    assert CALLS == [0, 0]


def test_wrong_arguments_are_refused_before_anything_starts(night: SmallNight) -> None:
    with pytest.raises(TypeError, match="b"):
        one(night, add, 1)
    assert events(night) == []
