"""``tasks.data.near`` on Spark: candidates by its MinHashLSH, proven by the same counting.

Its own join has a pair for a candidate if any one of its hashes agrees: with the four that pairs at 0.8 need, so do
three in four pairs at 0.3, and nothing bounds it where many rows agree. So the hashes are its own, and they are banded
as our signatures are (``features.signatures``): a band is ``WIDTH`` hashes of the prompt and ``WIDTH`` of the answers,
and rows at 0.8 in every part share one of ``BANDS`` with probability 0.998.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tasks.data.features.signatures import BANDS, SEED, WIDTH
from tasks.data.near import MOST_COMPARED, PAIRS, THRESHOLD, WITH_COPIES, Found
from tasks.data.spark.files import Part, numbered, read
from tasks.data.spark.on_executors import PROVEN, SHINGLED, prove, shingle
from tasks.data.words import TEXTS

ROWS_HASHED = 5_000  # by one task: a second or two, so that few rows keep many cores busy
PLACES = 1 << 30  # shingles are hashed to so many; below MinHashLSH's prime, 2,038,074,743


def find(
    spark: Any,
    parts: Sequence[Part],
    folder: Path,
    *,
    threshold: float = THRESHOLD,
    most_compared: int = MOST_COMPARED,
) -> Found:
    """Pairs of near-duplicate or contradicting rows with at least one new row, as ``tasks.data.near.find`` gives them.

    Args:
        folder: a folder of this search alone, that executors write and read.
    """
    signed = [(part.signatures, part.first, part.is_new) for part in parts]
    words = numbered(spark, signed, "words", "side", "prompt_size", "answers_size").where("words IS NOT NULL")
    words.createOrReplaceTempView("near_words")
    texts = numbered(spark, [(part.rows, part.first, part.is_new) for part in parts], *TEXTS).drop("is_new")
    texts.createOrReplaceTempView("near_texts")
    _collapse(spark)
    tasks = 1 + sum(part.n_rows for part in parts) // ROWS_HASHED
    _kept(spark, _members(_hashed(spark, tasks)), "near_members", folder)
    _kept(spark, spark.sql(_met(threshold, most_compared)), "near_candidates", folder)
    proven = spark.sql(_TEXTS_OF_CANDIDATES).mapInArrow(functools.partial(prove, threshold=threshold), PROVEN)
    _kept(spark, proven, "near_pairs", folder)
    hot, skipped = spark.sql(_skipped(most_compared)).first()
    candidates = spark.table("near_candidates").count()
    pairs = spark.sql(WITH_COPIES).toArrow().cast(PAIRS)
    return Found(pairs.sort_by([("a", "ascending"), ("b", "ascending")]), candidates, hot, skipped)


def _kept(spark: Any, frame: Any, name: str, folder: Path) -> None:
    """Compute once, and read what was written: a view alone is computed by every statement that names it."""
    frame.write.parquet(f"file://{folder / name}")
    read(spark, [folder / name]).createOrReplaceTempView(name)


def _collapse(spark: Any) -> None:
    """Rows of equal words are one: ``near_rows`` has the first of each, ``near_copies`` the others."""
    spark.sql(
        """SELECT *, min(row) OVER same AS first, min_by(side, row) OVER same AS first_side,
            bool_or(is_new) OVER same AS some_new
        FROM near_words WINDOW same AS (PARTITION BY words)"""
    ).createOrReplaceTempView("near_known")
    spark.sql(
        """SELECT row, is_new, first, side = first_side AS straight FROM near_known
        WHERE some_new AND row != first"""
    ).createOrReplaceTempView("near_copies")
    spark.sql(
        """SELECT row, some_new AS is_new, prompt_size, answers_size FROM near_known
        WHERE row = first OR NOT some_new"""
    ).createOrReplaceTempView("near_rows")


def _hashed(spark: Any, tasks: int) -> Any:
    """Each row of ``near_rows`` and its bands: one line a band."""
    from pyspark.ml.feature import HashingTF, MinHashLSH  # pyright: ignore[reportMissingImports]  an extra

    frame = spark.sql(f"SELECT r.*, {', '.join(TEXTS)} FROM near_rows r JOIN near_texts USING (row)")
    frame = frame.repartition(tasks).mapInArrow(shingle, SHINGLED)
    for number, part in enumerate(("prompt", "answers")):
        # each shingle a place: only whether it is there counts
        folded = HashingTF(inputCol=part, outputCol=f"{part}_set", numFeatures=PLACES, binary=True).transform(frame)
        lsh = MinHashLSH(
            inputCol=f"{part}_set", outputCol=f"{part}_hashes", numHashTables=BANDS * WIDTH, seed=SEED + number
        )
        frame = lsh.fit(folded).transform(folded)
    slices = ", ".join(f"slice({part}_hashes, {WIDTH} * n + 1, {WIDTH})" for part in ("prompt", "answers"))
    return frame.selectExpr(
        "row", "is_new", "prompt_size", "answers_size",
        f"explode(transform(sequence(0, {BANDS - 1}), n -> xxhash64(n, {slices}))) AS band",
    )  # fmt: skip


def _members(hashed: Any) -> Any:
    """The rows that share a band with another one, a new one among them, and each one's place among them."""
    return hashed.selectExpr(
        "*", "count(*) OVER (PARTITION BY band) AS n", "bool_or(is_new) OVER (PARTITION BY band) AS some_new",
        "row_number() OVER (PARTITION BY band ORDER BY row) AS place",
    ).where("n > 1 AND some_new").drop("n", "some_new")  # fmt: skip


def _met(threshold: float, most: int) -> str:
    """The pairs that share a band and have sizes that may be alike."""
    return f"""SELECT DISTINCT x.row AS a, y.row AS b FROM near_members x JOIN near_members y
        ON x.band = y.band AND x.place < y.place
        WHERE x.place <= {most} AND (x.is_new OR y.is_new)
        AND least(x.prompt_size, y.prompt_size) / greatest(x.prompt_size, y.prompt_size) >= {threshold}
        AND least(x.answers_size, y.answers_size) / greatest(x.answers_size, y.answers_size) >= {threshold}"""


def _skipped(most: int) -> str:
    """Hot bands, and their comparisons that were left out: of n later rows n (n - 1) / 2, without those of two old."""
    return f"""SELECT count(*), coalesce(sum(n * (n - 1) div 2 - o * (o - 1) div 2), 0) FROM (
        SELECT count(*) AS n, count_if(NOT is_new) AS o FROM near_members WHERE place > {most} GROUP BY band)
        WHERE n > 1 AND n > o"""


_TEXTS_OF_CANDIDATES = f"""
    WITH wanted AS (SELECT a AS row FROM near_candidates UNION SELECT b FROM near_candidates),
    some AS (SELECT t.* FROM near_texts t LEFT SEMI JOIN wanted USING (row))
    SELECT a, b, {", ".join(f"x.{name} AS a_{name}" for name in TEXTS)},
        {", ".join(f"y.{name} AS b_{name}" for name in TEXTS)}
    FROM near_candidates JOIN some x ON x.row = a JOIN some y ON y.row = b"""
