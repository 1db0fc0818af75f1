"""Named objects in a folder: whole files under a lock, put in place by a link or a rename."""

import fcntl
import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from infra.digest import Digest, digest_bytes, digest_file
from infra.errors import ObjectError
from infra.files import sync_folder
from infra.objects.base import (
    MEDIA,
    OWN,
    Held,
    Stat,
    check_condition,
    check_key,
    check_prefix,
    conflict,
    readable_file,
)

_CHUNK = 1 << 20


class FolderObjects:
    """An object's etag is the digest of its bytes. The media type isn't kept: a file has none."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    @property
    def url(self) -> str:
        return str(self.root)

    def put(self, key: str, data: bytes, *, absent: bool = False, match: str | None = None, media: str = MEDIA) -> str:
        check_condition(absent, match)
        return self._write(key, [data], absent, match)

    def put_file(self, key: str, path: Path, *, absent: bool = False, media: str = MEDIA) -> str:
        with readable_file(path):
            source = path.open("rb")
        with source:
            return self._write(key, _chunks(source), absent, None)

    def get(self, key: str) -> Held | None:
        target = self._path(key)
        with _reading(target):
            if not target.is_file():
                return None
            data = target.read_bytes()
        return Held(data, digest_bytes(data))

    def head(self, key: str) -> Stat | None:
        target = self._path(key)
        with _reading(target):
            if not target.is_file():
                return None
            with target.open("rb") as file:  # one file, also where another takes its place meanwhile
                return Stat(os.fstat(file.fileno()).st_size, hash_of(_chunks(file)))

    def digest(self, key: str) -> Digest | None:
        found = self.head(key)
        return found.etag if found else None

    def keys(self, prefix: str = "") -> list[str]:
        folder = check_prefix(prefix).rpartition("/")[0]
        start = self._path(folder) if folder else self.root
        with _reading(start):
            names = [
                path.relative_to(self.root).as_posix()
                for path in start.rglob("*")
                if path.is_file() and self.root / OWN not in path.parents
            ]
        return sorted(check_key(name) for name in names if name.startswith(prefix))

    def _path(self, key: str) -> Path:
        """Where the object lies; a link in the folder can't lead out of it either."""
        target = self.root / check_key(key)
        if not target.resolve().is_relative_to(self.root):
            raise ObjectError(f"{target} leads out of {self.root} through a link", do=f"remove the link in {self.root}")
        return target

    def _write(self, key: str, chunks: Iterable[bytes], absent: bool, match: str | None) -> str:
        target = self._path(key)
        with _writing(target), self._temporary() as (temporary, file):
            digest = hash_of(_written(chunks, file))
            file.flush()
            os.fsync(file.fileno())
            made = [folder for folder in target.parents if not folder.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                self._place(target, temporary, absent, match)
            for folder in {target.parent, *(folder.parent for folder in made)}:
                sync_folder(folder)
        return digest

    def _place(self, target: Path, temporary: Path, absent: bool, match: str | None) -> None:
        """Give the whole file its name, if the condition holds. Nobody else writes here meanwhile."""
        if target.is_dir():
            raise ObjectError(f"{target} is a folder with other objects in it", do="give the object another name")
        found = digest_file(target) if (absent or match) and target.exists() else None
        if found != match and (absent or match):
            raise conflict(str(target), found, match)
        if not absent:
            temporary.replace(target)
            return
        try:
            # unlike a rename it can't replace what somebody without our lock put there
            os.link(temporary, target)
        except FileExistsError:
            raise conflict(str(target), digest_file(target), None) from None

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One writer at a time, over all processes."""
        own = self.root / OWN
        own.mkdir(parents=True, exist_ok=True)
        with (own / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _temporary(self) -> Iterator[tuple[Path, BinaryIO]]:
        """A file that nobody sees, held by a lock while its writer lives; those of killed writers are removed."""
        with self._alone():
            for left in (self.root / OWN).glob("*.part"):
                _remove_unless_held(left)
            path = self.root / OWN / f"{uuid4().hex}.part"
            file = path.open("xb")
            fcntl.flock(file, fcntl.LOCK_EX)
        with file:
            try:
                yield path, file
            finally:
                path.unlink(missing_ok=True)  # renamed already where the object replaced another


def hash_of(chunks: Iterable[bytes]) -> Digest:
    """Digest of bytes that come in pieces."""
    sha = hashlib.sha256()
    for chunk in chunks:
        sha.update(chunk)
    return "sha256:" + sha.hexdigest()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _written(chunks: Iterable[bytes], file: BinaryIO) -> Iterator[bytes]:
    for chunk in chunks:
        file.write(chunk)
        yield chunk


def _remove_unless_held(path: Path) -> None:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
    except (BlockingIOError, FileNotFoundError):
        return  # its writer lives, or has just given the file its name


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ObjectError(
            f"{path} can't be read: {error.strerror or error}", do="check the folder and its permissions"
        ) from error


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ObjectError(
            f"{path} can't be written: {error.strerror or error}",
            do="free space or fix permissions there, or name another folder; nothing half-written remains",
        ) from error
