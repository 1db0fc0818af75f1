"""Which files an export may hold: flat names from a list, safetensors for weights, no pickle, no code.

What is allowed is named; everything else is refused, also where it would be harmless.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from infra.digest import Digest
from tasks.errors import ExportError

# written by the export itself: no model brings a file of these names along
README, EVIDENCE, MANIFEST, SIGNED = "README.md", "evidence.json", "manifest.json", "manifest.intoto.json"
OWN = (README, EVIDENCE, MANIFEST, SIGNED)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_LICENCE = re.compile(r"(LICEN[CS]E|NOTICE|COPYING)([.-][A-Za-z0-9.-]{1,40})?")
_TEXTS = frozenset({"tokenizer.model", "merges.txt", "vocab.txt"})
_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".msgpack", ".h5")
_WEIGHTS = (".safetensors", ".safetensors.index.json")
_MAX_HEADER = 100 << 20  # safetensors' own limit
_NOT_A_NAME = "a name is letters, digits, '.', '_' and '-', 128 at most, and no folder"


class Source(NamedTuple):
    """A file to export: where its bytes are, and what they must be."""

    path: Path
    digest: Digest
    size: int


def is_licence(name: str) -> bool:
    return _LICENCE.fullmatch(name) is not None


def is_weights(name: str) -> bool:
    return name.endswith(_WEIGHTS)


def refuse_name(name: str) -> str | None:
    """Why a file of this name is no part of an export, or None."""
    if not _NAME.fullmatch(name):
        return f"the file name {name!r:.140} is not one: {_NOT_A_NAME}"
    if name.lower().endswith(_PICKLES):
        return f"{name} may hold a pickle, which runs code when it is loaded"
    if name.lower().endswith((".py", ".so", ".sh")):
        return f"{name} is code, which no model of ours needs"
    if name in OWN:
        return f"{name} is a file that the export writes itself"
    known = name.endswith((".safetensors", ".json", ".jinja")) or name in _TEXTS or is_licence(name)
    return None if known else f"{name} is none of the files that make a model"


def refuse_names(names: Iterable[str]) -> str | None:
    """Why these names can't lie in one folder, or None; some file systems don't tell case apart."""
    seen = {name.casefold(): name for name in OWN}
    for name in sorted(names):
        reason = refuse_name(name)
        if reason is not None:
            return reason
        other = seen.setdefault(name.casefold(), name)
        if other != name:
            return f"{name} and {other} differ by case only: some file systems would keep one of them"
    return None


def check_files(files: Mapping[str, Source], what: str) -> None:
    """Refuse files that are no part of a model, by name and by content.

    Raises:
        ExportError: names the file.
    """
    reason = refuse_names(files)
    if reason is None and not any(name.endswith(".safetensors") for name in files):
        reason = "it has no *.safetensors file"
    if reason is None:
        reason = next((found for name, file in files.items() if (found := refuse_content(name, file.path))), None)
    if reason is not None:
        raise ExportError(
            f"{what} can't be exported: {reason}",
            do="save the model as safetensors without code of its own (save_pretrained), and run a new night on it",
        )


def refuse_content(name: str, path: Path) -> str | None:
    """Why a file isn't what its name says, or None: weights that are a pickle, configs that ask for code."""
    if name.endswith(".safetensors"):
        return _safetensors_problem(name, path)
    if name.endswith(".json"):
        try:
            found = json.loads(path.read_bytes())
        except (ValueError, RecursionError) as error:
            return f"{name} is no JSON: {error!s:.100}"
        if isinstance(found, dict) and "auto_map" in found:
            return f"{name} asks for code of its own (auto_map), which would need trust_remote_code"
    return None


def _safetensors_problem(name: str, path: Path) -> str | None:
    """The format begins with the header's length, 8 bytes, and the header, JSON; then numbers up to the file's end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(_MAX_HEADER, size - 8):
            return f"{name} is no safetensors file: its header would have {length} bytes of {size}"
        data = file.read(length)
    try:
        header: Any = json.loads(data)
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        return f"{name} is no safetensors file: {type(error).__name__} in its header"
    told = max(ends, default=0) + 8 + length
    return (
        None if told == size else f"{name} has {size} bytes, and its header tells of {told}: it is no safetensors file"
    )
