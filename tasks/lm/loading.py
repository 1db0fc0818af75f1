"""Models as folders: find the source a recipe names, import it once, load it.

Only ``import_model``, ``load_model`` and ``load_tokenizer`` need torch; they run in programs, never in a flow.
"""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.digest import code_revision, digest_file, digest_of
from tasks.errors import ModelError

if TYPE_CHECKING:
    import torch

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
REQUIRED = ("config.json", "tokenizer.json", "tokenizer_config.json")


def find_source(source: str, root: Path) -> Path:
    """The folder or GGUF file a recipe's ``model.source`` names.

    Raises:
        ModelError: it isn't there, or isn't a model; the message names the path and what is missing.
    """
    if source.startswith("package:"):
        package, _, file = source.removeprefix("package:").partition("/")
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(f"model.source {source}: the package {package} isn't installed", do="run `make setup`")
        path = Path(next(iter(spec.submodule_search_locations))) / file
    else:
        path = Path(source).expanduser()
        path = path if path.is_absolute() else root / path
    if path.is_file() and path.suffix == ".gguf":
        return path
    if not path.is_dir():
        raise ModelError(
            f"model.source {source}: there is no model at {path}",
            do="mend `model.source`: a folder in Hugging Face form, a .gguf file, or package:NAME/FILE",
        )
    missing = [name for name in REQUIRED if not (path / name).is_file()]
    if missing or not list(path.glob("*.safetensors")):
        raise ModelError(
            f"the model folder {path} lacks {', '.join(missing) or '*.safetensors'}",
            do="save model and tokenizer there with save_pretrained",
        )
    return path


def source_digest(path: Path) -> str:
    """What the import's result depends on: the source's bytes and the code that imports it."""
    files = [path] if path.is_file() else model_files(path)
    return digest_of([[file.name, digest_file(file)] for file in files] + [code_revision(Path(__file__))])


def model_files(folder: Path) -> list[Path]:
    """The files that make the model; whatever else lies in the folder is no part of it."""
    return sorted({file for pattern in MODEL_FILES for file in folder.glob(pattern)})


def import_model(source: Path, folder: Path) -> None:
    """Write the model of a GGUF file as fp32 safetensors with its tokenizer and chat template."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"pretrained_model_name_or_path": str(source.parent), "gguf_file": source.name}
    model: Any = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # the weights are plain floats now; with these set, transformers refuses to save them
    model.is_quantized = False
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)


def load_model(base: Path, adapter: Path | None, dtype: "torch.dtype", device: str) -> Any:
    """The model in evaluation mode; with an adapter, as a PEFT model."""
    from transformers import AutoModelForCausalLM

    # no attention asked for: transformers takes SDPA, or eager where a model can't (Gemma 2's cap, attention sinks)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, adapter)
    return model.to(device).eval()


def load_tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    if tokenizer.chat_template is None:
        raise ModelError(
            f"the tokenizer in {base} has no chat template", do="save one with the tokenizer (tokenizer.chat_template)"
        )
    return tokenizer


def best_device(*, full: bool = False) -> "tuple[str, torch.dtype]":
    """Device and dtype: bf16 on accelerators; fp32 on CPUs, where bf16 is emulated and some 40 times slower.

    ``full``: all weights are to be trained. They stay in fp32 also on accelerators, where the products run in bf16 by
    autocast: an update of a millionth is lost on a weight of eight bits.
    """
    import torch

    if torch.cuda.is_available():
        return "cuda", torch.float32 if full else torch.bfloat16
    return "cpu", torch.float32


def use_threads(threads: int | None) -> None:
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)
