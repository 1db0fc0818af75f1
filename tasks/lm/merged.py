"""The folder of a model as it serves: what a server loads, and what an export copies. Made once, checked at each use.

``HOME/models/NAME-merged`` is written whole or not at all: a program fills a folder beside it, the digests of its files
are noted, and a rename puts it in its place. Nobody but this module writes there.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra.digest import Digest, Record, code_revision, digest_file, digest_of, short
from infra.pools.base import OnEvent, Pool
from infra.programs import fresh_folder, run_program
from infra.settings import load_settings
from infra.store import Store, Tree, TreeFile
from tasks.contracts import Model
from tasks.errors import ModelError
from tasks.lm.base import checkout
from tasks.lm.results import result_of

# what decides the bytes that are written
CODE = ("served.py", "merge_program.py", "quantise.py", "loading.py")


class Note(Record):
    """Beside the folder: what it was made from, and what it holds."""

    model: Digest
    revision: Digest
    tree: Tree


def dtype_of(pool: Pool) -> str:
    """As the night's models are scored on this pool: bf16 on accelerators; fp32 on CPUs, where bf16 is emulated."""
    return "bfloat16" if pool.device().accelerator else "float32"


def merged_folder(
    model: Model,
    home: Path,
    store: Store,
    pool: Pool,
    on_event: OnEvent,
    *,
    dtype: str | None = None,
    quantise: str | None = None,
) -> Path:
    """A folder with safetensors, config, tokenizer and chat template of the model as it serves. Read only.

    A model without an adapter, not quantised, is its own files, from the store.

    Args:
        dtype: ``float32`` or ``bfloat16``, of the merge and of what is written; None: the pool's.
        quantise: GGUF type whose rounding the weights are put through (the recipe's ``serve.quantise``).

    Raises:
        ModelError: the merged model is another one than base and adapter, or the folder was changed since.
        StoreError: a file of the model is missing or was changed.
        PoolError: the program failed.
    """
    if model.adapter is None and quantise is None:
        return checkout(model, home, store)[0]
    dtype = dtype or dtype_of(pool)
    folder = home / "models" / _name(model, dtype, quantise)
    with _alone(folder):
        note = _read_note(folder)
        if note is not None and note.revision == _revision() and folder.is_dir():
            check_folder(folder, note.tree)
            os.utime(folder)  # in use: it is removed by its age (tasks.retention)
        else:
            spec = {"dtype": dtype, "quantise": quantise}
            _make(model, folder, home, store, pool, on_event, spec)
    return folder


def drop_merged(folder: Path) -> None:
    """Remove a merged model, once nobody makes or checks it; cut off in the middle, it counts as not made."""
    with _alone(folder):
        _note(folder).unlink(missing_ok=True)
        shutil.rmtree(folder)


def check_folder(folder: Path, tree: Tree) -> None:
    """Refuse a folder that doesn't hold exactly these files.

    Raises:
        ModelError: names the file.
    """
    problem = first_change(tree_of(folder), tree)
    if problem is not None:
        raise ModelError(
            f"the merged model {folder} was changed after it was checked: {problem}",
            do="find out who changed it, delete the folder, and try again: it is made anew",
        )


def first_change(found: Tree, noted: Tree) -> str | None:
    """The first file that is missing, new or different, as words; None where there is none."""
    here, there = ({file.path: file.digest_ for file in tree.files} for tree in (found, noted))
    for path in sorted(here.keys() | there.keys()):
        if path not in here:
            return f"{path} is missing"
        if path not in there:
            return f"{path} is no file of it"
        if here[path] != there[path]:
            return f"{path} is {here[path]}, noted was {there[path]}"
    return None


def tree_of(folder: Path) -> Tree:
    """The digests of a folder's files, as the store would note them."""
    files = tuple(
        TreeFile(path=file.relative_to(folder).as_posix(), digest_=digest_file(file), size=file.stat().st_size)
        for file in sorted(path for path in folder.rglob("*") if path.is_file())
    )
    return Tree(digest_=digest_of(files), files=files)


def _name(model: Model, dtype: str, quantise: str | None) -> str:
    parts = [short(model.digest, 32), "merged", None if dtype == "float32" else dtype, quantise]
    return "-".join(part for part in parts if part)


def _revision() -> Digest:
    here = Path(__file__).parent
    return code_revision(*(here / name for name in CODE))


def _note(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _read_note(folder: Path) -> Note | None:
    """What was noted; None where nothing was, or what can't be read: the folder is then made anew."""
    try:
        return Note.model_validate_json(_note(folder).read_text())
    except (FileNotFoundError, ValidationError, UnicodeDecodeError):
        return None


def _make(
    model: Model, folder: Path, home: Path, store: Store, pool: Pool, on_event: OnEvent, spec: dict[str, Any]
) -> None:
    # the old folder goes first: at no moment do a folder and a note of another one lie side by side
    _note(folder).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)
    work = fresh_folder(home / "work" / folder.name)
    (work / "model").mkdir()
    try:
        base, adapter = checkout(model, home, store)
        spec |= {"base": str(base), "adapter": str(adapter) if adapter else None, "folder": str(work / "model")}
        spec |= {"threads": load_settings().threads}
        result_of(run_program(pool, "tasks.lm.merge_program", spec, work, on_event))
        for file in (work / "model").iterdir():
            file.chmod(0o444)
        note = Note(model=model.digest, revision=_revision(), tree=tree_of(work / "model"))
        (work / "model").rename(folder)
        (work / "note.json").write_text(json.dumps(note.model_dump(), indent=1))
        (work / "note.json").rename(_note(folder))
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time looks at this folder or makes it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
