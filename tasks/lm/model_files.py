"""Which files may lie in a model's folder: weights and text, nothing that runs code when it is loaded.

A pickle (`*.bin`, `*.pt`, …) runs what it likes when it is read; a `config.json` with `auto_map` makes transformers run
a file beside it. Both are refused by name before anything is loaded, whatever case or folder they hide in. Nothing here
imports torch, numpy or transformers.
"""

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, NamedTuple

from infra.file_names import refuse_file_name
from tasks.errors import ModelError

PICKLES = (".bin", ".pt", ".pth", ".pt2", ".ckpt", ".pkl", ".pickle", ".joblib", ".dill", ".npz", ".nemo", ".mar")
CODE = (".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".dylib", ".sh")
CONVERT = (
    "convert the weights to safetensors (load them where you trust them, then save_pretrained), "
    "and delete what is no safetensors, JSON or text"
)
_NO_CODE = "use a model that transformers knows without code of its own (custom code is never run), or save it anew"
_COPY_ANEW = "copy or save the model anew, and compare its files with the source's"
_COPY_FILES = "copy the model with its links followed: cp -rL FOLDER COPY"

# safetensors' own limit, and the room a header needs at least: `{}`
_HEADER_LIMIT = 100_000_000
_NUMPY = b"\x93NUMPY"
# a configuration is some kilobytes; what is far larger is no configuration
_CONFIG_LIMIT = 32 << 20
# keys through which a configuration names code or modules to import, where they hold something
_CODE_KEYS = ("auto_map", "custom_pipelines", "custom_generate", "auto_mapping", "megatron_config")
_BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8,
    "U16": 16, "I16": 16, "F16": 16, "BF16": 16, "U32": 32, "I32": 32, "F32": 32, "U64": 64, "I64": 64, "F64": 64,
    "C64": 64, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


class Problem(NamedTuple):
    """Why a file is refused, and what to do about it."""

    why: str
    do: str


def refuse_unsafe(files: Iterable[str]) -> str | None:
    """What is wrong with the first file whose name has no place in a model's folder; None if all may lie there."""
    for file in files:
        # a trailing dot or space is dropped by some file systems: `x.bin.` is `x.bin` there
        name = file.replace("\\", "/").rpartition("/")[2].casefold().rstrip(". ")
        if name.endswith(PICKLES):
            return f"{file} is a pickle by its name: reading it runs whatever its author put in"
        if name.endswith(CODE):
            return f"{file} is code, which a model must not bring along"
    return None


def refuse_config(name: str, data: bytes) -> str | None:
    """Why a configuration file can't be trusted to hold only values, or None."""
    if len(data) > _CONFIG_LIMIT:
        return f"{name} has {len(data)} bytes, too many for a configuration"
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        return f"{name} is no JSON ({str(error)[:80]})"
    if not isinstance(content, dict):
        return f"{name} is no JSON object"
    if (key := _code_key(content)) is not None:
        return f"{name} has {key}, which names code to run"
    return None


def refuse_safetensors(name: str, file: BinaryIO, size: int) -> str | None:
    """Why a safetensors file is cut short, padded, or no safetensors file, from its header; None if it is whole.

    Args:
        size: of the whole file, in bytes.
    """
    start = file.read(8)
    if len(start) < 8:
        return f"{name} has {size} bytes and can't be a safetensors file"
    (length,) = struct.unpack("<Q", start)
    if length > _HEADER_LIMIT:
        return f"{name} claims a header of {length} bytes, more than any safetensors file has"
    if length > size - 8:
        return f"{name} is cut short: its header takes {length} bytes, the file has {size}"
    try:
        # as the library reads it: UTF-8 only, and no name twice
        header = json.loads(file.read(length).decode(), object_pairs_hook=_each_once)
    except (ValueError, RecursionError) as error:
        return f"{name} has a header that is no JSON ({str(error)[:80]})"
    if not isinstance(header, dict):
        return f"{name} has a header that is no JSON object"
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        return f"{name} has a header whose __metadata__ is not text"
    return _refuse_tensors(name, header, size - 8 - length)


def refuse_index(name: str, data: bytes) -> str | None:
    """Why the list of a sharded model's files can't be used, or None: each must lie beside it."""
    if (why := refuse_config(name, data)) is not None:
        return why
    shards = json.loads(data).get("weight_map")
    if not isinstance(shards, dict) or not all(isinstance(file, str) for file in shards.values()):
        return f"{name} has no weight_map from tensors to files"
    for file in sorted(set(shards.values())):
        if (why := refuse_file_name(file)) is not None:
            return f"{name} names the file {file!r:.200}, which {why}"
    return None


def refuse_content(name: str, start: bytes) -> str | None:
    """Why a file's first bytes show a pickle under another name, or None."""
    if start[:4] == b"PK\x03\x04":
        return f"{name} is a zip archive, the form of torch.save and of numpy's .npz: reading it may run code"
    # protocols 2 to 5; what precedes them is text that no reader of ours takes for one
    if len(start) > 2 and start[0] == 0x80 and 2 <= start[1] <= 5:
        return f"{name} is a pickle by its first bytes, whatever its name"
    if start.startswith(_NUMPY) and b"O" in _dtype(start):
        return f"{name} is a numpy file of Python objects, which are pickled"
    return None


def refuse_folder(folder: Path) -> Problem | None:
    """What is wrong with the first file of a model's folder, at any depth, or None. Reads headers, never weights."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() and not _may_lead_to(folder, path.resolve()):
            return Problem(f"{name} is a symbolic link out of the folder, to {path.resolve()}", _COPY_FILES)
        if path.is_dir():
            continue
        if not path.is_file():
            return Problem(f"{name} is no ordinary file", _COPY_FILES)
        if (why := refuse_unsafe([name])) is not None:
            return Problem(why, CONVERT)
        if (problem := refuse_file(path, name)) is not None:
            return problem
    return None


def refuse_file(path: Path, name: str) -> Problem | None:
    """Why the content of one file can't be trusted, or None."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if name.casefold().endswith(".safetensors"):
            return _problem(refuse_safetensors(name, file, size), _COPY_ANEW)
        if name.casefold().endswith(".safetensors.index.json"):
            return _problem(refuse_index(name, file.read(_CONFIG_LIMIT + 1)), _COPY_ANEW)
        if _is_config(name):
            return _problem(refuse_config(name, file.read(_CONFIG_LIMIT + 1)), _NO_CODE)
        return _problem(refuse_content(name, file.read(4096)), CONVERT)


def check_model_folder(folder: Path) -> None:
    """Refuse a folder before anything of it is loaded.

    Raises:
        ModelError: names the file and what is wrong with it.
    """
    try:
        problem = refuse_folder(folder)
    except OSError as error:
        raise ModelError(
            f"the model folder {folder} can't be read: {error.filename}: {error.strerror or error}",
            do="fix the permissions there, or copy the model anew",
        ) from error
    if problem is not None:
        raise ModelError(f"the model folder {folder} is refused: {problem.why}", do=problem.do)


def _problem(why: str | None, do: str) -> Problem | None:
    return None if why is None else Problem(why, do)


def _may_lead_to(folder: Path, target: Path) -> bool:
    """Inside the folder, or as the hub's cache lays it out: `snapshots/<revision>/x` leads to `blobs/<digest>`."""
    inside = folder.resolve()
    if target.is_relative_to(inside):
        return True
    return inside.parent.name == "snapshots" and target.parent == inside.parent.parent / "blobs"


def _is_config(name: str) -> bool:
    base = name.rpartition("/")[2].casefold()
    return base.endswith(".json") and "config" in base


def _code_key(value: object) -> str | None:
    """The first key, at any depth, that names code and isn't empty."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for key, inner in one.items():
                if key in _CODE_KEYS and inner:
                    return key
                if key == "trust_remote_code" and inner:
                    return key
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return None


def _each_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a name is there twice")
    return dict(pairs)


def _refuse_tensors(name: str, header: dict[str, object], room: int) -> str | None:
    """The places of all tensors: each as large as its shape says, one after the other, to the end of the file."""
    places: list[tuple[int, int]] = []
    for key, tensor in header.items():
        place = _place(tensor)
        if place is None:
            return f"{name} has a header in which {key!r:.80} has no valid type, shape or place"
        places.append(place)
    end = 0
    for begin, stop in sorted(places):
        if begin != end:
            return f"{name} has a header whose tensors overlap or leave a gap at byte {min(begin, end)}"
        end = stop
    if end != room:
        what = "is cut short" if end > room else "has bytes that belong to no tensor"
        return f"{name} {what}: its header's tensors take {end} bytes, the file holds {room}"
    return None


def _place(tensor: object) -> tuple[int, int] | None:
    match tensor:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(stop)]}:
            pass
        case _:
            return None
    count = 1
    for length in shape:
        if type(length) is not int or length < 0:
            return None
        count *= length
    bits = _BITS.get(dtype)
    if bits is None or not 0 <= begin <= stop or (stop - begin) * 8 != count * bits:
        return None
    return begin, stop


def _dtype(start: bytes) -> bytes:
    """The text of numpy's `descr`, which tells objects (`O`) from numbers."""
    after = start.partition(b"'descr':")[2]
    return after.partition(b"'fortran_order'")[0]
