"""The last accepted snapshot of a recipe: what tonight's drift is measured from."""

from pathlib import Path

from pydantic import ValidationError

from infra.digest import Digest, Record
from infra.files import write_whole
from tasks.contracts import Snapshot
from tasks.data.drift import Marginals


class Accepted(Record):
    """A snapshot that passed.

    Attributes:
        rows: by source (its path in the recipe).
        objects: name and version of each.
    """

    snapshot: Digest
    marginals: Marginals
    rows: dict[str, int]
    objects: tuple[str, ...]


class Kept(Record):
    """The newest, and the one before it: a night that is replayed is compared with what it was compared with."""

    last: Accepted
    before: Accepted | None = None


def accepted_file(kept: Path, recipe: str) -> Path:
    return kept / "accepted" / f"{recipe}.json"


def baseline(kept: Path, recipe: str, snapshot: Snapshot) -> Accepted | None:
    """What tonight is compared with; None on the first night."""
    found = _read(accepted_file(kept, recipe))
    if found is None:
        return None
    return found.before if found.last.snapshot == snapshot.digest else found.last


def accept(kept: Path, recipe: str, snapshot: Snapshot, marginals: Marginals) -> None:
    """Tonight's data passed: tomorrow is compared with it."""
    path = accepted_file(kept, recipe)
    now = Accepted(
        snapshot=snapshot.digest,
        marginals=marginals,
        rows=rows_by_source(snapshot),
        objects=tuple(object_names(snapshot)),
    )
    note = Kept(last=now, before=baseline(kept, recipe, snapshot))
    write_whole(path, note.model_dump_json())


def rows_by_source(snapshot: Snapshot) -> dict[str, int]:
    found: dict[str, int] = {}
    for file in snapshot.files:
        found[file.source] = found.get(file.source, 0) + file.rows
    return found


def object_names(snapshot: Snapshot) -> list[str]:
    return [f"{file.name} {file.version}" for file in snapshot.files]


def _read(path: Path) -> Kept | None:
    try:
        return Kept.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):  # of another form: this night is the first again
        return None
