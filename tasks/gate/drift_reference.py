"""The anchor's answers to the drift prompts, kept as one file: what every later model is measured against."""

import zipfile
from pathlib import Path

import numpy as np

from tasks.gate.drift import Anchored
from tasks.gate.scorers import ScoringEngine
from tasks.gate.suites import Suite

TOP = 20  # words a token; SmolLM2's hold 0.97 of the mass on average (docs/design/gate.md)
BATCH = 32


def make_reference(engine: ScoringEngine, suite: Suite, path: Path) -> None:
    """Answer the prompts greedily and write the answers with the likeliest words at each token, whole or not at all."""
    arrays: dict[str, np.ndarray] = {}
    for start in range(0, len(suite.items), BATCH):
        items = suite.items[start : start + BATCH]
        answers = [samples[0] for samples in engine.generate(items, suite.scorer)]
        likeliest = engine.likeliest(items, answers, TOP)
        for item, answer, (ids, logprobs) in zip(items, answers, likeliest, strict=True):
            arrays[f"{item.id}/answer"] = np.asarray(answer, np.int32)
            arrays[f"{item.id}/ids"] = ids.astype(np.int32)
            arrays[f"{item.id}/logprobs"] = logprobs.astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".writing")
    with temporary.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    temporary.replace(path)


def read_reference(path: Path) -> dict[str, Anchored]:
    """The anchor's answers by item id.

    Raises:
        ValueError: the file is damaged; it is deleted, so that the next night makes it anew.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            ids = sorted({name.rpartition("/")[0] for name in file.files})
            return {
                id_: Anchored(tuple(file[f"{id_}/answer"].tolist()), file[f"{id_}/ids"], file[f"{id_}/logprobs"])
                for id_ in ids
            }
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        path.unlink()
        raise ValueError(f"the anchor's answers in {path} are damaged ({error}): run the night again") from error
