"""score: candidate, champion and anchor on every suite, each pair of model and suite once, ever.

A scorecard is found again under the digests of model, items and scorer; what is found is only a reference, and judge
reads and checks the card itself.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from infra.digest import digest_of, short
from infra.live import Live
from infra.programs import fresh_folder, run_program
from infra.store import Blob, Store
from tasks import place
from tasks.contracts import Baselines, Candidate, Model, Night, Preferences, Role, ScorecardRef, Scores, Suites
from tasks.gate.items import tonight
from tasks.gate.scorecard import card_key, scorer_digest
from tasks.gate.suites import Suite, spread
from tasks.lm.base import checkout
from tasks.recipe import Recipe

TOKENS = 2048  # packed tokens a batch: larger ones are no faster on a CPU
SAMPLES = {"count": 6, "max_tokens": 48}


def score_all(
    night: Night, recipe: Recipe, preferences: Preferences, suites: Suites, candidate: Candidate, baselines: Baselines
) -> Scores:
    """Score what has no scorecard yet and return references to all cards of the night."""
    store, home, tracker = place.store(), place.home(), place.tracking()
    items = tonight(suites, store.read_bytes(preferences.house), recipe, store)
    models = models_by_role(candidate, baselines)
    index = CardIndex(home / "scorecards", home / "samples")
    work = missing_work(models, items, index, samples_suite(items))
    run = tracker.nested_run(night.mlflow_run, "score")
    try:
        if work:
            folder = fresh_folder(home / "work" / f"score-{short(night.id, 16)}")
            with Live("score") as on_event:
                spec = scoring_spec(work, items, home, store, place.settings().threads)
                result = run_program(place.pool(recipe.pool), "tasks.gate.scoring_program", spec, folder, on_event)
            keep(result, items, index, store, samples_suite(items))
            shutil.rmtree(folder)
    except BaseException:
        tracker.end(run, "FAILED")
        raise
    cards = references(models, items, index)
    tracker.metrics(run, means(cards, store))
    tracker.end(run, "FINISHED")
    samples = side_by_side(models, items, index)
    return Scores(cards=tuple(cards), samples=store.put_json(samples), mlflow_run=run)


def models_by_role(candidate: Candidate, baselines: Baselines) -> dict[Role, Model]:
    """The models there are; a missing baseline is left out here and blocks in the gate."""
    models: dict[Role, Model] = {"candidate": candidate.model}
    if baselines.champion is not None:
        models["champion"] = baselines.champion.model
    if baselines.anchor is not None:
        models["anchor"] = baselines.anchor.model
    return models


class CardIndex:
    """Where scorecards and sample answers are found again."""

    def __init__(self, cards: Path, samples: Path) -> None:
        self._cards, self._samples = cards, samples

    def card(self, model: str, suite: Suite) -> Blob | None:
        return _read(self._cards / f"{card_key(model, suite.items_digest, scorer_digest(suite.scorer))}.json")

    def put_card(self, model: str, suite: Suite, blob: Blob) -> None:
        _write(self._cards / f"{card_key(model, suite.items_digest, scorer_digest(suite.scorer))}.json", blob)

    def samples(self, model: str, suite: Suite) -> Path:
        return self._samples / f"{short(digest_of([model, suite.items_digest, SAMPLES]), 32)}.json"


def samples_suite(items: dict[str, Suite]) -> str:
    """Sample answers are given to prompts of the house suite, else of the first there is."""
    return "house" if "house" in items else next(iter(items))


def missing_work(
    models: dict[Role, Model], items: dict[str, Suite], index: CardIndex, samples: str
) -> list[tuple[Model, list[str], bool]]:
    """Models with the suites they have no scorecard for, and whether sample answers are missing; equal models once."""
    work: dict[str, tuple[Model, list[str], bool]] = {}
    for role, model in models.items():
        suites = [name for name, suite in items.items() if index.card(model.digest, suite) is None]
        wants_samples = role != "anchor" and not index.samples(model.digest, items[samples]).is_file()
        if model.digest in work:
            wants_samples = wants_samples or work[model.digest][2]
        if suites or wants_samples:
            work[model.digest] = (model, suites, wants_samples)
    return list(work.values())


def scoring_spec(
    work: list[tuple[Model, list[str], bool]], items: dict[str, Suite], home: Path, store: Store, threads: int | None
) -> dict[str, Any]:
    """The program's spec: verified folders, suites in full."""
    models = []
    for model, suites, wants_samples in work:
        base, adapter = checkout(model, home, store)
        models.append(
            {
                "digest": model.digest,
                "base": str(base),
                "adapter": str(adapter) if adapter else None,
                "suites": suites,
                "samples": wants_samples,
            }
        )
    return {
        "threads": threads,
        "tokens": TOKENS,
        "models": models,
        "suites": {name: suite.model_dump() for name, suite in items.items()},
        "samples": {"suite": samples_suite(items), **SAMPLES},
    }


def keep(result: dict[str, Any], items: dict[str, Suite], index: CardIndex, store: Store, samples: str) -> None:
    """Store the program's scorecards and samples, then index them."""
    for card in result["cards"]:
        index.put_card(card["model"], items[card["suite"]], store.put_file(Path(card["path"]), "application/json"))
    for model, answers in result["samples"].items():
        _write_text(index.samples(model, items[samples]), json.dumps(answers))


def references(models: dict[Role, Model], items: dict[str, Suite], index: CardIndex) -> list[ScorecardRef]:
    return [
        ScorecardRef(
            role=role,
            suite=name,
            model=model.digest,
            items=suite.items_digest,
            scorer=scorer_digest(suite.scorer),
            card=card,
        )
        for role, model in models.items()
        for name, suite in items.items()
        if (card := index.card(model.digest, suite)) is not None
    ]


def means(cards: list[ScorecardRef], store: Store) -> dict[str, float]:
    """Mean results for MLflow's charts. The verdict never reads these."""
    metrics = {}
    for ref in cards:
        if not store.has(ref.card.digest_):
            continue
        results = json.loads(store.path(ref.card.digest_).read_bytes()).get("results") or []
        for measure in ("right", "probability"):
            if results:
                metrics[f"suites/{ref.suite}/{ref.role}/{measure}"] = sum(float(one[measure]) for one in results) / len(
                    results
                )
    return metrics


def side_by_side(models: dict[Role, Model], items: dict[str, Suite], index: CardIndex) -> list[dict[str, str]]:
    """Sample answers of champion and candidate to the same prompts."""
    suite = items[samples_suite(items)]
    answers = {
        role: json.loads(path.read_text())
        for role, model in models.items()
        if (path := index.samples(model.digest, suite)).is_file()
    }
    chosen = spread(suite.items, SAMPLES["count"])
    if "candidate" not in answers or "champion" not in answers:
        return []
    return [
        {"prompt": item.messages[-1].content, "champion": old, "candidate": new}
        for item, old, new in zip(chosen, answers["champion"], answers["candidate"], strict=True)
    ]


def _read(path: Path) -> Blob | None:
    return Blob.model_validate_json(path.read_text()) if path.is_file() else None


def _write(path: Path, blob: Blob) -> None:
    _write_text(path, blob.model_dump_json())


def _write_text(path: Path, text: str) -> None:
    """Whole or not at all: a killed night must not leave half an index entry."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    temporary.write_text(text)
    temporary.replace(path)
