"""What following many Slurm jobs costs: 200 jobs at once on a real Slurm with one worker.

    python benchmarks/slurm.py     # as root, with Slurm from Debian's packages; some ten minutes, nothing beside it

The partition is down until all are submitted, so that all 200 wait at once; then it is opened. The jobs only sleep:
what is measured is the worker, not the nodes. Every squeue, sacct and sbatch that the worker calls
goes through a script that writes the time down. The last line is one JSON object:

- `at_once`: jobs that waited in Slurm's queue when following began.
- `completed`, `doubled`: flow runs that ended as Completed; jobs that Slurm knows beyond one a flow run.
- `calls_a_poll`: squeue and sacct calls over polls (the time of following over `NIGHTSHIFT_SLURM_POLL_SECONDS`).
- `core_share`: CPU time of the worker and of all it called, over the time of following; `submitting` is the time
  before, in which each job takes one sbatch.

The exit status is 1 where a job is missing or doubled, or more than one call a poll or 5 % of a core was needed.
"""

import json
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import psutil  # noqa: E402
from prefect import get_client  # noqa: E402
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags  # noqa: E402
from prefect.deployments import run_deployment  # noqa: E402
from prefect.settings import PREFECT_API_URL, temporary_settings  # noqa: E402

from infra.launch import Launch  # noqa: E402
from infra.pools.deployed import ensure_deployed  # noqa: E402
from infra.pools.slurm import AmdSlurmPool  # noqa: E402
from infra.settings import child_environment, load_settings  # noqa: E402
from infra.slurm.script import SlurmOptions  # noqa: E402
from tests.slurm.cluster import Cluster, cluster  # noqa: E402
from tests.slurm.site import Site, started  # noqa: E402

JOBS, SECONDS, POLL = 200, 20, 5.0
COUNTED = ("squeue", "sacct", "sbatch")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, cluster(Path(folder) / "slurm") as slurm:
        home = Path(folder) / "home"
        home.mkdir()
        calls = _counting(Path(folder) / "bin")
        path = child_environment(load_settings())["PATH"]
        extra = {"PATH": f"{Path(folder) / 'bin'}:{path}", "NIGHTSHIFT_SLURM_POLL_SECONDS": str(POLL)}
        with started(home, slurm, extra) as site, temporary_settings({PREFECT_API_URL: site.url}):
            found = _follow(site, slurm, home, calls)
    print(json.dumps(found))
    good = found["completed"] == found["at_once"] == JOBS and found["doubled"] == 0
    return 0 if good and found["calls_a_poll"] <= 1 and found["core_share"] <= 0.05 else 1


def _counting(folder: Path) -> Path:
    """Scripts in front of Slurm's commands, which write down when each was called."""
    folder.mkdir()
    calls = folder / "calls"
    for name in COUNTED:
        script = folder / name
        script.write_text(f'#!/bin/sh\necho "{name} $(date +%s.%N)" >> {calls}\nexec {shutil.which(name)} "$@"\n')
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return calls


def _follow(site: Site, slurm: Cluster, home: Path, calls: Path) -> dict[str, float]:
    sleeper = home / "sleeper"
    sleeper.write_text(f"#!/bin/sh\nexec sleep {SECONDS}\n")
    sleeper.chmod(0o755)
    pool = AmdSlurmPool(gpu=None, gpus_per_node=0, cpus_per_node=1, slurm=SlurmOptions(account="nightshift"))
    full = ensure_deployed(pool)  # pyright: ignore[reportArgumentType]
    slurm.command("scontrol", "update", "PartitionName=gpu", "State=DOWN")
    begun = time.monotonic()
    for number in range(JOBS):
        folder = home / "work" / str(number)
        folder.mkdir(parents=True)
        launch = Launch(
            key=f"ns-bench-{number}",
            name=f"job {number}",
            module="none",
            spec=f"{folder}/spec.json",
            result=f"{folder}/result.json",
            folder=str(folder),
            seconds=1800,
            root=str(ROOT),
            python=str(sleeper),
        )
        (folder / "launch.json").write_text(launch.model_dump_json())
        run_deployment(
            full,
            parameters={"launch": str(folder / "launch.json")},
            job_variables=pool.job_variables(launch),
            timeout=0,
            tags=["bench"],
            as_subflow=False,
        )
    while _called(calls, "sbatch") < JOBS and time.monotonic() - begun < 900:  # those that are lost are counted below
        time.sleep(1)
    submitting = time.monotonic() - begun
    at_once = len(slurm.command("squeue", "-h", "--me", "-t", "PD", "-o", "%i").split())
    before, since = _cpu(site.worker), time.time()
    slurm.command("scontrol", "update", "PartitionName=gpu", "State=UP")
    while (completed := _completed()) < JOBS and time.time() - since < 900:
        time.sleep(10)
    seconds, cpu = time.time() - since, _cpu(site.worker) - before
    made = _called(calls, "squeue", since) + _called(calls, "sacct", since)
    names = slurm.command("sacct", "-X", "-n", "-P", "-S", "now-1hours", "--format", "JobName").split()
    return {
        "jobs": JOBS,
        "at_once": at_once,
        "completed": completed,
        "doubled": len(names) - len(set(names)),
        "submitting": round(submitting, 1),
        "following": round(seconds, 1),
        "calls": made,
        "calls_a_poll": round(made / (seconds / POLL), 3),
        "core_share": round(cpu / seconds, 4),
    }


def _cpu(pid: int) -> float:
    """Seconds that a process and what it has called and waited for have computed."""
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def _called(calls: Path, name: str, since: float = 0.0) -> int:
    if not calls.exists():
        return 0
    lines = [line.split() for line in calls.read_text().splitlines()]
    return sum(one[0] == name and float(one[1]) >= since for one in lines)


def _completed() -> int:
    count = 0
    with get_client(sync_client=True) as client:
        for offset in (0, 200):
            runs = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(tags=FlowRunFilterTags(all_=["bench"])), limit=200, offset=offset
            )
            count += sum(run.state is not None and run.state.is_completed() for run in runs)
    return count


if __name__ == "__main__":
    sys.exit(main())
