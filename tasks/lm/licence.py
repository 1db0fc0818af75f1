"""What a base model's own files say about its licence. Found at the import, beside the model, and never guessed.

A licence is no part of what the model is, nor of its digest: a text that is added later makes no new model.
"""

import re
import struct
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from infra.digest import Record, short
from infra.errors import StoreError
from infra.store import Store, Tree, TreeFile
from tasks.errors import ModelError

_TEXTS = re.compile(r"(LICEN[CS]E|NOTICE|COPYING)([.-][A-Za-z0-9.-]{1,40})?")
_CARD_LINE = re.compile(r"^license:\s*[\"']?([A-Za-z0-9][A-Za-z0-9 .+-]{0,80}?)[\"']?\s*$", re.MULTILINE)
_MAX_TEXT = 1 << 20


class BaseLicence(Record):
    """Attributes:
    name: as stated, for instance ``apache-2.0``; None where no file names one.
    said_by: the file that states it; empty where nothing was found.
    files: licence texts, in the store.
    """

    name: str | None = None
    said_by: str = ""
    files: tuple[TreeFile, ...] = ()


def note_licence(source: Path, base: Tree, home: Path, store: Store) -> None:
    """Keep what the source of an imported model says, once."""
    path = _note(base, home)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _of_folder(source, store) if source.is_dir() else _of_gguf(source)
        temporary = path.with_suffix(".writing")
        temporary.write_text(found.model_dump_json())
        temporary.replace(path)


def licence_of(base: Tree, home: Path, store: Store) -> BaseLicence:
    """What is known of a base model's licence: its own files first, then what was noted at its import.

    Raises:
        StoreError: a licence text was changed since, or the note can't be read.
    """
    own = tuple(file for file in base.files if _TEXTS.fullmatch(file.path))
    noted = BaseLicence()
    if _note(base, home).is_file():
        noted = _read(_note(base, home))
    files = own or noted.files
    for file in files:
        store.open_path(file.digest_)
    said_by = noted.said_by or (own[0].path if own else "")
    return BaseLicence(name=noted.name, said_by=said_by, files=files)


def _read(path: Path) -> BaseLicence:
    try:
        return BaseLicence.model_validate_json(path.read_text())
    except (ValidationError, UnicodeDecodeError) as error:
        raise StoreError(
            f"the note {path} can't be read: {str(error).splitlines()[0]}",
            do="delete it; the next night on this base model writes it anew",
        ) from None


def licence_in_card(text: str) -> str | None:
    """The ``license`` of a model card's front matter; ``other`` names none."""
    parts = text.split("---", 2)
    if len(parts) < 3 or parts[0].strip():
        return None
    found = _CARD_LINE.search(parts[1])
    return found.group(1) if found and found.group(1) != "other" else None


def _of_folder(folder: Path, store: Store) -> BaseLicence:
    files = []
    for path in sorted(folder.iterdir()):
        if _TEXTS.fullmatch(path.name) and path.is_file() and path.stat().st_size <= _MAX_TEXT:
            blob = store.put_file(path, "text/plain")
            files.append(TreeFile(path=path.name, digest_=blob.digest_, size=blob.size))
    card = folder / "README.md"
    name = licence_in_card(card.read_text(errors="replace")) if card.is_file() else None
    said_by = card.name if name else files[0].path if files else ""
    return BaseLicence(name=name, said_by=said_by, files=tuple(files))


def _of_gguf(file: Path) -> BaseLicence:
    name = gguf_text(file, "general.license")
    return BaseLicence(name=name, said_by=file.name) if name else BaseLicence()


def gguf_text(file: Path, wanted: str) -> str | None:
    """A text from a GGUF file's metadata, None where it has none of this name.

    The gguf package reads all of a tokenizer's words and merges first, which takes seconds; this skips them.
    Source: the layout in https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.

    Raises:
        ModelError: the file ends within its metadata, or is no GGUF file of version 2 or 3.
    """
    with file.open("rb") as data:
        try:
            magic, version, _, count = struct.unpack("<4sIQQ", data.read(24))
            if magic != b"GGUF" or version not in {2, 3}:
                raise ValueError(f"it begins with {magic!r}, version {version}")
            for _ in range(count):
                key, (kind,) = _gguf_string(data), struct.unpack("<I", data.read(4))
                if key == wanted.encode() and kind == _GGUF_STRING:
                    return _gguf_string(data).decode().strip()
                _gguf_skip(data, kind)
        except (struct.error, ValueError, KeyError) as error:
            raise ModelError(
                f"{file} is no readable GGUF file: {error!s:.100}", do="get the model file again"
            ) from error
    return None


_GGUF_STRING, _GGUF_ARRAY = 8, 9
_GGUF_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}


def _gguf_string(data: BinaryIO) -> bytes:
    (length,) = struct.unpack("<Q", data.read(8))
    if length > _MAX_TEXT:
        raise ValueError(f"a text of {length} bytes")
    found = data.read(length)
    if len(found) != length:
        raise ValueError("it ends in the middle of a text")
    return found


def _gguf_skip(data: BinaryIO, kind: int) -> None:
    if kind == _GGUF_STRING:
        _gguf_string(data)
    elif kind != _GGUF_ARRAY:
        data.seek(_GGUF_SIZES[kind], 1)
    else:
        inner, count = struct.unpack("<IQ", data.read(12))
        if inner in _GGUF_SIZES:
            data.seek(_GGUF_SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _gguf_skip(data, inner)


def _note(base: Tree, home: Path) -> Path:
    return home / "models" / f"{short(base.digest_, 32)}-licence.json"
