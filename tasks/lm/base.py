"""The recipe's base model in the store, imported once."""

import json
import shutil
from pathlib import Path

from infra.digest import short
from infra.pools.base import OnEvent, Pool
from infra.programs import fresh_folder, run_program
from infra.store import Store, Tree
from tasks.contracts import Model
from tasks.lm.licence import note_licence
from tasks.lm.loading import find_source, model_files, source_digest


def base_model(source: str, root: Path, home: Path, store: Store, pool: Pool, on_event: OnEvent) -> Model:
    """The base model as a tree of the store. The same source bytes are imported once.

    Raises:
        ModelError: the source is missing or isn't a model.
    """
    path = find_source(source, root)
    known = home / "models" / f"{short(source_digest(path), 32)}.json"
    if known.is_file():
        tree = Tree.model_validate_json(known.read_text())
        if all(store.has(file.digest_) for file in tree.files):
            note_licence(path, tree, home, store)
            return Model(base=tree)
    tree = _imported(path, home, store, pool, on_event)
    note_licence(path, tree, home, store)
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(tree.model_dump_json())
    return Model(base=tree)


def _imported(path: Path, home: Path, store: Store, pool: Pool, on_event: OnEvent) -> Tree:
    work = fresh_folder(home / "work" / f"import-{path.stem}")
    folder = work / "model"
    folder.mkdir()
    try:
        if path.is_dir():
            for file in model_files(path):
                shutil.copyfile(file, folder / file.name)
        else:
            run_program(pool, "tasks.lm.import_program", {"source": str(path), "folder": str(folder)}, work, on_event)
        return store.put_tree(folder)
    finally:
        shutil.rmtree(work)


def parameters(tree: Tree) -> int:
    """About how many parameters a model has, from its weight files (fp32: four bytes each)."""
    return sum(file.size for file in tree.files if file.path.endswith(".safetensors")) // 4


def config(tree: Tree, store: Store) -> dict[str, object]:
    """The model's ``config.json``."""
    digest = next(file.digest_ for file in tree.files if file.path == "config.json")
    return json.loads(store.open_path(digest).read_text())


def file_path(tree: Tree, name: str, store: Store) -> Path:
    """A verified path to one file of the model."""
    return store.open_path(next(file.digest_ for file in tree.files if file.path == name))


def checkout(model: Model, home: Path, store: Store) -> tuple[Path, Path | None]:
    """Folders of base and adapter, verified, for a program to load."""
    base = store.checkout(model.base, home / "work" / "models" / short(model.base.digest_, 16))
    if model.adapter is None:
        return base, None
    return base, store.checkout(model.adapter, home / "work" / "models" / short(model.adapter.digest_, 16))
