"""What a training leaves, made fit for the store: nothing of the machine it ran on, and nothing missing."""

import json
import tempfile
from pathlib import Path
from typing import Any

from infra.programs import fresh_folder
from infra.store import Store, Tree
from infra.tracking import Tracker
from tasks.contracts import Model, Trained
from tasks.errors import ModelError
from tasks.phases import METHODS
from tasks.recipe import Recipe

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


REWARD = "reward_model"


def store_made(recipe: Recipe, folder: Path, base: Model, store: Store) -> Model | Tree:
    """What a phase makes: an adapter on the base, a model of its own, or a reward model's files."""
    if METHODS[recipe.phase[0].method].makes == "reward":
        return store_reward(folder / REWARD, store)
    if recipe.phase[0].adapter == "full":
        return Model(base=store_full(folder, base, store))
    return Model(base=base.base, adapter=store_adapter(folder, recipe.model.name, store))


def keep_candidates(trained: Trained, phases: int, tracker: Tracker, store: Store) -> None:
    """Of several phases, each one's adapter lies with its own run: only the chosen one is registered."""
    for candidate in trained.candidates if phases > 1 else ():
        adapter = candidate.model.adapter
        if adapter is not None and not tracker.has_artifact(candidate.mlflow_run, "candidate"):
            with tempfile.TemporaryDirectory() as folder:
                store.checkout(adapter, Path(folder))
                tracker.artifacts(candidate.mlflow_run, Path(folder), "candidate")


def store_reward(folder: Path, store: Store) -> Tree:
    """Store a reward model.

    Raises:
        ModelError: there is none.
    """
    if not folder.is_dir() or not any(folder.glob("*.safetensors")):
        raise ModelError(f"training left no reward model in {folder}", do="read output.log beside it")
    return store.put_tree(folder)


def store_full(folder: Path, base: Model, store: Store) -> Tree:
    """Store a whole model: the trained weights; every other file as the base has it, tokenizer and template included.

    Raises:
        ModelError: the weights are missing.
    """
    weights = [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]
    if not weights:
        raise ModelError(f"training left no *.safetensors in {folder}", do="read output.log beside it")
    clean = fresh_folder(folder.parent / "model-clean")
    for file in base.base.files:
        if not file.path.endswith((".safetensors", ".safetensors.index.json")):
            (clean / file.path).write_bytes(store.open_path(file.digest_).read_bytes())
    for file in weights:
        file.replace(clean / file.name)
    return store.put_tree(clean)


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
