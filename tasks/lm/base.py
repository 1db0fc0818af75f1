"""The recipe's base model in the store, imported once."""

import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.digest import short
from infra.pools.base import OnEvent, Pool
from infra.programs import fresh_folder, run_program
from infra.store import Store, Tree
from tasks.contracts import Model
from tasks.errors import ModelError
from tasks.lm.licence import note_licence
from tasks.lm.loading import find_source, model_files, source_digest
from tasks.lm.model_files import CONVERT, check_model_folder, refuse_unsafe


def base_model(source: str, root: Path, home: Path, store: Store, pool: Pool, on_event: OnEvent) -> Model:
    """The base model as a tree of the store. The same source bytes are imported once.

    Raises:
        ModelError: the source is missing or isn't a model.
    """
    path = find_source(source, root)
    known = home / "models" / f"{short(source_digest(path), 32)}.json"
    if known.is_file():
        tree = _known(known)
        if all(store.has(file.digest_) for file in tree.files):
            note_licence(path, tree, home, store)
            return Model(base=tree)
    tree = _imported(path, home, store, pool, on_event)
    note_licence(path, tree, home, store)
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(tree.model_dump_json())
    return Model(base=tree)


def _known(file: Path) -> Tree:
    try:
        return Tree.model_validate_json(file.read_text())
    except ValueError as error:
        raise ModelError(
            f"{file} is no list of a model's files: {str(error)[:300]}", do="delete it; the model is imported again"
        ) from error


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


_OF_TOKENIZER = re.compile(
    r"(tokenizer|special_tokens|added_tokens|vocab|merges|chat_template)[^/]*\.(json|jinja|txt|model)"
)


@contextmanager
def tokenizer_files(tree: Tree, store: Store) -> Iterator[Path]:
    """A folder with the model's tokenizer and chat template, and nothing else of it, for as long as it is used."""
    with tempfile.TemporaryDirectory() as name:
        for file in tree.files:
            if _OF_TOKENIZER.fullmatch(file.path):
                shutil.copyfile(store.open_path(file.digest_), Path(name) / file.path)
        yield Path(name)


def checkout(model: Model, home: Path, store: Store) -> tuple[Path, Path | None]:
    """Folders of base and adapter, verified, for a program to load.

    Raises:
        ModelError: one holds a file that could run code. StoreError: an object is missing or changed.
    """
    return laid_out(model.base, home, store), laid_out(model.adapter, home, store) if model.adapter else None


def refuse_model(model: Model) -> str | None:
    """Why a model of the store may be neither loaded, promoted nor exported, by its files' names; None if it may."""
    return refuse_unsafe(file.path for tree in (model.base, model.adapter) if tree is not None for file in tree.files)


def laid_out(tree: Tree, home: Path, store: Store) -> Path:
    """A folder with a model's files, verified.

    Raises:
        ModelError: one could run code. StoreError: an object is missing or changed.
    """
    folder = home / "work" / "models" / short(tree.digest_, 16)
    if (why := refuse_unsafe(file.path for file in tree.files)) is not None:
        raise ModelError(f"the model {tree.digest_} is refused: {why}", do=CONVERT)
    store.checkout(tree, folder)
    check_model_folder(folder)
    return folder
