"""Compute features of shards, each shard once: tomorrow's night finds today's in the store."""

import os
import tempfile
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from infra.digest import Digest, code_revision, digest_of, short
from infra.settings import ROOT
from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data.noted import note, noted
from tasks.data.workers import each
from tasks.parts import PARQUET

_HEAVY = 4_000_000  # microseconds; less is measured here: processes take a second or two to start


class Feature(NamedTuple):
    """A module of ``tasks.data.features``, which is imported where it is needed: some bring large libraries.

    Attributes:
        micros: what a row takes about, in microseconds (1 KB of texts, a core of a server CPU).
        database: a database computes it, from file to file: several at once in one process.
    """

    micros: int
    database: bool = False


FEATURES = {
    "rows": Feature(10, database=True),
    "tokens": Feature(220),
    "personal": Feature(5),
    "signatures": Feature(25),
    "ngrams": Feature(10),
}


class Measured(NamedTuple):
    """A job of a worker: one shard's rows, and where its columns go."""

    feature: str
    rows: str
    given: tuple[Any, ...]
    target: str


def measure(
    name: str, shards: tuple[Shard, ...], given: tuple[Any, ...], identity: object, store: Store, kept: Path
) -> list[Blob]:
    """A feature's columns, one Parquet file a shard.

    Args:
        given: what the feature's function takes beside the rows.
        identity: what of ``given`` decides its result.
        kept: folder of what was computed before.
    """
    index = [_index(kept, name, shard, identity) for shard in shards]
    known = [noted(path, store) for path in index]
    missing = [number for number, blob in enumerate(known) if blob is None]
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            Measured(name, str(store.open_path(shards[number].rows.digest_)), given, f"{folder}/{number}")
            for number in missing
        ]
        heavy = sum(shards[number].n_rows for number in missing) * FEATURES[name].micros > _HEAVY
        for number, path in zip(
            missing, each(_compute, jobs, heavy=heavy, threads=FEATURES[name].database), strict=True
        ):
            blob = store.put_file(Path(path), PARQUET)
            note(index[number], blob)
            known[number] = blob
            os.unlink(path)
    return [blob for blob in known if blob is not None]


@cache
def feature_revision(name: str) -> Digest:
    """Of the code and the libraries that compute it."""
    module = _module(name)
    code = code_revision(*(ROOT / place for place in (f"tasks/data/features/{name}.py", *module.CODE)))
    return digest_of([code, [[library, version(library)] for library in module.LIBRARIES]])


def _module(name: str) -> Any:
    return import_module(f"tasks.data.features.{name}")


def _compute(job: Measured) -> str:
    module = _module(job.feature)
    if FEATURES[job.feature].database:
        module.write(Path(job.rows), Path(job.target), *job.given)
        return job.target
    import pyarrow.parquet as pq  # 50 MB, which no database asks for

    found = module.compute(pq.read_table(job.rows, columns=list(module.COLUMNS)), *job.given)
    pq.write_table(found, job.target, compression="lz4")
    return job.target


def _index(kept: Path, name: str, shard: Shard, identity: object) -> Path:
    key = digest_of([shard.rows.digest_, feature_revision(name), identity])
    return kept / "features" / name / f"{short(key, 32)}.json"
