"""A real Slurm, a real Prefect server and a real worker, for all tests here; a fresh work folder for each."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra.attempts import AttemptLog, attempts_of
from infra.pools.base import Program
from infra.pools.slurm import AmdSlurmPool
from infra.settings import ROOT, Settings, child_environment
from infra.slurm.script import SlurmOptions
from tests.slurm.cluster import Cluster, cluster, missing

# the entry point that `prefect worker start` finds the type by is there only where this checkout is installed
# asked by SIGUSR2, it says where it is
_WORKER = (
    "import faulthandler, signal; faulthandler.register(signal.SIGUSR2, all_threads=True); "
    "import infra.slurm.worker; from prefect.cli import app; app()"
)


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


class Site:
    """A state folder with Prefect's server and, as long as it is not killed, one Slurm worker."""

    def __init__(self, home: Path, port: int, slurm: Cluster) -> None:
        self.home, self.slurm = home, slurm
        self.url = f"http://127.0.0.1:{port}/api"
        settings = Settings.model_validate({"home": home, "prefect_api_url": self.url})
        self.environment = {
            **child_environment(settings),
            **slurm.environment,
            "NIGHTSHIFT_PREFECT_API_URL": self.url,
            "NIGHTSHIFT_SLURM_POLL_SECONDS": "1",
            "PREFECT_WORKER_QUERY_SECONDS": "2",
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home}/prefect.db",
            "NIGHTSHIFT_PLANTED_PASSWORD": "must-not-reach-a-job",
        }
        self._worker: subprocess.Popen[bytes] | None = None

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self.home / "logs.txt").open("ab")
        return subprocess.Popen(words, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True)

    def start_worker(self) -> None:
        self._worker = self.start(
            sys.executable, "-c", _WORKER, "worker", "start", "--pool", "amd-slurm", "--type", "nightshift-slurm"
        )

    def kill_worker(self, number: int = signal.SIGKILL) -> None:
        assert self._worker is not None
        os.killpg(self._worker.pid, number)
        try:
            self._worker.wait(60)
        except subprocess.TimeoutExpired:
            self._worker.send_signal(signal.SIGUSR2)
            time.sleep(2)
            self._worker.kill()
            raise AssertionError(f"the worker does not end:\n{self.logs()[-6000:]}") from None

    def logs(self) -> str:
        return (self.home / "logs.txt").read_text()


@pytest.fixture(scope="session")
def site(slurm: Cluster, tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Iterator[Site]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Site(tmp_path_factory.mktemp("site"), port, slurm)
    server = made.start(sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    end = time.monotonic() + 120
    while True:
        try:
            if httpx.get(f"{made.url}/health", trust_env=False).is_success:
                break
        except httpx.TransportError:
            pass
        assert time.monotonic() < end, made.logs()[-3000:]
        assert server.poll() is None, made.logs()[-3000:]
        time.sleep(0.3)
    patch.setenv("NIGHTSHIFT_HOME", str(made.home))
    patch.setenv("NIGHTSHIFT_PREFECT_API_URL", made.url)
    patch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    with temporary_settings({PREFECT_API_URL: made.url}):
        made.start_worker()
        yield made
    made.kill_worker(signal.SIGTERM)
    server.terminate()
    server.wait(60)


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

    def run(
        self,
        pool: AmdSlurmPool,
        mode: str = "count",
        steps: int = 3,
        seconds: float = 0.2,
        on_event: Any = None,
        **program: Any,
    ) -> dict[str, Any]:
        work = self.folder / "work"
        work.mkdir(exist_ok=True)
        spec = {"mode": mode, "steps": steps, "seconds": seconds, "checkpoint": str(self.checkpoint)}
        (work / "spec.json").write_text(json.dumps(spec))

        def handle(event: dict[str, Any]) -> None:
            self.events.append(event)
            if on_event is not None:
                on_event(event)

        asked = Program(
            module="tests.slurm.program", spec=str(work / "spec.json"), result=str(work / "result.json"), **program
        )
        with self.log.attempt("align", "run", pool.device()):
            pool.run(asked, handle)
        return json.loads((work / "result.json").read_text())

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
