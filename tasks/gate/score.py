"""score: candidate, champion and anchor on every suite, each pair of model and suite once, ever.

A scorecard is found again under the digests of model, items and scorer (with the engine's settings); what is found is
only a reference, and judge reads and checks the card itself.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from infra.attempts import Device, step_of
from infra.digest import short
from infra.live import Live
from infra.programs import fresh_folder, run_program
from infra.store import Store
from tasks import place
from tasks.contracts import (
    Baselines,
    Candidate,
    Engine,
    Model,
    Night,
    Noise,
    Preferences,
    Role,
    ScorecardRef,
    Scores,
    Suites,
)
from tasks.errors import EngineError
from tasks.gate.card_index import CardIndex
from tasks.gate.choice import shared
from tasks.gate.items import tonight
from tasks.gate.noise import floor_for, what_is_new
from tasks.gate.scorecard import scorer_digest
from tasks.gate.suites import Suite, spread
from tasks.gate.work import AA, checked_out, missing_work, scoring_spec
from tasks.recipe import Recipe
from tasks.spending import watch

TOKENS = 2048  # packed tokens a batch: larger ones are no faster on a CPU
SAMPLES = {"count": 6, "max_tokens": 48}


def engine_of(recipe: Recipe, device: Device) -> Engine:
    """How a night's models are scored. bf16 on accelerators; fp32 on CPUs, where bf16 is emulated."""
    return Engine(
        name=recipe.gate.engine,
        device=device.kind,
        dtype="bfloat16" if device.accelerator else "float32",
        tokens=TOKENS,
        form=recipe.serve.form,
        quantise=recipe.serve.quantise,
        judge=place.settings().judge_model,
    )


def score_all(
    night: Night,
    recipe: Recipe,
    preferences: Preferences,
    suites: Suites,
    candidate: Candidate,
    baselines: Baselines,
    number: int = 1,
) -> Scores:
    """Score what has no scorecard yet and return references to all cards of the candidate's and the baselines'.

    Args:
        number: of the candidate, among the night's.
    """
    store, home, tracker = place.store(), place.home(), place.tracking()
    # what stops a scoring is what the verdict will find: with so much of α
    recipe = recipe.model_copy(update={"gate": shared(recipe.gate, candidate.of)})
    items = tonight(suites, store.read_bytes(preferences.house), recipe, store)
    models = models_by_role(candidate, baselines)
    if "anchor" not in models:
        items.pop("drift", None)  # it is measured from the anchor; judge blocks on the missing one
    device = place.pool(recipe.pool).device()
    engine = engine_of(recipe, device)
    index = CardIndex(home, recipe, engine, models, SAMPLES)
    aa = aa_wanted(recipe, engine, models, items, index)
    work = missing_work(models, items, index, samples_suite(items), aa)
    work, folders, problems = checked_out(work, store, home)
    run = tracker.nested_run(night.mlflow_run, step_of("score", number))
    with tracker.ending(run):
        if work:
            folder = fresh_folder(home / "work" / f"score-{short(night.id, 16)}")
            budget = watch(night, recipe, device)
            with Live("score") as handle:

                def on_event(event: dict[str, Any]) -> None:
                    handle(event)
                    budget.look()  # what it raises ends the program; items that are scored are kept

                spec = scoring_spec(work, folders, items, index, recipe, store) | {
                    "aa": aa._asdict() if aa else None,
                    "threads": place.settings().threads,
                    "workers": 1 if engine.name == "vllm" else device.count,  # it takes the first device, and batches
                    "samples": {"suite": samples_suite(items), **SAMPLES},
                }
                result = run_program(place.pool(recipe.pool), "tasks.gate.scoring_program", spec, folder, on_event)
            if "no_engine" in result:
                what, do = result["no_engine"]
                raise EngineError(what, do=do)
            keep(result, items, index, store, samples_suite(items), aa)
            problems += result["problems"]
            shutil.rmtree(folder)
        cards = references(models, items, index)
        tracker.metrics(run, means(cards, store))
    samples = side_by_side(models, items, index)
    noise = index.aa_noise() if recipe.gate.aa_items else ()
    return Scores(
        cards=tuple(cards),
        engine=engine,
        noise=noise,
        problems=tuple(problems),
        samples=store.put_json(samples),
        mlflow_run=run,
    )


def models_by_role(candidate: Candidate, baselines: Baselines) -> dict[Role, Model]:
    """The models there are, baselines first; a missing one is left out here and blocks in the gate."""
    models: dict[Role, Model] = {}
    if baselines.anchor is not None:
        models["anchor"] = baselines.anchor.model
    if baselines.champion is not None:
        models["champion"] = baselines.champion.model
    return {**models, "candidate": candidate.model}


def samples_suite(items: dict[str, Suite]) -> str:
    """Sample answers are given to prompts of the house suite, else of the first there is."""
    return "house" if "house" in items else next(iter(items))


def aa_wanted(
    recipe: Recipe, engine: Engine, models: dict[Role, Model], items: dict[str, Suite], index: CardIndex
) -> AA | None:
    """The A/A check that is due: for a new champion, engine, precision or batch size, or a suite without one."""
    if not recipe.gate.aa_items or "champion" not in models:
        return None
    champion, before = models["champion"].digest, index.aa_before()
    unchecked = sorted(set(items) - {one.suite for one in index.aa_noise()})
    cause = what_is_new(before, champion, engine) or (f"the suites {', '.join(unchecked)}" if unchecked else None)
    if cause is None:
        return None
    return AA(champion, recipe.gate.aa_items, floor_for(engine, recipe.gate.noise_floor), cause)


def keep(
    result: dict[str, Any], items: dict[str, Suite], index: CardIndex, store: Store, samples: str, aa: AA | None
) -> None:
    """Store the program's scorecards and samples, then index them."""
    for card in result["cards"]:
        blob = store.put_file(Path(card["path"]), "application/json")
        index.put_card(card["model"], items[card["suite"]], blob, stopped=card["stopped"])
    for model, answers in result["samples"].items():
        index.put_samples(model, items[samples], answers)
    if aa is not None and result["noise"]:
        index.put_aa(aa.model, [Noise.model_validate(one) for one in result["noise"]])


def references(models: dict[Role, Model], items: dict[str, Suite], index: CardIndex) -> list[ScorecardRef]:
    """References to the cards there are; of the candidate, also to those of a scoring that stopped for harm."""
    anchor = models["anchor"].digest if "anchor" in models else None
    return [
        ScorecardRef(
            role=role,
            suite=name,
            model=model.digest,
            items=suite.items_digest,
            scorer=scorer_digest(suite.scorer, index.engine, anchor),
            card=card,
        )
        for role, model in models.items()
        for name, suite in items.items()
        if (card := index.card(role, model.digest, suite)) is not None
    ]


def means(cards: list[ScorecardRef], store: Store) -> dict[str, float]:
    """Mean results for MLflow's charts. The verdict never reads these."""
    metrics = {}
    for ref in cards:
        if not store.has(ref.card.digest_):
            continue
        results = json.loads(store.path(ref.card.digest_).read_bytes()).get("results") or []
        for measure in ("right", "score"):
            if results:
                metrics[f"suites/{ref.suite}/{ref.role}/{measure}"] = sum(float(one[measure]) for one in results) / len(
                    results
                )
    return metrics


def side_by_side(models: dict[Role, Model], items: dict[str, Suite], index: CardIndex) -> list[dict[str, str]]:
    """Sample answers of champion and candidate to the same prompts."""
    suite = items[samples_suite(items)]
    answers = {role: index.samples(model.digest, suite) for role, model in models.items()}
    new, old = answers.get("candidate"), answers.get("champion")
    if new is None or old is None:
        return []
    return [
        {"prompt": item.messages[-1].content, "champion": before, "candidate": after}
        for item, before, after in zip(spread(suite.items, int(SAMPLES["count"])), old, new, strict=True)
    ]
