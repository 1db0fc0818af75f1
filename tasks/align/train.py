"""align: train the recipe's phase on tonight's pairs, as a program on the pool, and store the adapter."""

import json
import time
from pathlib import Path
from typing import Any

from infra.digest import Digest, short
from infra.live import Live
from infra.programs import fresh_folder, run_program
from infra.store import Store, Tree
from tasks import place
from tasks.align.pairs import choose
from tasks.contracts import Candidate, Model, Night, Plan, Preferences
from tasks.errors import ModelError
from tasks.lm.base import checkout, parameters
from tasks.lm.speed import remember
from tasks.recipe import Recipe

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def train(night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Candidate:
    """Run the phase and bind its result to recipe, preferences and base model."""
    store, home, tracker = place.store(), place.home(), place.tracking()
    pool = place.pool(recipe.pool)
    phase = recipe.phase[0]
    run = tracker.nested_run(night.mlflow_run, "align")
    tracker.params(run, {f"phase.{key}": value for key, value in phase.model_dump().items()})
    tracker.dataset(
        run, "preferences", preferences.train.digest_, "training", {"pairs": preferences.n_train, "used": plan.pairs}
    )
    work = fresh_folder(home / "work" / f"align-{short(night.id, 16)}")
    (work / "pairs.jsonl").write_bytes(choose(store.read_bytes(preferences.train), plan.pairs, recipe.seed))
    base_folder, _ = checkout(base, home, store)
    spec = {
        "base": str(base_folder),
        "pairs": str(work / "pairs.jsonl"),
        "out": str(work / "adapter"),
        "seed": recipe.seed,
        "threads": place.settings().threads,
        "phase": phase.model_dump(),
    }
    started = time.monotonic()
    try:
        with Live("align", lambda values, step: tracker.metrics(run, values, step)) as on_event:
            result = run_program(pool, "tasks.align.program", spec, work, on_event, distributed=True)
    except BaseException:
        tracker.end(run, "FAILED")
        raise
    adapter = store_adapter(work / "adapter", recipe.model.name, store)
    remember(home, pool.device().kind, _tokens(result["history"]) * parameters(base.base), time.monotonic() - started)
    tracker.end(run, "FINISHED")
    return Candidate(
        model=Model(base=base.base, adapter=adapter),
        preferences=preferences.digest,
        recipe=recipe.digest,
        history=store.put_json(result["history"]),
        mlflow_run=run,
    )


def store_adapter(folder: Path, base_name: str, store: Store) -> Tree:
    """Store what PEFT saved: weights and config, without the path of the machine it was trained on.

    Raises:
        ModelError: a file is missing.
    """
    missing = [name for name in ADAPTER_FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"training left no {', '.join(missing)} in {folder}", do="read output.log beside it")
    clean = fresh_folder(folder.parent / "adapter-clean")
    config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base_name
    (clean / "adapter_config.json").write_text(json.dumps(config, sort_keys=True))
    (clean / "adapter_model.safetensors").write_bytes((folder / "adapter_model.safetensors").read_bytes())
    return store.put_tree(clean)


def align_key(
    night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model
) -> list[Digest | list[Any]]:
    """What decides the adapter's bytes: pairs, their number, phase, seed, base model, and the libraries that train."""
    return [
        preferences.train.digest,
        base.digest,
        [plan.pairs, plan.steps, recipe.seed],
        [list(recipe.phase)],
        library_versions(),
    ]


def library_versions() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("torch", "transformers", "trl", "peft", "accelerate")]


def _tokens(history: list[dict[str, float]]) -> float:
    """Tokens the training saw, as TRL counted them."""
    return history[-1].get("num_tokens", 0.0) if history else 0.0
