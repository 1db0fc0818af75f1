"""The pools' contract on a real Slurm."""

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infra.pools.slurm import AmdSlurmPool
from infra.slurm.script import SlurmOptions
from tests.infra.pools.contract import Rig, SchedulerContract
from tests.slurm.site import Site

pytestmark = pytest.mark.slurm


class SlurmRig(Rig):
    """A pool on the cluster; what happens to its job is done to real processes and by real commands."""

    def __init__(self, site: Site, folder: Path) -> None:
        self._site, self.folder = site, folder
        folder.mkdir(parents=True)
        self._down: list[str] = []
        self.pool = self.with_()

    def with_(self, **fields: Any) -> AmdSlurmPool:
        common: dict[str, Any] = {"gpus_per_node": 2, "cpus_per_node": 1, "hours": 0.5, "restarts": 0}
        # started again by us alone, so that each start is a job of its own
        options = SlurmOptions(account="nightshift", requeue=False)
        return AmdSlurmPool(**{**common, **fields}, slurm=options)

    def out_of_memory(self) -> None:
        """As the kernel does; there are no cgroups here that would."""
        for process in psutil.process_iter(["cmdline"]):
            if "tests.pool_program" in (process.info["cmdline"] or []):
                process.send_signal(signal.SIGKILL)

    def lose_node(self) -> None:
        node = self._site.slurm.command("squeue", "-h", "--me", "-t", "R", "-o", "%N")
        self._down.append(node)
        self._site.slurm.stop_node(node)

    def fill(self) -> None:
        self._partition("DOWN")

    def jobs(self) -> int:
        return len(self._site.slurm.command("squeue", "-h", "--me", "-t", "PD,R,CG", "-o", "%i").split())

    def mend(self) -> None:
        for node in self._down:
            self._site.slurm.start_node(node)
        self._partition("UP")

    def _partition(self, state: str) -> None:
        self._site.slurm.command("scontrol", "update", "PartitionName=gpu", f"State={state}")


@pytest.fixture
def rig(site: Site, request: pytest.FixtureRequest) -> Iterator[SlurmRig]:
    made = SlurmRig(site, site.home / "work" / request.node.name[:60])
    yield made
    made.mend()


class TestSlurm(SchedulerContract):
    """Nothing of its own: the rest is in test_slurm_pool.py."""
