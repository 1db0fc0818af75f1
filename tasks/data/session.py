"""One DuckDB for a night's set checks, on disk: what doesn't fit its memory is spilled. Or Spark for the largest."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa

from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data.arrow import compute as pc
from tasks.data.checks import CHECKS, Limits, flags, profile, sound, with_marks
from tasks.data.near import Found, find
from tasks.data.spark.engine import Engine, open_spark
from tasks.data.spark.files import Part

MEMORY = "1GB"

Table = Any


class Session:
    """Facts and flags of one snapshot.

    Tables by name: ``facts`` (``tasks.data.facts``); ``sound``: those that fail no check of their own; ``texts``:
    ``row`` and the three texts; ``grams``: ``row`` and ``features.ngrams``.

    Attributes:
        raw: DuckDB's own connection, for what is not an Ibis expression.
        first: the first row of each shard.
    """

    def __init__(
        self,
        connection: Any,
        facts: Sequence[Path],
        shards: Sequence[Shard],
        features: dict[str, list[Path]],
        limits: Limits,
        spark: Engine | None,
    ) -> None:
        self._connection, self._files, self._features, self._limits = connection, facts, features, limits
        self._shards, self._spark = shards, spark
        self.facts: Table = connection.read_parquet([str(path) for path in facts], table_name="facts")
        self.raw: Any = connection.con
        self.first: list[int] = list(accumulate((shard.n_rows for shard in shards), initial=0))[:-1]
        self.flagged: Table = None

    def flag(self, marks: pa.Table, gate_keys: Sequence[int]) -> dict[str, Any]:
        """Run the set checks; returns the profile.

        Args:
            marks: ``row`` and one boolean column for each finding (``tasks.data.findings``).
            gate_keys: keys of the prompts of the gate's items.
        """
        keys = pa.table({"prompt_key": pa.array(sorted(set(gate_keys)), pa.int64())})
        if self._spark is not None:
            files, figures = self._spark.flag(self._files, marks, keys, self._flags)
            self.flagged = self._connection.read_parquet([str(path) for path in files], table_name="flagged")
            return figures
        marks_ = self._connection.create_table("marks", ibis.memtable(marks))
        known = self._connection.create_table("gate_keys", ibis.memtable(keys))
        # in the rows' order, so that one shard's flags lie together
        found = self._flags(self.facts, marks_, known).order_by("row")
        self.flagged = self._connection.create_table("flagged", found)
        return profile(self.flagged).to_pyarrow().to_pylist()[0]

    def _flags(self, facts: Table, marks: Table, gate_keys: Table) -> Table:
        return flags(with_marks(facts, marks, gate_keys), self._limits)

    def near(self, new: Sequence[int], old: Sequence[int]) -> Found:
        """Near pairs with at least one row of the new shards."""
        if self._spark is not None:
            signatures, rows = self._features["signatures"], self._features["rows"]
            known = {number: False for number in old} | {number: True for number in new}
            parts = [
                Part(signatures[at], rows[at], self.first[at], self._shards[at].n_rows, is_new)
                for at, is_new in sorted(known.items())
            ]
            return self._spark.near(parts)
        with self.parts("signatures", new, old) as (new_name, old_name):
            return find(self.raw, new_name, "texts", old=old_name)

    def of_shard(self, number: int, *, failing: bool = False) -> pa.Table:
        """Flags of one shard's rows, or of those that fail, in their order."""
        columns = ", ".join(f'"{name}"' for name in ("row", "place", "kind", "prompt_key", "fails", *CHECKS))
        which = f"shard = {number} AND fails" if failing else f"shard = {number}"
        # not by Ibis: translating the expression takes longer than finding the rows
        return self.raw.sql(f"SELECT {columns} FROM flagged WHERE {which} ORDER BY row").to_arrow_table()

    def sound_places(self, number: int) -> np.ndarray:
        """Places of one shard's rows that fail no check of their own."""
        found = self.raw.execute("SELECT place FROM sound WHERE shard = ? ORDER BY place", [number])
        return found.fetchnumpy()["place"]

    def passed(self, rows: pa.Table) -> pa.Table:
        """Of rows with their numbers (``row``), those that passed, in their order."""
        self.raw.register("some_rows", rows.select(["row"]))
        try:
            found = self.raw.sql("SELECT row FROM flagged SEMI JOIN some_rows USING (row) WHERE NOT fails")
            return rows.filter(pc.is_in(rows["row"], found.to_arrow_table()["row"]))
        finally:
            self.raw.unregister("some_rows")

    def to_train(self, number: int, first_key: int) -> np.ndarray:
        """Places of one shard's rows that passed and are not held out, by their prompts' keys."""
        found = self.raw.execute(
            """SELECT place FROM flagged WHERE shard = ? AND NOT fails AND prompt_key >= ? AND kind != 'document'
            ORDER BY prompt_key, row""",
            [number, first_key],
        )
        return found.fetchnumpy()["place"]

    def shard_of(self, row: int) -> tuple[int, int]:
        """A row's shard and its place there."""
        number = bisect_right(self.first, row) - 1
        return number, row - self.first[number]

    def where(self, row: int) -> str:
        """A row for people: its id and source."""
        ((id_, source),) = self.raw.execute("SELECT id, source FROM facts WHERE row = ?", [row]).fetchall()
        return f"{id_} in {source}"

    def house(self, below: int, most: int) -> pa.Table:
        """Held-out pairs that pass their own checks, lowest keys first: row, shard and place."""
        return self.raw.sql(
            """SELECT row, shard, place FROM sound WHERE kind = 'pair' AND prompt_key < ?
            ORDER BY prompt_key, row LIMIT ?""",
            params=[below, most],
        ).to_arrow_table()

    def add_view(self, name: str, columns: str, files: Sequence[Path], shards: Sequence[int] | None = None) -> None:
        """A view over a file a shard (at least one), with the rows' numbers."""
        numbers = range(len(self.first)) if shards is None else shards
        at = [(str(files[number].resolve()), self.first[number]) for number in numbers]
        self.raw.execute(f"CREATE OR REPLACE TEMP TABLE {name}_at (filename VARCHAR, first BIGINT)")
        self.raw.executemany(f"INSERT INTO {name}_at VALUES (?, ?)", at)
        listed = ", ".join(f"'{path}'" for path in dict.fromkeys(path for path, _ in at))  # shards may share a file
        self.raw.execute(
            f"CREATE OR REPLACE TEMP VIEW {name} AS SELECT a.first + f.file_row_number AS row, {columns} "
            f"FROM read_parquet([{listed}], filename = true, file_row_number = true) f "
            f"JOIN {name}_at a USING (filename)"
        )

    @contextmanager
    def parts(self, name: str, new: Sequence[int], old: Sequence[int]) -> Iterator[tuple[str, str | None]]:
        """Views ``NAME_new`` and ``NAME_old`` of a feature's files, by shards; None where there is no old one."""
        files = self._features[name]
        self.add_view(f"{name}_new", "f.* EXCLUDE (filename, file_row_number)", files, new)
        if old:
            self.add_view(f"{name}_old", "f.* EXCLUDE (filename, file_row_number)", files, old)
        yield f"{name}_new", f"{name}_old" if old else None


@contextmanager
def open_session(
    facts: Sequence[Path],
    folder: Path,
    shards: Sequence[Shard],
    features: dict[str, list[Blob]],
    limits: Limits,
    store: Store,
    spark: str | None = None,
) -> Iterator[Session]:
    """A session over the facts' files, with its database in ``folder``.

    Args:
        features: for each feature that isn't among the facts, a file a shard.
        spark: master of the Spark that flags rows and looks for near ones; None: DuckDB does.
    """
    connection = ibis.duckdb.connect(folder / "night.duckdb")
    with ExitStack() as ending:
        ending.callback(connection.disconnect)
        raw = connection.con
        raw.execute(f"SET memory_limit = '{MEMORY}'")
        raw.execute(f"SET temp_directory = '{folder / 'spilled'}'")
        raw.execute("SET preserve_insertion_order = false")
        paths = {name: [store.path(blob.digest_) for blob in blobs] for name, blobs in features.items()}
        paths["rows"] = [store.path(shard.rows.digest_) for shard in shards]
        engine = ending.enter_context(open_spark(spark, folder)) if spark else None
        session = Session(connection, facts, shards, paths, limits, engine)
        connection.create_view("sound", sound(session.facts, limits))
        session.add_view("texts", "f.prompt_text, f.chosen_text, f.rejected_text", paths["rows"])
        session.add_view("grams", "f.grams, f.prompt", paths["ngrams"])
        yield session
