"""Program: join LoRA adapters, or average whole models. ``python -m tasks.lm.soup_program SPEC RESULT``.

Spec: models (folders: of adapters, or of whole models), shares (one each), adapters (whether they are adapters) and
folder. That gets ``adapter_config.json`` and ``adapter_model.safetensors``, or the whole model's weights in as many
files as the first model's are in.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from infra.events import die_with_parent
from tasks.errors import ModelError
from tasks.lm.adapter_files import read_adapter, write_adapter
from tasks.lm.model_files import check_model_folder
from tasks.lm.results import write_result
from tasks.lm.soup import averaged, joined


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    write_result(result_path, partial(make, spec))


def make(spec: dict[str, Any]) -> dict[str, Any]:
    """Write the soup."""
    folders, folder = [Path(one) for one in spec["models"]], Path(spec["folder"])
    for one in folders:
        check_model_folder(one)
    if spec["adapters"]:
        _adapters(folders, spec["shares"], folder)
    else:
        _models(folders, spec["shares"], folder)
    return {}


def _adapters(folders: list[Path], shares: list[float], folder: Path) -> None:
    write_adapter(folder, joined([read_adapter(one) for one in folders], shares))


def _models(folders: list[Path], shares: list[float], folder: Path) -> None:
    """File by file of the first model, so that of large models one shard each is in memory."""
    _refuse_more(folders)
    for file in sorted(folders[0].glob("*.safetensors")):
        first = load_file(file)
        others = [_named(one, list(first)) for one in folders[1:]]
        save_file(averaged([first, *others], shares), folder / file.name, {"format": "pt"})
    for file in folders[0].glob("*.safetensors.index.json"):
        (folder / file.name).write_bytes(file.read_bytes())


def _named(folder: Path, names: list[str]) -> dict[str, Any]:
    """These weights, whichever files they are in; what isn't there is left out."""
    found: dict[str, Any] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            for name in set(opened.keys()).intersection(names):
                found[name] = opened.get_tensor(name)
    return found


def _refuse_more(folders: list[Path]) -> None:
    """A weight that only another model has would be lost."""
    names = [_names(one) for one in folders]
    for other in names[1:]:
        if more := sorted(other - names[0]):
            raise ModelError(f"only one of the models has a weight {more[0]}", do="average models of one architecture")


def _names(folder: Path) -> set[str]:
    found: set[str] = set()
    for file in folder.glob("*.safetensors"):
        with safe_open(file, "pt") as opened:
            found.update(opened.keys())
    return found


if __name__ == "__main__":
    main(*sys.argv[1:])
