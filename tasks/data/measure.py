"""Compute features of shards, each shard once: tomorrow's night finds today's in the store."""

import os
import tempfile
from collections.abc import Callable
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from infra.digest import Digest, code_revision, digest_of, short
from infra.settings import ROOT
from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data.features import ngrams, personal, signatures, tokens
from tasks.data.features import rows as row_checks
from tasks.data.noted import note, noted
from tasks.data.shards import PARQUET
from tasks.data.workers import each

_HEAVY = 4_000_000  # microseconds; less is measured here: processes take a second or two to start

_TEXTS = ("prompt_text", "chosen_text", "rejected_text")


class Feature(NamedTuple):
    """Columns that are computed of each row once.

    Attributes:
        compute: from rows, and what else it is given, to as many rows of other columns. Pure.
        columns: of the rows that it reads.
        micros: what a row takes about, in microseconds (1 KB of texts, a core of a server CPU).
        threads: whether several may be computed at once in one process: its work is outside of Python.
        code: beside its own file what decides its result.
        libraries: the same, of others.
    """

    compute: Callable[..., pa.Table]
    columns: tuple[str, ...]
    micros: int
    threads: bool = False
    code: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()


FEATURES = {
    "rows": Feature(row_checks.compute, row_checks.COLUMNS, 10, True, ("tasks/data/checks.py",)),
    "tokens": Feature(
        tokens.compute, ("prompt", "chosen", "rejected", "error"), 220, False, tokens.CODE, tokens.LIBRARIES
    ),
    "personal": Feature(personal.compute, _TEXTS, 5, False, personal.CODE, personal.LIBRARIES),
    "signatures": Feature(signatures.compute, (*_TEXTS, "error"), 25, False, ("tasks/data/words.py",), ("rensa",)),
    "ngrams": Feature(ngrams.compute, (*_TEXTS, "error"), 10, False, ("tasks/data/words.py",)),
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
            missing, each(_compute, jobs, heavy=heavy, threads=FEATURES[name].threads), strict=True
        ):
            blob = store.put_file(Path(path), PARQUET)
            note(index[number], blob)
            known[number] = blob
            os.unlink(path)
    return [blob for blob in known if blob is not None]


@cache
def feature_revision(name: str) -> Digest:
    """Of the code and the libraries that compute it."""
    feature = FEATURES[name]
    code = code_revision(*(ROOT / place for place in (f"tasks/data/features/{name}.py", *feature.code)))
    return digest_of([code, [[library, version(library)] for library in feature.libraries]])


def _compute(job: Measured) -> str:
    feature = FEATURES[job.feature]
    found = feature.compute(pq.read_table(job.rows, columns=list(feature.columns)), *job.given)
    pq.write_table(found, job.target, compression="lz4")
    return job.target


def _index(kept: Path, name: str, shard: Shard, identity: object) -> Path:
    key = digest_of([shard.rows.digest_, feature_revision(name), identity])
    return kept / "features" / name / f"{short(key, 32)}.json"
