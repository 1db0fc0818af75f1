"""Models as folders: find the source a recipe names, import it once, load it.

Only ``import_model``, ``load_model`` and ``load_tokenizer`` need torch; they run in programs, never in a flow.
"""

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.digest import code_revision, digest_file, digest_of
from tasks.errors import ModelError
from tasks.lm.model_files import check_model_folder

if TYPE_CHECKING:
    import torch

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "tokenizer.model")
Shapes = dict[str, tuple[int, ...]]
REQUIRED = ("config.json", "tokenizer.json", "tokenizer_config.json")


def find_source(source: str, root: Path) -> Path:
    """The folder or GGUF file a recipe's ``model.source`` names.

    Raises:
        ModelError: it isn't there, isn't a model, or holds a file that could run code; the message names it.
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
        _check_gguf(path)
        return path
    if not path.is_dir():
        raise ModelError(
            f"model.source {source}: there is no model at {path}",
            do="mend `model.source`: a folder in Hugging Face form, a .gguf file, or package:NAME/FILE",
        )
    missing = [name for name in REQUIRED if not (path / name).is_file()]
    if missing or not list(path.glob("*.safetensors")):
        # a folder of pickles lacks safetensors too: then the pickle is what to name
        check_model_folder(path)
        raise ModelError(
            f"the model folder {path} lacks {', '.join(missing) or '*.safetensors'}",
            do="save model and tokenizer there with save_pretrained",
        )
    check_model_folder(path)
    return path


def _check_gguf(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    if start != b"GGUF":
        raise ModelError(
            f"{path} is no GGUF file: it begins with {start!r}", do="give the file anew, or a folder of safetensors"
        )


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

    where: dict[str, Any] = {
        "pretrained_model_name_or_path": str(source.parent),
        "gguf_file": source.name,
        "trust_remote_code": False,
    }
    model: Any = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.float32)
    # the weights are plain floats now; with these set, transformers refuses to save them
    model.is_quantized = False
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**where).save_pretrained(folder)


def load_model(base: Path, adapter: Path | None, dtype: "torch.dtype", device: str) -> Any:
    """The model in evaluation mode; with an adapter, as a PEFT model.

    Raises:
        ModelError: the adapter is damaged or of another base model, or a folder holds a file that could run code.
    """
    from transformers import AutoModelForCausalLM

    for folder in (*([adapter] if adapter else []), base):
        check_model_folder(folder)
    # no attention asked for: transformers takes SDPA, or eager where a model can't (Gemma 2's cap, attention sinks)
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=dtype, trust_remote_code=False)
    if adapter is not None:
        model = _put_on(model, base, adapter)
    return model.to(device).eval()


def _put_on(model: Any, base: Path, adapter: Path) -> Any:
    """The model with the adapter. PEFT would leave out weights that fit nowhere, and draw missing ones at random."""
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict
    from safetensors import SafetensorError

    try:
        found = _shapes(adapter / "adapter_model.safetensors")
        config = PeftConfig.from_pretrained(str(adapter))
        config.inference_mode = True
        worn: Any = get_peft_model(model, config)
    except (OSError, ValueError, SafetensorError) as error:
        raise _unfit(adapter, base, str(error).partition("\n")[0]) from error
    wanted = {
        name: tuple(tensor.shape)
        for name, tensor in get_peft_model_state_dict(worn, save_embedding_layers=False).items()
    }
    # an adapter may hold whole weights beside its own, like those of an embedding that grew
    places = {name: tuple(tensor.shape) for name, tensor in worn.state_dict().items()} | wanted
    misfit = first_misfit(found, wanted, places)
    if misfit is not None:
        raise _unfit(adapter, base, misfit)
    worn.load_adapter(str(adapter), "default")
    return worn


def first_misfit(found: "Shapes", wanted: "Shapes", places: "Shapes") -> str | None:
    """What is wrong with the first weight that doesn't fit, or None.

    Args:
        found: in the file.
        wanted: what has to be there.
        places: where a weight can go; ``wanted`` and more.
    """
    for name in sorted(found.keys() | wanted.keys()):
        if name not in found:
            return f"{name} is missing"
        if name not in places:
            return f"the base model has no place for {name}"
        if found[name] != places[name]:
            return f"{name} has the shape {list(found[name])} and would have to have {list(places[name])}"
    return None


def _shapes(file: Path) -> "Shapes":
    """The names and shapes of a safetensors file, from its header."""
    from safetensors import safe_open

    with safe_open(file, "pt") as weights:
        return {name: tuple(weights.get_slice(name).get_shape()) for name in weights.keys()}  # noqa: SIM118


def _unfit(adapter: Path, base: Path, why: str) -> ModelError:
    return ModelError(
        f"the adapter {adapter} doesn't fit the base model {base}: {why}",
        do="put it on the base model it was trained on (its adapter_config.json says which), or train one on this",
    )


def load_tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    check_model_folder(base)
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
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


def use_device(number: int) -> None:
    """Take the accelerator of this number as the process's own; a machine with fewer shares them in turn."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def use_threads(threads: int | None) -> None:
    import torch

    torch.set_num_threads(threads or os.cpu_count() or 1)
