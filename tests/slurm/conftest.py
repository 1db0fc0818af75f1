"""A real Slurm, a real Prefect server and a real worker, for all tests here; a fresh work folder for each."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.attempts import AttemptLog, attempts_of
from infra.pools.base import Program
from infra.pools.slurm import AmdSlurmPool
from infra.slurm.script import SlurmOptions
from tests.slurm.cluster import Cluster, cluster, missing
from tests.slurm.site import Site, started


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if absent := missing():
        pytest.fail(f"not installed: {absent}; `make test-slurm` installs them")
    if os.geteuid() != 0:
        pytest.fail("a cluster of fake GPUs needs root (mknod, munged)")
    with cluster(tmp_path_factory.mktemp("slurm")) as made:
        yield made


@pytest.fixture(scope="session")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as made:
        yield made


@pytest.fixture(scope="session")
def site(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Iterator[Site]:
    with started(tmp_path_factory.mktemp("site"), slurm) as made:
        patch.setenv("NIGHTSHIFT_HOME", str(made.home))
        patch.setenv("NIGHTSHIFT_PREFECT_API_URL", made.url)
        patch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
        with temporary_settings({PREFECT_API_URL: made.url}):
            yield made


class Shift:
    """One program to run on the pool, its attempt log, and what came of it."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site, self.folder = site, folder
        folder.mkdir(parents=True)
        self.log = AttemptLog(folder / "attempts.jsonl")
        self.events: list[dict[str, Any]] = []
        self.checkpoint = folder / "checkpoint"

    def pool(self, **fields: Any) -> AmdSlurmPool:
        options = fields.pop("slurm", {})
        common: dict[str, Any] = {"gpus_per_node": 2, "cpus_per_node": 1, "hours": 0.5, "restarts": 1}
        return AmdSlurmPool(**{**common, **fields}, slurm=SlurmOptions(account="nightshift", **options))

    def program(self, mode: str = "count", steps: int = 3, seconds: float = 0.2, **fields: Any) -> Program:
        """A program with its spec in this shift's work folder."""
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        spec = {"mode": mode, "steps": steps, "seconds": seconds, "checkpoint": str(self.checkpoint)}
        (work / "spec.json").write_text(json.dumps(spec))
        return Program(
            module="tests.slurm.program", spec=str(work / "spec.json"), result=str(work / "result.json"), **fields
        )

    def run(self, pool: AmdSlurmPool, mode: str = "count", on_event: Any = None, **program: Any) -> dict[str, Any]:
        asked = self.program(mode, **program)

        def handle(event: dict[str, Any]) -> None:
            self.events.append(event)
            if on_event is not None:
                on_event(event)

        with self.log.attempt("align", "run", pool.device()):
            pool.run(asked, handle)
        return json.loads((self.folder / "work" / "result.json").read_text())

    @property
    def attempt(self) -> Any:
        return attempts_of(self.log.entries())[-1]

    def jobs(self) -> list[str]:
        """Every job that was submitted for this shift, by its launch plans' keys."""
        launch = json.loads((self.folder / "work" / "launch.json").read_text())
        first = launch["key"].rpartition("-")[0]
        found = self.site.slurm.command("sacct", "-X", "-n", "-P", "--format", "JobIDRaw,JobName", "-S", "now-1days")
        return [line.split("|")[0] for line in found.splitlines() if line.split("|")[1].startswith(first)]

    def sacct(self, job: str) -> list[tuple[str, int, int]]:
        """State, seconds and GPUs of each of a job's allocations, as sacct prints them."""
        text = self.site.slurm.command(
            "sacct", "-j", job, "-D", "-X", "-n", "-P", "--format", "State,ElapsedRaw,AllocTRES", "-S", "now-1days"
        )
        rows = [line.split("|") for line in text.splitlines()]
        return [
            (state, int(seconds), int(tres.partition("gres/gpu=")[2].split(",")[0] or 0))
            for state, seconds, tres in rows
        ]


@pytest.fixture
def shift(site: Site, request: pytest.FixtureRequest) -> Shift:
    return Shift(site, site.home / "work" / request.node.name[:60])
