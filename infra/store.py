"""The object store: content-addressed blobs and trees on a local file system.

A blob is a file under its own digest; a tree is a blob that lists files with their digests. Objects are written once,
through a temporary file and a rename, and their bytes are checked against the digest whenever they are read.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError, field_validator

from infra.digest import Digest, Record, digest_bytes, digest_file, digest_of
from infra.errors import StoreError
from infra.file_names import link_in_the_way, refuse_file_name, refuse_file_names

WRITING = ".writing-"  # what an object is called until it is whole


class Blob(Record):
    """Reference to one immutable file."""

    digest_: Digest
    size: int
    media: str = "application/octet-stream"


class TreeFile(Record):
    path: str
    digest_: Digest
    size: int

    @field_validator("path")
    @classmethod
    def _stays_inside(cls, path: str) -> str:
        # a tree may come from a registry tag, and its paths are joined to a folder
        if (why := refuse_file_name(path)) is not None:
            raise ValueError(f"the file name {path!r:.200} {why}")
        return path


class Tree(Record):
    """Reference to an immutable folder. ``digest_`` is that of the file list, so it covers names and bytes."""

    digest_: Digest
    files: tuple[TreeFile, ...]

    @field_validator("files")
    @classmethod
    def _each_once(cls, files: tuple[TreeFile, ...]) -> tuple[TreeFile, ...]:
        if (why := refuse_file_names(file.path for file in files)) is not None:
            raise ValueError(why)
        return files


class Store:
    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: Digest) -> Path:
        """Where the object of this digest lies, whether or not it is there."""
        hex_ = digest.removeprefix("sha256:")
        return self.root / "sha256" / hex_[:2] / hex_

    def has(self, digest: Digest) -> bool:
        return self.path(digest).is_file()

    def put_bytes(self, data: bytes, media: str = "application/octet-stream") -> Blob:
        digest = digest_bytes(data)
        if not self._renewed(digest):
            with self._writing(digest) as temporary:
                temporary.write_bytes(data)
        return Blob(digest_=digest, size=len(data), media=media)

    def put_json(self, value: object) -> Blob:
        return self.put_bytes(json.dumps(value, ensure_ascii=False, allow_nan=False).encode(), "application/json")

    def put_file(self, source: Path, media: str = "application/octet-stream") -> Blob:
        digest = digest_file(source)
        if not self._renewed(digest):
            with self._writing(digest) as temporary:
                shutil.copyfile(source, temporary)
        return Blob(digest_=digest, size=source.stat().st_size, media=media)

    def put_tree(self, folder: Path) -> Tree:
        """Store every file under ``folder``.

        Raises:
            StoreError: there is none, one is a symbolic link (it could bring in any file of this machine), or a name
                could not be laid out again.
        """
        files = []
        for file in sorted(path for path in folder.rglob("*") if path.is_symlink() or path.is_file()):
            name = file.relative_to(folder).as_posix()
            if file.is_symlink():
                raise StoreError(f"{file} is a symbolic link", do="put a copy of the file in its place")
            blob = self.put_file(file)
            files.append((name, blob))
        if not files:
            raise StoreError(
                f"the folder {folder} has no files to store", do="check the step that should have filled it"
            )
        try:
            listed = tuple(TreeFile(path=name, digest_=blob.digest_, size=blob.size) for name, blob in files)
            return Tree(digest_=digest_of(listed), files=listed)
        except ValidationError as error:
            raise StoreError(
                f"the folder {folder} can't be stored: {error.errors()[0]['msg']}", do="rename that file"
            ) from error

    def read_bytes(self, blob: Blob) -> bytes:
        """The blob's bytes.

        Raises:
            StoreError: the object is missing, or its bytes don't match the digest.
        """
        path = self.open_path(blob.digest_)
        return path.read_bytes()

    def read_json(self, blob: Blob) -> object:
        return json.loads(self.read_bytes(blob))

    def open_path(self, digest: Digest) -> Path:
        """A verified, read-only path to the object."""
        path = self.path(digest)
        if not path.is_file():
            raise StoreError(f"the store has no object {digest}", do="run the night again with --fresh to make it anew")
        found = digest_file(path)
        if found != digest:
            raise StoreError(
                f"the object {digest} has been changed: its bytes are {found}",
                do=f"find out who edited {path}, delete it, and run the night again with --fresh",
            )
        return path

    def checkout(self, tree: Tree, folder: Path) -> Path:
        """Lay the tree out under ``folder`` (hard links where possible), every file verified.

        Raises:
            StoreError: the tree or an object is not what its digest says, or a file would be written elsewhere.
        """
        if digest_of(tree.files) != tree.digest_:
            raise StoreError(f"the file list of tree {tree.digest_} has been changed", do="restore the tree reference")
        # again, as `model_copy` and `model_construct` validate nothing
        if (why := refuse_file_names(file.path for file in tree.files)) is not None:
            raise StoreError(
                f"the tree {tree.digest_} can't be laid out: {why}", do="find out who made it; nothing was written"
            )
        for file in tree.files:
            target = folder / file.path
            if (link := link_in_the_way(folder, file.path)) is not None:
                raise StoreError(
                    f"{link} is a symbolic link: {file.path} would be written through it",
                    do=f"find out who made it, delete {folder} and run again",
                )
            source = self.open_path(file.digest_)
            if not target.is_symlink() and target.exists() and target.samefile(source):
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            try:
                os.link(source, target)
            except OSError:  # another file system
                shutil.copyfile(source, target)
        return folder

    def _renewed(self, digest: Digest) -> bool:
        """Whether it is there; from now on it counts as new: who relies on it may not have written down yet that it
        does, and what nothing refers to is cleaned away (``tasks.retention``)."""
        try:
            os.utime(self.path(digest))
        except FileNotFoundError:
            return False
        except PermissionError:  # another account's file; there it is
            return self.has(digest)
        return True

    @contextmanager
    def _writing(self, digest: Digest) -> Iterator[Path]:
        """A temporary file that becomes the object on success, and leaves nothing behind on failure."""
        target = self.path(digest)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=WRITING)
            os.close(descriptor)
        except OSError as error:
            raise _unwritable(target, error) from error
        temporary = Path(name)
        try:
            yield temporary
            temporary.chmod(0o444)
            temporary.replace(target)
        except OSError as error:
            raise _unwritable(target, error) from error
        finally:
            temporary.unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> StoreError:
    return StoreError(
        f"the store can't write {target}: {error.strerror or error}",
        do="free space or fix permissions there, or set NIGHTSHIFT_HOME to another disk; nothing half-written remains",
    )
