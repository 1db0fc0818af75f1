"""The soup of models of the store, as a program on the pool makes it: adapters joined, whole models averaged."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from infra.digest import digest_of, short
from infra.pools.base import OnEvent, Pool
from infra.programs import fresh_folder, run_program
from infra.store import Store
from tasks.contracts import Model
from tasks.errors import ModelError
from tasks.lm.base import checkout
from tasks.lm.results import result_of

_WEIGHTS = (".safetensors", ".safetensors.index.json")


def souped(
    models: Sequence[Model], shares: Sequence[float], home: Path, store: Store, pool: Pool, on_event: OnEvent
) -> Model:
    """Base plus the sum of ``share`` times what each model adds to it; of whole models their weighted mean.

    Models on one base are joined as adapters, exactly; one without an adapter adds nothing. An adapter trained on
    another model of the same base, joined to it with shares 1 and 1, is both.

    Raises:
        ModelError: the models have no common base and aren't all whole, or one can't be joined (``tasks.lm.soup``).
        PoolError: the program failed.
    """
    if len({model.base.digest_ for model in models}) == 1:
        worn = [(model, share) for model, share in zip(models, shares, strict=True) if model.adapter is not None]
        if not worn:
            return models[0]
        adapters = [checkout(model, home, store)[1] for model, _ in worn]
        made = _make(
            [folder for folder in adapters if folder], [share for _, share in worn], True, home, pool, on_event
        )
        try:
            return Model(base=models[0].base, adapter=store.put_tree(made))
        finally:
            shutil.rmtree(made.parent)
    if any(model.adapter is not None for model in models):
        raise ModelError(
            "an adapter and a model of another base have no common base to be averaged on",
            do='average models of one base; where one was trained with adapter = "full", both have to be',
        )
    folders = [checkout(model, home, store)[0] for model in models]
    made = _make(folders, list(shares), False, home, pool, on_event)
    try:
        for file in folders[0].iterdir():
            if not file.name.endswith(_WEIGHTS):  # tokenizer, template and config are the first model's
                shutil.copyfile(file, made / file.name)
        return Model(base=store.put_tree(made))
    finally:
        shutil.rmtree(made.parent)


def _make(
    folders: Sequence[Path], shares: Sequence[float], adapters: bool, home: Path, pool: Pool, on_event: OnEvent
) -> Path:
    """The folder that the program filled, alone in one of its own."""
    names = [str(folder) for folder in folders]
    work = fresh_folder(home / "work" / f"soup-{short(digest_of([names, list(shares)]), 16)}")
    (work / "model").mkdir()
    spec = {"models": names, "shares": list(shares), "adapters": adapters, "folder": str(work / "model")}
    result_of(run_program(pool, "tasks.lm.soup_program", spec, work, on_event))
    return work / "model"
