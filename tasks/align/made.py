"""What a training leaves, made fit for the store: nothing of the machine it ran on, and nothing missing."""

import json
from pathlib import Path
from typing import Any

from infra.programs import fresh_folder
from infra.store import Store, Tree
from tasks.contracts import Model
from tasks.errors import ModelError
from tasks.recipe import Recipe

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


def store_model(recipe: Recipe, folder: Path, base: Model, store: Store) -> Model:
    """An adapter on the base, or a model of its own."""
    if recipe.phase[0].adapter == "full":
        return Model(base=store_full(folder, base, store))
    return Model(base=base.base, adapter=store_adapter(folder, recipe.model.name, store))


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
