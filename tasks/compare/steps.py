"""What a comparison does around its trainings: shared data, trainings that were done before, the result."""

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from infra.digest import Digest, digest_of, short
from infra.files import write_whole
from infra.step import revision
from tasks import place
from tasks.compare.figures import ALPHA, Figures, comparisons_of, figures_of
from tasks.compare.kept import keep, kept
from tasks.compare.outcome import ended, finished
from tasks.compare.phases import shared_lines
from tasks.compare.sentence import closing
from tasks.compare.trials import Asked, Design
from tasks.compare.words import in_words
from tasks.compared import Difference, Distance, Larger, Marks, Training, Trial
from tasks.contracts import Bill, Candidate, Device, Night, Preferences
from tasks.parts import LINES, lines_of
from tasks.recipe import Recipe

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")


def code() -> list[str]:
    """What a training's figures depend on beside its inputs: our code that trains and scores, and the libraries."""
    return [revision("align"), revision("gate"), *(f"{name}=={version(name)}" for name in LIBRARIES)]


def shared_preferences(preferences: Preferences, asked: Asked) -> Preferences:
    """The preferences that all methods of the comparison learn from."""
    store = place.store()
    lines = list(shared_lines(lines_of(preferences.train, store), list(asked.phases.values())))
    train = store.put_bytes(b"".join(line + b"\n" for line in lines), LINES)
    return preferences.model_copy(update={"train": train, "n_train": len(lines)})


def device_of(trial: Trial) -> Device:
    return place.pool(trial.recipe.pool).device()


def no_history() -> Any:
    """Of the start, which nobody has trained here."""
    return place.store().put_json([])


def came_out(trial: Trial, candidate: Candidate, found: tuple[Sequence[Marks], Distance], bill: Bill) -> Training:
    """The row of a training that finished."""
    return finished(trial, device_of(trial), candidate, found, bill, place.store())


def once(id_: Digest, make: Callable[[], Training]) -> Training:
    """The training as it was kept, else made now and kept: what finished is not done again."""
    return kept(place.home(), id_) or keep(place.home(), id_, make())


def row_of(trial: Trial, state: Any, bill: Bill) -> Training:
    """The row of a flow run that ended: what it returned, or what ended it.

    Args:
        state: of Prefect's.
    """
    found = state.result(raise_on_failure=False)
    return found if isinstance(found, Training) else ended(trial, device_of(trial), found, bill)


def alpha_of(asked: Asked, start: Sequence[Marks]) -> float:
    """Of one interval, so that all that are looked at together hold at ``ALPHA``."""
    return ALPHA / comparisons_of(len(asked.phases), start)


def by_method(design: Design) -> dict[str, Recipe]:
    """A recipe of each method, the first seed's, in the order that was asked for."""
    found: dict[str, Recipe] = {}
    for trial in design.trials:
        found.setdefault(trial.method, trial.recipe)
    return found


def conclude(
    night: Night,
    recipe: Recipe,
    asked: Asked,
    design: Design,
    start: Sequence[Marks],
    trained: Sequence[Training],
    to_start: Sequence[Difference],
    to_first: Sequence[Difference],
    forecast: tuple[tuple[Larger, ...], str],
) -> dict[str, Any]:
    """The figures, their page and their JSON, kept beside the trainings and in MLflow."""
    from tasks.compare.page import comparison_html  # jinja: only when a page is drawn

    recipes = by_method(design)
    id_ = digest_of(["comparison", recipe, [[one.method, one.seed, one.model] for one in trained], design.budget])
    name = f"{recipe.name}-compare-{short(id_, 8)}"
    figures = figures_of(
        name=name,
        recipe=recipe.name,
        target=recipe.gate.target,
        budget=design.budget,
        phases={name: recipes[name].phase[0].model_dump(mode="json", exclude_unset=True) for name in asked.phases},
        start=start,
        trained=trained,
        to_start=to_start,
        to_first=to_first,
        larger=forecast[0],
        larger_why=forecast[1],
    )
    folder = place.home() / "comparisons" / name
    page, data = folder / "compare.html", folder / "compare.json"
    write_whole(page, comparison_html(figures, trained))
    write_whole(data, json.dumps(figures.model_dump(mode="json"), indent=1, allow_nan=False) + "\n")
    tracker = place.tracking()
    run = tracker.nested_run(night.mlflow_run, name)
    with tracker.ending(run):
        for path in (page, data):
            tracker.artifact(run, path)
    return {
        "figures": figures.model_dump(mode="json"),
        "sentences": closing(figures),
        "page": str(page),
        "file": str(data),
    }


def told(made: dict[str, Any]) -> str:
    """A comparison in words, for a terminal and for Prefect."""
    return f"{in_words(Figures.model_validate(made['figures']))}\n{Path(made['page'])}: the page\n"


__all__ = ["code", "conclude", "once", "row_of", "shared_preferences", "told"]
