"""Program: write a model as it serves into a folder. ``python -m tasks.lm.merge_program SPEC RESULT``.

Spec: base, adapter (or null), folder, dtype, quantise (or null), threads (or null). The folder gets safetensors and
config; tokenizer, chat template and generation config are the base's own files, byte for byte.
"""

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch

from infra.events import die_with_parent, emit
from tasks.lm.loading import best_device, model_files, use_threads
from tasks.lm.results import write_result
from tasks.lm.served import load_as_served, same_as

MADE_BY_SAVING = ("config.json", "model.safetensors.index.json")


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    use_threads(spec["threads"])
    write_result(result_path, partial(_merge, spec))


def _merge(spec: dict[str, Any]) -> dict[str, Any]:
    base, folder = Path(spec["base"]), Path(spec["folder"])
    adapter = Path(spec["adapter"]) if spec["adapter"] else None
    device, _ = best_device()
    emit("log", text="merging the adapter into its base model")
    served = load_as_served(base, adapter, getattr(torch, spec["dtype"]), device, spec["quantise"])
    served.model.save_pretrained(folder)
    for file in model_files(base):
        if file.suffix != ".safetensors" and file.name not in MADE_BY_SAVING:
            shutil.copyfile(file, folder / file.name)
    emit("log", text="checking what was written")
    same_as(served, folder, device)
    return {"parity": list(served.parity) if served.parity else None}


if __name__ == "__main__":
    main(*sys.argv[1:])
