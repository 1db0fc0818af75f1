"""One DuckDB for a night's set checks, on disk: what doesn't fit its memory is spilled."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from tasks.data.checks import CHECKS, Limits, flags, profile

MEMORY = "1GB"

Table = Any


class Session:
    """Facts and flags of one snapshot."""

    def __init__(self, connection: Any, facts: Table) -> None:
        self._connection, self.facts = connection, facts
        self.flagged: Table = None

    def flag(self, marks: pa.Table, gate_keys: Sequence[int], limits: Limits) -> dict[str, Any]:
        """Run the set checks; returns the profile.

        Args:
            marks: ``row`` and one boolean column for each finding of the graph and the near-duplicates.
            gate_keys: keys of the prompts of the gate's items.
        """
        marks_ = self._connection.create_table("marks", ibis.memtable(marks))
        keys = pa.table({"prompt_key": pa.array(sorted(set(gate_keys)), pa.int64())})
        known = self._connection.create_table("gate_keys", ibis.memtable(keys))
        found = with_marks(self.facts, marks_, known)
        # in the rows' order, so that one shard's flags lie together
        self.flagged = self._connection.create_table("flagged", flags(found, limits).order_by("row"))
        return profile(self.flagged).to_pyarrow().to_pylist()[0]

    def of_shard(self, number: int) -> pa.Table:
        """Flags of one shard's rows, in their order."""
        found = self.flagged.filter(self.flagged.shard == number).order_by("row")
        return found.select("row", "place", "kind", "prompt_key", "fails", *CHECKS).to_pyarrow()

    def query(self, expression: Table) -> pa.Table:
        return expression.to_pyarrow()


def with_marks(facts: Table, marks: Table, gate_keys: Table) -> Table:
    """Facts, with what was found of rows in the light of all others."""
    names = [name for name in marks.columns if name != "row"]
    joined = facts.left_join(marks, "row")
    joined = joined.mutate(**{name: joined[name].fill_null(False) for name in names}).drop("row_right")
    known = gate_keys.distinct().mutate(in_gate=True)
    joined = joined.left_join(known, "prompt_key")
    return joined.mutate(in_gate=joined.in_gate.fill_null(False)).drop("prompt_key_right")


@contextmanager
def open_session(facts: Sequence[Path], folder: Path) -> Iterator[Session]:
    """A session over the facts' files, with its database in ``folder``."""
    connection = ibis.duckdb.connect(folder / "night.duckdb")
    try:
        raw = connection.con
        raw.execute(f"SET memory_limit = '{MEMORY}'")
        raw.execute(f"SET temp_directory = '{folder / 'spilled'}'")
        raw.execute("SET preserve_insertion_order = false")
        table = connection.read_parquet([str(path) for path in facts], table_name="facts")
        yield Session(connection, table)
    finally:
        connection.disconnect()
