"""Which objects of the store something still refers to: marked from roots, by the digests that stand in their bytes.

Conservative on purpose: a digest anywhere in the text of what is kept keeps its object, whatever field it stands in. So
a record that gets a new reference tomorrow needs no change here, and the error that can be made is to keep too much.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from infra.digest import Digest
from infra.errors import StoreError
from infra.store import WRITING, Store

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
_LONGEST = len("sha256:") + 64
_CHUNK = 1 << 20
# objects that may refer to others are JSON; weights, tables and pages are not searched
_JSON = (b"{", b"[")


class Object(NamedTuple):
    """A file of the store: an object, or (no digest) one that was being written."""

    path: Path
    digest: Digest | None
    size: int  # bytes
    modified: float  # seconds since the epoch; renewed when the same bytes are put again


def objects(store: Store) -> Iterator[Object]:
    """Everything that lies among the store's objects."""
    for path in sorted((store.root / "sha256").glob("*/*")):
        try:
            found = path.lstat()
        except FileNotFoundError:  # a writer at work has just renamed it
            continue
        if path.name.startswith(WRITING):
            yield Object(path, None, found.st_size, found.st_mtime)
        elif re.fullmatch("[0-9a-f]{64}", path.name):
            yield Object(path, f"sha256:{path.name}", found.st_size, found.st_mtime)


def digests_in(text: str | bytes) -> set[Digest]:
    """Every digest in a text, escaped JSON inside JSON included."""
    data = text.encode() if isinstance(text, str) else text
    return {one.decode() for one in _DIGEST.findall(data)}


def digests_in_file(path: Path) -> set[Digest]:
    """The same of a file of any size.

    Raises:
        StoreError: it can't be read; what it refers to isn't known then.
    """
    found: set[Digest] = set()
    try:
        with path.open("rb") as file:
            rest = b""
            while chunk := file.read(_CHUNK):
                found |= digests_in(rest + chunk)
                rest = (rest + chunk)[-_LONGEST:]
    except OSError as error:
        raise StoreError(
            f"{path} can't be read, so nobody knows what it refers to: {error.strerror or error}",
            do="fix its permissions or restore it; nothing is cleaned until then",
        ) from error
    return found


def reachable(
    store: Store, roots: Iterable[Digest], let_go: Mapping[Digest, frozenset[Digest]] | None = None
) -> set[Digest]:
    """The objects that the roots lead to, themselves included; digests that name no object are left out.

    Args:
        let_go: by object, references of it that don't count.

    Raises:
        StoreError: an object on the way can't be read.
    """
    released = let_go or {}
    marked: set[Digest] = set()
    waiting = [digest for digest in set(roots) if store.has(digest)]
    while waiting:
        digest = waiting.pop()
        if digest in marked:
            continue
        marked.add(digest)
        path = store.path(digest)
        if _is_json(path):
            found = digests_in_file(path) - released.get(digest, frozenset()) - marked
            waiting += [one for one in found if store.has(one)]
    return marked


def _is_json(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(1) in _JSON
    except OSError as error:
        raise StoreError(
            f"{path} can't be read, so nobody knows what it refers to: {error.strerror or error}",
            do="fix its permissions or restore it; nothing is cleaned until then",
        ) from error
