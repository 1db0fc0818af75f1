"""A state folder with a real Prefect server and a real Slurm worker, beside a cluster."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from infra.settings import ROOT, Settings, child_environment
from tests.slurm.cluster import Cluster

# the entry point that `prefect worker start` finds the type by is there only where this checkout is installed
_WORKER = "import infra.slurm.worker; from prefect.cli import app; app()"


class Site:
    """Prefect's server and, as long as it is not killed, one Slurm worker."""

    def __init__(self, home: Path, port: int, slurm: Cluster, extra: Mapping[str, str]) -> None:
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
            **extra,
        }
        self._worker: subprocess.Popen[bytes] | None = None

    @property
    def worker(self) -> int:
        """The worker's process."""
        assert self._worker is not None
        return self._worker.pid

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        with (self.home / "logs.txt").open("ab") as log:
            return subprocess.Popen(
                words, cwd=ROOT, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )

    def start_worker(self) -> None:
        self._worker = self.start(
            sys.executable, "-c", _WORKER, "worker", "start", "--pool", "amd-slurm", "--type", "nightshift-slurm"
        )

    def kill_worker(self) -> None:
        """Without a word: what any worker of ours must survive (and how it ends, see docs/design/slurm.md)."""
        assert self._worker is not None
        os.killpg(self._worker.pid, signal.SIGKILL)
        self._worker.wait(60)

    def logs(self) -> str:
        return (self.home / "logs.txt").read_text()


@contextmanager
def started(home: Path, slurm: Cluster, extra: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A site whose server answers and whose worker has begun; both are gone afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    made = Site(home, port, slurm, extra or {})
    server = made.start(sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port))
    end = time.monotonic() + 120
    while not _answers(made.url):
        assert time.monotonic() < end, made.logs()[-3000:]
        assert server.poll() is None, made.logs()[-3000:]
        time.sleep(0.3)
    made.start_worker()
    try:
        yield made
    finally:
        made.kill_worker()
        server.terminate()
        server.wait(60)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.TransportError:
        return False
