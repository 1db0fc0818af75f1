"""A Spark session for one night, and what the night asks of it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from infra.settings import ROOT
from tasks.data.checks import profile
from tasks.data.near import Found
from tasks.data.spark import near
from tasks.data.spark.files import Part, read
from tasks.errors import EngineError

SETTING = "NIGHTSHIFT_SPARK_MASTER"
# what results or safety depend on; all else is Spark's own configuration (spark-defaults.conf)
SETTINGS = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.maxRecordsPerBatch": "2000",  # of three texts each
    "spark.executorEnv.PYTHONPATH": str(ROOT),
    "spark.ui.enabled": "false",  # it has no login
    "spark.ui.showConsoleProgress": "false",
}
LOCAL = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}


class Engine:
    """Spark, as a night uses it.

    Attributes:
        spark: Spark's own session.
        folder: where tables lie that go from one statement to the next; executors read and write it.
    """

    def __init__(self, spark: Any, folder: Path) -> None:
        self.spark, self.folder = spark, folder

    def flag(
        self, facts: Sequence[Path], marks: pa.Table, gate_keys: pa.Table, flags: Callable[[Any, Any, Any], Any]
    ) -> tuple[list[Path], dict[str, Any]]:
        """Parquet files with the flags of all rows, in the rows' order, and the profile.

        Args:
            facts: files of ``tasks.data.facts``.
            flags: the Ibis expression over facts, marks and the gate's keys.
        """
        connection = ibis.pyspark.connect(self.spark)
        read(self.spark, facts).createOrReplaceTempView("facts")
        for name, table in (("marks", marks), ("gate_keys", gate_keys)):
            pq.write_table(table, self.folder / f"{name}.parquet")
            read(self.spark, [self.folder / f"{name}.parquet"]).createOrReplaceTempView(name)
        found = flags(*(connection.table(name) for name in ("facts", "marks", "gate_keys")))
        target = self.folder / "flagged"
        self.spark.sql(connection.compile(found.order_by("row"))).write.parquet(f"file://{target}")
        # of what was written, so that nothing is computed twice
        self.spark.read.parquet(f"file://{target}").createOrReplaceTempView("flagged")
        figures = connection.to_pyarrow(profile(connection.table("flagged"))).to_pylist()[0]
        return sorted(target.glob("*.parquet")), figures

    def near(self, parts: Sequence[Part]) -> Found:
        """Near pairs with at least one new row."""
        folder = self.folder / f"near-{uuid4().hex[:8]}"
        folder.mkdir()
        return near.find(self.spark, parts, folder)


def require(master: str | None) -> None:
    """Whether Spark can be asked for at all: said before a night has computed anything.

    Raises:
        EngineError: it is asked for and isn't installed.
    """
    if master is not None and find_spec("pyspark") is None:
        raise EngineError(
            f"{SETTING}={master!r} sends the checks to Spark, but pyspark is not installed in {sys.executable}",
            do="run `pip install --no-deps -c constraints.txt pyspark py4j` there and install Java 17, "
            f"or unset {SETTING} to check in DuckDB",
        )


@contextmanager
def open_spark(master: str, folder: Path) -> Iterator[Engine]:
    """Spark at ``master`` until the night's checks are done.

    Args:
        master: ``local[*]``, ``spark://host:7077``, …: whatever Spark takes.
        folder: an existing folder; on a cluster one that its machines share.

    Raises:
        EngineError: Spark isn't installed, doesn't start, or fails at a statement.
    """
    require(master)
    from py4j.protocol import Py4JError  # pyright: ignore[reportMissingImports]  an extra
    from pyspark.errors import PySparkException  # pyright: ignore[reportMissingImports]
    from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]

    work = folder / "spark"
    work.mkdir()
    builder = SparkSession.builder.master(master).appName("nightshift").config("spark.sql.warehouse.dir", str(work))
    for name, value in (SETTINGS | (LOCAL if master.startswith("local") else {})).items():
        builder = builder.config(name, value)
    spark: Any = None
    try:
        spark = builder.getOrCreate()
        yield Engine(spark, work)
    except (PySparkException, Py4JError) as error:
        doing = "start" if spark is None else "do what it was asked"
        said = " ".join(str(error).split("\n")[:2])  # of Java's errors the second line has the cause
        raise EngineError(
            f"Spark ({SETTING}={master!r}) could not {doing}: {said:.500}",
            do="look at Spark's own lines above (it needs Java 17; its machines this checkout, its packages and HOME), "
            f"or unset {SETTING} to check in DuckDB",
        ) from error
    finally:
        if spark is not None:
            spark.stop()
