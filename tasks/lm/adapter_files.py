"""An adapter as PEFT saves it, read and written whole. Only programs import this: it imports torch."""

import json
from pathlib import Path

from safetensors.torch import load_file, save_file

from tasks.lm.soup import Adapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def read_adapter(folder: Path) -> Adapter:
    return Adapter(json.loads((folder / CONFIG).read_text()), load_file(folder / WEIGHTS))


def write_adapter(folder: Path, adapter: Adapter) -> None:
    save_file({name: one.contiguous() for name, one in adapter.weights.items()}, folder / WEIGHTS, {"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(adapter.config, sort_keys=True))
