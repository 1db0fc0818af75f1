"""The frame around a night: its identity, lock, MLflow run, and its bill and summary whatever ends it."""

import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from prefect import State, get_run_logger
from prefect.artifacts import create_link_artifact, create_markdown_artifact
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.scheduled import deadline, refuse, scheduled_time, turn
from infra.digest import digest_of, short
from infra.errors import NightshiftError
from infra.orphans import mark_crashed, stop_servers, temporary_servers
from infra.quiet import quiet_our_errors
from infra.step import attempt_log
from tasks import place
from tasks.contracts import Baselines, Bill, Inputs, Model, Night, Plan, Preferences, Release, Suites, Verdict
from tasks.cost.steps import keep_bill, meter
from tasks.data.page_short import data_markdown
from tasks.data.steps import sources_fingerprint
from tasks.data.validate import leave_for_reading
from tasks.errors import Interrupted, NotTonight, OverBudget, PastDeadline, Unhealthy
from tasks.gate.report import report_markdown
from tasks.gate.steps import suites_of
from tasks.lm.base import base_model
from tasks.recipe import Recipe, load_recipe, overrides_gate
from tasks.registry.steps import as_it_stands, baselines_of, inputs_of
from tasks.summary import in_words, step_reports, summarise

# what a failed night is called, where "Failed" says too little of it
END_NAMES: dict[type[BaseException], str] = {
    Unhealthy: "Unhealthy",
    Interrupted: "Interrupted",
    OverBudget: "OverBudget",
    PastDeadline: "PastDeadline",
}


def ends_by_name(flow_function: Callable[..., Any]) -> Callable[..., Any]:
    """Under ``@flow``: a night that ends by one of ``END_NAMES`` shows that name as its state, in the UI as well.

    One that its schedule leaves out is completed, named Skipped: no night, no bill, nothing to look into.
    """

    @functools.wraps(flow_function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return flow_function(*args, **kwargs)
        except NotTonight as error:
            get_run_logger().warning("skipped: %s", error.what)
            return Completed(name="Skipped", message=error.what, data={"state": "Skipped", "reason": error.what})
        except tuple(END_NAMES) as error:
            return Failed(name=END_NAMES[type(error)], message=str(error), data=error)

    return run


class Tonight:
    """An open night: what is known before its first step. ``was`` is the status that its MLflow run had."""

    def __init__(
        self, night: Night, recipe: Recipe, base: Model, suites: Suites, baselines: Baselines, was: str
    ) -> None:
        self.night, self.recipe, self.base, self.suites, self.baselines = night, recipe, base, suites, baselines
        self.was = was


class Frozen(NamedTuple):
    """What identifies a night beside recipe, base model, suites and baselines."""

    sources: Any  # fingerprint of the sources' bytes, or what stands for them
    promotable: bool


@contextmanager
def open_night(recipe_path: str, overrides: list[str], fresh: bool) -> Iterator[Tonight]:
    """Everything before the first step and after the last, also when a step fails.

    A night is known by its inputs: recipe, sources' bytes, suites, baselines. Started again with the same, killed or
    finished, it goes on in the same folder and MLflow run.
    """
    with _open(*_frozen(recipe_path, overrides), fresh) as tonight:
        yield tonight


@contextmanager
def open_beside(recipe_path: str, overrides: list[str], fresh: bool) -> Iterator[Tonight]:
    """As ``open_night``, for work beside it: however that ends, a night with these inputs stays as it is."""
    with _open(*_frozen(recipe_path, overrides), fresh, _leave) as tonight:
        yield tonight
        _leave(tonight)


def _frozen(recipe_path: str, overrides: list[str]) -> tuple[Recipe, Callable[[], Frozen]]:
    quiet_our_errors()
    recipe = load_recipe(place.ROOT / recipe_path, tuple(overrides))
    refuse(recipe, scheduled_time(), datetime.now(UTC))
    place.tracking().check()

    def frozen() -> Frozen:
        return Frozen(sources_fingerprint(recipe), not overrides_gate(tuple(overrides)))

    return recipe, frozen


@contextmanager
def open_rejudgement(name: str, version: int) -> Iterator[tuple[Tonight, Inputs]]:
    """A night that trains nothing: a version's own data and model, against what serves now."""
    quiet_our_errors()
    place.tracking().check()
    recipe, inputs, promotable = inputs_of(name, version)
    # its own snapshot stands for the sources, which may have changed since
    frozen = Frozen(["judged again", inputs.snapshot, inputs.candidate], promotable)
    with _open(recipe, lambda: frozen, fresh=False) as tonight:
        yield tonight, inputs


def _leave(tonight: Tonight, _: BaseException | None = None) -> None:
    # as it was; one that is new, or whose night was killed, has no end yet
    place.tracking().end(tonight.night.mlflow_run, "FINISHED" if tonight.was == "RUNNING" else tonight.was)


def _close_failed(tonight: Tonight, error: BaseException) -> None:
    place.tracking().end(tonight.night.mlflow_run, "FAILED")
    try:
        _close(tonight, END_NAMES.get(type(error), "Failed"), reason=str(error) or type(error).__name__)
    except NightshiftError as other:  # a bill that can't be made must not hide why the night failed
        get_run_logger().error("the failed night has no bill and no summary: %s", other)


@contextmanager
def _open(
    recipe: Recipe,
    frozen: Callable[[], Frozen],
    fresh: bool,
    failed: Callable[[Tonight, BaseException], None] = _close_failed,
) -> Iterator[Tonight]:
    settings = place.settings()
    run = str(flow_run.get_id())
    scheduled, holder = scheduled_time(), {"run": run, "servers": temporary_servers()}
    with turn(settings.home, holder, recipe, scheduled, get_run_logger().warning) as killed:
        if killed is not None:
            _end_killed(killed)
        # only now: who waited for another night takes the sources as they are after it
        tonight = _identify(recipe, frozen(), fresh, run, deadline(recipe, scheduled, datetime.now(UTC)))
        try:
            yield tonight
        except BaseException as error:
            failed(tonight, error)
            raise


def _end_killed(killed: dict[str, Any]) -> None:
    if mark_crashed(killed["run"]):
        get_run_logger().warning("the night before (flow run %s) was killed; it is marked Crashed now", killed["run"])
    if stopped := stop_servers(killed.get("servers", [])):
        get_run_logger().warning("stopped %d temporary Prefect server(s) that the killed night left", stopped)


def _identify(recipe: Recipe, frozen: Frozen, fresh: bool, run: str, until: str | None) -> Tonight:
    store, home, tracker = place.store(), place.home(), place.tracking()
    base = base_model(recipe.model.source, place.ROOT, home, store, place.pool(recipe.pool), lambda event: None)
    baselines = baselines_of(recipe.name, "")
    core = digest_of([recipe, frozen.sources, base, baselines, frozen.promotable])
    suites = suites_of(recipe, core)
    id_ = digest_of([core, suites])
    baselines = baselines_of(recipe.name, id_)
    folder = home / "nights" / short(id_, 16)
    folder.mkdir(parents=True, exist_ok=True)
    name = _name(folder, recipe.name)
    mlflow_run = tracker.night_run(id_, name)
    was = tracker.reopen(mlflow_run)
    tracker.close_orphans(mlflow_run)
    tracker.params(mlflow_run, _flat(recipe.model_dump()))
    tracker.tags(mlflow_run, {"nightshift.recipe": recipe.digest, "nightshift.flow_run": run})
    night = Night(
        id=id_,
        core=core,
        name=name,
        folder=str(folder),
        flow_run=run,
        mlflow_run=mlflow_run,
        promotable=frozen.promotable,
        fresh=fresh,
        ends_by=until,
    )
    get_run_logger().info("night %s (%s)", name, short(id_))
    return Tonight(night, recipe, base, suites, baselines, was)


def _name(folder: Path, recipe: str) -> str:
    """The night's name for people: given once, kept when the night is started again."""
    path = folder / "name"
    if not path.exists():
        path.write_text(f"{recipe}-{datetime.now().astimezone():%Y-%m-%d-%H%M}-{folder.name[:4]}")
    return path.read_text()


def close_finished(
    tonight: Tonight, plan: Plan, preferences: Preferences, verdict: Verdict, release: Release
) -> dict[str, Any]:
    """Summary, bill and links of a night that reached a verdict."""
    place.tracking().end(tonight.night.mlflow_run, "FINISHED")
    release = as_it_stands(release)
    create_markdown_artifact(
        report_markdown(verdict, tonight.night.promotable, release.url),
        key="gate",
        description=f"The gate's verdict on night {tonight.night.name}",
    )
    create_link_artifact(
        release.url, link_text=f"{release.name} version {release.version}", description="The version in MLflow"
    )
    return _close(tonight, "Completed", plan=plan, preferences=preferences, verdict=verdict, release=release)


def close_skipped(tonight: Tonight, plan: Plan, preferences: Preferences) -> State[Any]:
    """End a night that has too little to learn: completed, named Skipped, nothing trained."""
    place.tracking().end(tonight.night.mlflow_run, "FINISHED")
    summary = _close(tonight, "Skipped", reason=plan.reason, plan=plan, preferences=preferences)
    return Completed(name="Skipped", message=plan.reason, data=summary)


def close_planned(tonight: Tonight, plan: Plan, preferences: Preferences) -> State[Any]:
    """End a look at tonight (``open_beside``): nothing of it is kept."""
    summary = _summary(
        tonight, meter(tonight.night, plan), "Planned", reason=plan.reason, plan=plan, preferences=preferences
    )
    return Completed(name="Planned", message=plan.reason, data=summary)


def _close(tonight: Tonight, state: str, **found: Any) -> dict[str, Any]:
    night = tonight.night
    if (preferences := found.get("preferences")) is not None:
        # validate did this where it ran; where its result was reused, that was another night's folder
        leave_for_reading(
            Path(night.folder), place.store(), preferences.data_docs, preferences.quarantine, preferences.page
        )
    bill = meter(night, found.get("plan"))
    summary = _summary(tonight, bill, state, **found)
    summary["links"]["bill"] = str(keep_bill(night, tonight.recipe, bill, summary))
    text = json.dumps(summary, indent=1, allow_nan=False)
    (Path(night.folder) / "summary.json").write_text(text)
    (place.home() / "last-night").write_text(night.folder)
    tracker = place.tracking()
    tracker.tags(night.mlflow_run, {"nightshift.state": state, "nightshift.verdict": summary["verdict"] or "none"})
    create_markdown_artifact(
        f"```\n{in_words(summary)}\n```",
        key="night",
        description=f"Night {night.name}: {summary['verdict'] or state}",
    )
    if preferences is not None:
        page = Path(night.folder) / "data.html"
        create_markdown_artifact(
            data_markdown(preferences, tracker.url(night.mlflow_run), page),
            key="data",
            description=f"The data of night {night.name}",
        )
    create_link_artifact(tracker.url(night.mlflow_run), key="mlflow-run", link_text="The night in MLflow")
    return summary


def _summary(tonight: Tonight, bill: Bill, state: str, **found: Any) -> dict[str, Any]:
    night = tonight.night
    reports = step_reports(attempt_log(night).entries(), night.flow_run)
    links = _links(night, found.get("release"))
    return summarise(night, tonight.recipe.name, state, reports, bill, links, **found)


def _links(night: Night, release: Release | None) -> dict[str, str]:
    folder = Path(night.folder)
    links = {"mlflow": place.tracking().url(night.mlflow_run)}
    if release is not None:
        links["version"] = release.url
    for name, file in (
        ("report", "report.html"),
        ("quarantine", "quarantine.jsonl"),
    ):
        if (folder / file).exists():
            links[name] = str(folder / file)
    # the page with the figures: the index only lists it, with scripts from a CDN
    for page in sorted((folder / "data_docs" / "validations").rglob("*.html")):  # named by time: the last is this one
        links["data docs"] = str(page)
    return links


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested recipe values under dotted names, for MLflow's parameters."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            flat |= _flat(value, f"{name}.")
        elif isinstance(value, tuple) and value and isinstance(value[0], dict):
            for index, one in enumerate(value):
                flat |= _flat(one, f"{name}.{one.get('name', index)}.")
        else:
            flat[name] = value
    return flat


__all__ = ["Tonight", "close_finished", "close_planned", "close_skipped", "ends_by_name", "open_night"]
