"""A night's data on a Spark cluster of its own processes: a standalone master and one worker, on this machine."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.store import Store
from tests.conftest import write_pairs
from tests.data_place import preferences_of, snapshot_of
from tests.spark.test_spark_night import DATA, GATE, odd_lines

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1200)]  # executors of their own start slowly on a busy machine


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """``spark://…`` of a master with one worker of one core; both listen on this machine's own address only."""
    import pyspark  # pyright: ignore[reportMissingImports]  an extra

    home, port = Path(str(pyspark.__file__)).parent, free_port()
    run, log = [str(home / "bin" / "spark-class")], tmp_path / "cluster.log"
    at = ["--host", "127.0.0.1", "--webui-port", "0"]
    deploy, address = "org.apache.spark.deploy", f"spark://127.0.0.1:{port}"
    commands = (
        [*run, f"{deploy}.master.Master", *at, "--port", str(port)],
        [*run, f"{deploy}.worker.Worker", *at, "--cores", "1", "--memory", "1g", "--work-dir", str(tmp_path), address],
    )
    environment = {**os.environ, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}
    started = []
    try:
        for command in commands:
            with log.open("ab") as file:
                started.append(subprocess.Popen(command, stdout=file, stderr=file, env=environment))
        deadline = time.monotonic() + 60
        while "Successfully registered with master" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait(30)


def test_a_night_on_a_cluster_makes_the_preferences_that_duckdb_makes(
    cluster: str, tmp_path: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    write_pairs(tmp_path / "a.jsonl", 160)
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write("\n".join(odd_lines(0)[10:]) + "\n")
    store = Store(tmp_path / "store")
    snapshot = snapshot_of((str(tmp_path / "a.jsonl"),), tmp_path, store)
    found = []
    for name, master in (("duckdb", None), ("cluster", cluster)):
        (tmp_path / name).mkdir()
        found.append(preferences_of(snapshot, DATA, tiny_model, GATE, tmp_path / name, store, master))
    here, there = (one.model_dump(exclude={"data_docs", "page"}) for one in found)
    assert here == there
    assert [*tmp_path.glob("app-*/0")], "no executor ran"
