"""What was read before, a file a source: tomorrow's night reads only objects that are new or changed.

A batch is what was read together: one large object, or many small ones. It is used again while each of its objects is
in the source unchanged; else those that still are get read anew (docs/design/data.md).
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from infra.digest import Digest, Record, digest_of, short
from infra.files import write_whole
from infra.store import Store
from tasks.contracts import Shard, SourceFile
from tasks.data_spec import SourceSpec
from tasks.errors import SourceError

BATCH_BYTES = 32 << 20  # of small objects that are read together
BATCH_OBJECTS = 2_000


class Batch(Record):
    """Objects that were read together, and the shards of their rows.

    Attributes:
        revision: of the code that read them.
        forgotten: digest of what was to be left out (``tasks.data.forget``).
        read_at: seconds since the epoch; of all that a night read the same.
    """

    files: tuple[SourceFile, ...]
    shards: tuple[Shard, ...]
    revision: Digest
    forgotten: Digest
    read_at: float


_BATCHES = TypeAdapter(tuple[Batch, ...])


def batches_file(kept: Path, spec: SourceSpec, tenant: str) -> Path:
    # with `keep` apart: another recipe without it must not drop what nobody can read anew
    said = [spec.path, spec.kind, spec.form, spec.tenant or tenant, spec.keep]
    return kept / "batches" / f"{short(digest_of(said), 24)}.json"


def read_batches(path: Path) -> tuple[Batch, ...]:
    """Batches of earlier nights; none where there was no night.

    Raises:
        SourceError: the file was edited or cut.
    """
    try:
        return _BATCHES.validate_json(path.read_bytes())
    except FileNotFoundError:
        return ()
    except (ValidationError, OSError) as error:
        raise SourceError(
            f"{path} can't be read: {str(error).splitlines()[0]}",
            do="delete it: the source is then read from its beginning; rows of objects that are gone there are lost",
        ) from error


def write_batches(path: Path, batches: Iterable[Batch]) -> None:
    write_whole(path, _BATCHES.dump_json(tuple(batches)).decode())


def reusable(
    batches: Iterable[Batch], wanted: dict[str, str], keep: bool, revision: Digest, store: Store
) -> list[Batch]:
    """Batches that still stand for what they were read from.

    Args:
        wanted: name → version of the objects in the source now.
        keep: rows of objects that are gone from the source stay (a rolling export); nobody can read them anew.
    """
    good = []
    for batch in batches:
        gone = keep and not any(one.name in wanted for one in batch.files)
        same = all(wanted.get(one.name) == one.version or (keep and one.name not in wanted) for one in batch.files)
        there = all(store.has(shard.rows.digest_) for shard in batch.shards)
        if there and (gone or (same and batch.revision == revision)):
            good.append(batch)
    return good
