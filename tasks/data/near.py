"""Rows that say nearly the same, or nearly the same the other way round: found by bands, proven by exact similarity.

Two rows are near-duplicates where their prompts, their chosen and their rejected answers each have a Jaccard
similarity of 0.8 or more; they contradict each other where the answers are alike crosswise. Tables are DuckDB's, by
name, so that what doesn't fit into memory lies in its temporary folder; texts are read for candidates only.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from tasks.data.connection import Connection
from tasks.data.features.signatures import BANDS
from tasks.data.jaccard import Sets, relations
from tasks.data.words import TEXTS

THRESHOLD = 0.8
MOST_COMPARED = 20  # each row of a band is compared with so many of the earliest that share it
MOST_AT_ONCE = 1_000_000  # rows times bands joined in one statement
MOST_SHINGLES = 20_000_000  # of rows verified at once: 160 MB
PAIRS = pa.schema(
    [
        pa.field("a", pa.int64()),
        pa.field("b", pa.int64()),
        pa.field("relation", pa.string()),
        pa.field("similarity", pa.float64()),
    ]
)
TABLES = ("near_words", "near_same", "near_copies", "near_kin", "near_rows", "near_band", "near_met", "near_candidates")


class Found(NamedTuple):
    """What a search found.

    Attributes:
        pairs: ``a``, ``b`` (rows, a < b), ``relation`` (``duplicate`` or ``contradiction``), ``similarity`` (least of
            prompt and both answers). Of rows equal in all words the first stands for all: each copy is paired with
            it, and with what it is near to, not with the other copies.
        candidates: pairs compared.
        hot: bands that so many different rows share that comparisons were skipped.
        skipped: those comparisons, of two rows that are both later than the first ``most_compared`` of their band; a
            pair counts in every band anew, and it may have been compared in another one.
    """

    pairs: pa.Table
    candidates: int
    hot: int
    skipped: int


class Left(NamedTuple):
    """Why rows leave: ``duplicate`` of an earlier row that stays, or a side of a ``contradiction``; ``because`` of
    ``row``s.
    """

    row: int
    reason: str
    because: int


def find(
    connection: Connection,
    new: str,
    texts: str,
    *,
    old: str | None = None,
    threshold: float = THRESHOLD,
    most_compared: int = MOST_COMPARED,
) -> Found:
    """Pairs of near-duplicate or contradicting rows with at least one new row.

    Args:
        new, old: names of tables or views with ``row`` (int64, of one row each) and what ``features.signatures``
            computes; rows without a signature are ignored. Rows that left for other reasons (in quarantine, taken back
            by their annotator) must not be among them: others would leave for their sake.
        texts: name of a table or view with ``row`` and the three texts, of new and old rows.
    """
    try:
        _collapse(connection, new, old)
        hot, skipped = _meet(connection, old is not None, most_compared, threshold)
        near = list(_verify(connection, texts, threshold))
        connection.register("near_pairs", pa.concat_tables([PAIRS.empty_table(), *near]))
        pairs = connection.sql(WITH_COPIES).to_arrow_table().cast(PAIRS)
        return Found(pairs, _number(connection, "SELECT count(*) FROM near_candidates"), hot, skipped)
    finally:
        connection.unregister("near_pairs")
        for name in TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {name}")


def leaving(pairs: pa.Table) -> list[Left]:
    """Which rows leave, by the pairs among them; by row.

    All sides of a contradiction leave, and with them every direct duplicate of a side, as it says the same. Of the
    others a row leaves if it is a direct duplicate of an earlier row that stays: similarity is not passed on along a
    chain, so that the first of a slowly drifting series doesn't take the last with it.
    """
    left: dict[int, Left] = {}
    earlier: dict[int, list[int]] = {}
    duplicates = []
    for a, b, relation in sorted(zip(*(pairs[name].to_pylist() for name in ("a", "b", "relation")), strict=True)):
        if relation == "contradiction":
            left.setdefault(a, Left(a, relation, b))
            left.setdefault(b, Left(b, relation, a))
        else:
            duplicates.append((a, b))
            earlier.setdefault(b, []).append(a)
    sides = set(left)
    for a, b in duplicates:
        for row, other in ((a, b), (b, a)):
            if other in sides:
                left.setdefault(row, Left(row, "contradiction", other))
    for row in sorted(earlier):
        kept = next((other for other in earlier[row] if other not in left), None)
        if row not in left and kept is not None:
            left[row] = Left(row, "duplicate", kept)
    return [left[row] for row in sorted(left)]


def _collapse(connection: Connection, new: str, old: str | None) -> None:
    """Rows of equal words are one: ``near_rows`` has the first of each, ``near_copies`` the others.

    Of old rows ``near_rows`` has those alone that share a band with a new one: most of a million old rows are kin of
    none of ten thousand. Rows of equal words have equal bands, so that the kin of what a new row copies is among them.
    """
    sources = f"SELECT *, true AS is_new FROM {new}" + (f" UNION ALL SELECT *, false FROM {old}" if old else "")
    connection.execute(
        f"CREATE TEMP TABLE near_words AS SELECT row, words, side, is_new FROM ({sources}) WHERE words IS NOT NULL"
    )
    connection.execute(
        """CREATE TEMP TABLE near_same AS
        SELECT words, min(row) AS first, arg_min(side, row) AS side FROM near_words
        GROUP BY words HAVING count(*) > 1 AND bool_or(is_new)"""
    )
    connection.execute(
        """CREATE TEMP TABLE near_copies AS
        SELECT row, is_new, first, near_words.side = near_same.side AS straight
        FROM near_words JOIN near_same USING (words) WHERE row != first"""
    )
    if old:
        connection.execute(
            f"""CREATE TEMP TABLE near_kin AS
            WITH asked AS (SELECT DISTINCT unnest(bands) AS band FROM {new})
            SELECT DISTINCT row FROM (SELECT row, unnest(bands) AS band FROM {old}) SEMI JOIN asked USING (band)"""
        )
    kin = "AND (is_new OR row IN (SELECT row FROM near_kin))" if old else ""
    bands = ", ".join(f"bands[{band + 1}] AS band{band}" for band in range(BANDS))
    connection.execute(
        f"""CREATE TEMP TABLE near_rows AS
        SELECT row, is_new OR row IN (SELECT first FROM near_copies) AS is_new, prompt_size, answers_size,
            {bands} FROM ({sources})
        WHERE words IS NOT NULL AND row NOT IN (SELECT row FROM near_copies) {kin}"""
    )


def _meet(connection: Connection, has_old: bool, most: int, threshold: float) -> tuple[int, int]:
    """Fill ``near_candidates`` with the pairs that share a band and have sizes that may be alike; say what was
    skipped.
    """
    connection.execute("CREATE TEMP TABLE near_met (a BIGINT, b BIGINT)")
    hot = skipped = 0
    at_once = max(1, MOST_AT_ONCE // max(_number(connection, "SELECT count(*) FROM near_rows"), 1))
    for numbers in (range(BANDS)[start : start + at_once] for start in range(0, BANDS, at_once)):
        members = " UNION ALL ".join(_members(f"band{number}", has_old) for number in numbers)
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE near_band AS
            SELECT *, row_number() OVER (PARTITION BY band ORDER BY row) AS place FROM ({members})"""
        )
        connection.execute(
            f"""INSERT INTO near_met SELECT x.row, y.row FROM near_band x JOIN near_band y
            ON x.band = y.band AND x.place < y.place
            WHERE x.place <= {most} AND (x.is_new OR y.is_new)
            AND least(x.prompt, y.prompt) / greatest(x.prompt, y.prompt) >= {threshold}
            AND least(x.answers, y.answers) / greatest(x.answers, y.answers) >= {threshold}"""
        )
        # of n later rows n (n - 1) / 2 comparisons, without those of two old ones
        counted = connection.execute(
            f"""SELECT count(*), coalesce(sum(n * (n - 1) // 2 - o * (o - 1) // 2), 0)::BIGINT FROM (
            SELECT count(*) AS n, count(*) FILTER (NOT is_new) AS o FROM near_band WHERE place > {most} GROUP BY band)
            WHERE n > 1 AND n > o"""
        ).fetchall()[0]
        hot, skipped = hot + counted[0], skipped + counted[1]
    connection.execute(
        f"""CREATE TEMP TABLE near_candidates AS
        SELECT a, b, (sum(x.prompt_size + x.answers_size + y.prompt_size + y.answers_size) OVER
            (ORDER BY a, b ROWS UNBOUNDED PRECEDING) // {MOST_SHINGLES})::BIGINT AS portion
        FROM (SELECT DISTINCT a, b FROM near_met) JOIN near_rows x ON x.row = a JOIN near_rows y ON y.row = b"""
    )
    return hot, skipped


def _members(band: str, has_old: bool) -> str:
    """The rows that share a band with another, or with a new one."""
    shared = "WHERE is_new" if has_old else f"GROUP BY {band} HAVING count(*) > 1"
    return f"""SELECT {band} AS band, row, is_new, prompt_size AS prompt, answers_size AS answers
        FROM near_rows WHERE {band} IN (SELECT {band} FROM near_rows {shared})"""


def _verify(connection: Connection, texts: str, threshold: float) -> Iterator[pa.Table]:
    """The candidates that are near indeed, portion by portion."""
    portions = connection.execute("SELECT DISTINCT portion FROM near_candidates ORDER BY portion").fetchall()
    for (portion,) in portions:
        chosen = f"FROM near_candidates WHERE portion = {portion}"
        candidates = connection.sql(f"SELECT a, b {chosen}").to_arrow_table()
        rows = connection.sql(
            f"""SELECT row, {", ".join(TEXTS)} FROM {texts}
            WHERE row IN (SELECT a {chosen} UNION SELECT b {chosen})"""
        ).to_arrow_reader(10_000)
        names: list[pa.ChunkedArray | pa.Array] = []
        sets = Sets(_noting(rows, names))
        row = np.concatenate([name.to_numpy() for name in names])
        order = np.argsort(row)
        a, b = (order[np.searchsorted(row[order], candidates[name].to_numpy())] for name in ("a", "b"))
        near = relations(sets, a, b, threshold)
        pairs = candidates.take(near["pair"])
        yield pairs.append_column("relation", near["relation"]).append_column("similarity", near["similarity"])


def _noting(rows: pa.RecordBatchReader, names: list[pa.ChunkedArray | pa.Array]) -> Iterator[pa.Table]:
    for batch in rows:
        names.append(batch["row"])
        yield pa.Table.from_batches([batch])


def _number(connection: Connection, query: str) -> int:
    return connection.execute(query).fetchall()[0][0]  # all: a result left half read blocks its connection


# in DuckDB and in Spark: a copy is near to what its first is near to, the other way round if it is swapped; two old
# rows are no finding
WITH_COPIES = """
    WITH firsts AS (SELECT a, b, relation = 'duplicate' AS straight, similarity FROM near_pairs),
    found AS (
        SELECT a, b, straight, similarity FROM firsts
        UNION ALL SELECT first, row, straight, 1.0 FROM near_copies
        UNION ALL SELECT a, row, firsts.straight = near_copies.straight, similarity
            FROM firsts JOIN near_copies ON first = b
        UNION ALL SELECT row, b, firsts.straight = near_copies.straight, similarity
            FROM firsts JOIN near_copies ON first = a)
    SELECT least(a, b) AS a, greatest(a, b) AS b, if(straight, 'duplicate', 'contradiction') AS relation, similarity
    FROM found JOIN near_words x ON x.row = a JOIN near_words y ON y.row = b
    WHERE x.is_new OR y.is_new ORDER BY a, b"""
