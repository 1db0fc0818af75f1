"""An adapter as PEFT saves it, read and written whole. Only programs import this: it imports torch."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from tasks.lm.soup import Adapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def read_adapter(folder: Path) -> Adapter:
    return Adapter(json.loads((folder / CONFIG).read_text()), load_file(folder / WEIGHTS))


def order_targets(model: Any) -> None:
    """Have PEFT write the names of adapted modules in their order: it keeps them in a set, which each process orders
    otherwise, and an adapter's bytes name it."""
    for config in getattr(model, "peft_config", {}).values():
        if isinstance(config.target_modules, set):
            config.target_modules = sorted(config.target_modules)


def write_adapter(folder: Path, adapter: Adapter) -> None:
    save_file({name: one.contiguous() for name, one in adapter.weights.items()}, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(adapter.config, sort_keys=True))
