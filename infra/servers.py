"""``nightshift up``: Prefect, MLflow and a worker on SQLite, in one terminal, stopped together."""

import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import StateType
from prefect.settings import PREFECT_API_URL, temporary_settings

from infra import processes
from infra.errors import ServerError
from infra.orphans import mark_crashed
from infra.processes import Child, address, answers
from infra.registry_guard.bootstrap import bootstrap, refuse_exposure, users_database
from infra.settings import Settings, load_settings, prefect_login, up_state

WORK_POOL = "nightshift-local"
SERVICE_POOL = "nightshift-service"  # promotion and rollback, in the warm process of the promotion service

_READY_SECONDS = 180.0  # the first start migrates two databases; on a loaded laptop that takes a minute
_POLL_SECONDS = 0.5

Prepare = Callable[[Settings], list[str]]
Stopping = Callable[[], bool]


def up(settings: Settings, prepare: Prepare, say: Callable[[str], None] = print) -> int:
    """Start everything, show where it is, and hold it until Ctrl-C, SIGTERM or the terminal's end; then return 0.

    Args:
        prepare: creates the work pool and the deployments and returns their names, the nightly one first. Called once
            the servers answer, with settings that point to them (``flows.deployments.deploy``).

    Raises:
        ServerError: a port or the state folder is in use, a server doesn't start, or one ended by itself. Nothing of
            ours runs any more when it is raised.
    """
    refuse_foreign_servers(settings)
    refuse_exposure(settings.host, tls=False, allowed=settings.insecure_host)
    with processes.only_one(settings), _signals() as asked:
        settings.up_file.unlink(missing_ok=True)
        _sweep(settings, say)
        processes.check_ports(settings)
        children: list[Child] = []
        try:
            _start_all(children, with_urls(settings), prepare, lambda: len(asked) > 0, say)
            while not asked:
                processes.check_alive(children)
                time.sleep(_POLL_SECONDS)
            say("\nStopping (once more Ctrl-C: at once) ...")
        except Exception:
            say("\nStopping everything, as a part of it doesn't run ...")
            raise
        finally:
            settings.up_file.unlink(missing_ok=True)
            begun = len(asked)
            processes.stop_all(children, settings.home, lambda: len(asked) > begun)
            say("Everything is stopped.")
    return 0


def with_urls(settings: Settings) -> Settings:
    """The settings that point to the servers of this `up`, for its children and for ``prepare``."""
    prefect, mlflow = address(settings, settings.prefect_port), address(settings, settings.mlflow_port)
    return settings.model_copy(update={"prefect_api_url": f"{prefect}/api", "mlflow_tracking_uri": mlflow})


def refuse_foreign_servers(settings: Settings) -> None:
    """`up` beside a setting that points elsewhere would start servers that nothing uses."""
    foreign = {
        "NIGHTSHIFT_PREFECT_API_URL": settings.prefect_api_url,
        "NIGHTSHIFT_MLFLOW_TRACKING_URI": settings.mlflow_tracking_uri,
    }
    for name, value in foreign.items():
        if value is not None:
            raise ServerError(f"{name} is {value}, and `up` starts servers of its own", do=f"unset {name}")


def _start_all(
    children: list[Child], settings: Settings, prepare: Prepare, stopping: Stopping, say: Callable[[str], None]
) -> None:
    """Start the children in their order; each is in ``children`` as soon as it lives, so that it can be stopped."""
    prefect, mlflow = address(settings, settings.prefect_port), address(settings, settings.mlflow_port)
    say("Starting Prefect and MLflow ...")
    # first, as it makes the password of Prefect's API, where other machines can reach that
    ready = bootstrap(settings.home, users_database(settings.home))
    children.append(processes.start("prefect", prefect_command(settings), settings, PREFECT_EXTRA))
    if ready.passwords:
        say(accounts_page(ready.passwords))
    children.append(processes.start("mlflow", mlflow_command(settings), settings, MLFLOW_EXTRA | ready.variables))
    processes.wait_ready(children[0], lambda: answers(f"{prefect}/api/health"), _READY_SECONDS, stopping)
    processes.wait_ready(children[1], lambda: answers(f"{mlflow}/health"), _READY_SECONDS, stopping)
    if stopping():
        return
    if lost := crash_lost_runs(settings):
        say(f"Set {lost} flow runs to Crashed: they were killed with an earlier worker")
    say("Creating the deployments ...")
    names = prepare(settings)
    if stopping():
        return
    begun = datetime.now(UTC)
    children.append(processes.start("worker", worker_command(), settings))
    # said to it, as it starts before `up_file` tells everybody
    places = {"NIGHTSHIFT_PREFECT_API_URL": f"{prefect}/api", "NIGHTSHIFT_MLFLOW_TRACKING_URI": mlflow}
    children.append(processes.start("promoter", promoter_command(), settings, PROMOTER_EXTRA | places))
    processes.wait_ready(children[2], lambda: worker_reports(prefect, WORK_POOL, begun), _READY_SECONDS, stopping)
    processes.wait_ready(children[3], lambda: worker_reports(prefect, SERVICE_POOL, begun), _READY_SECONDS, stopping)
    if stopping():
        return
    settings.up_file.write_text(up_state(prefect, mlflow))
    say(status_page(settings, prefect, mlflow, names, _deployment_ids(prefect, names)))


# --- the three commands ---

# Leases of concurrency slots, kept in memory by default: a restarted server would hold the nightly slot for ever.
PREFECT_EXTRA = {
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
}
MLFLOW_EXTRA = {
    # The job runner is for GenAI evaluations started in the UI, which we don't use: it would run as own processes.
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    # our receiver is on this machine, and reached without TLS
    "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
    "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
}
# it acts as the service account, and a person waits for it
PROMOTER_EXTRA = {"NIGHTSHIFT_ACCOUNT": "service", "PREFECT_WORKER_QUERY_SECONDS": "1"}


def prefect_command(settings: Settings) -> list[str]:
    place = ["--host", settings.host, "--port", str(settings.prefect_port)]
    return [sys.executable, "-m", "prefect", "server", "start", *place, "--analytics-off"]


def mlflow_command(settings: Settings) -> list[str]:
    """The server on the files an embedded run uses.

    Artifacts get plain file locations, also in experiments the server creates: a location it would serve
    (``mlflow-artifacts:``) can't be read any more once the server is gone.
    """
    artifacts = (settings.home / "mlartifacts").as_uri()
    stores = ["--backend-store-uri", f"sqlite:///{settings.home / 'mlflow.db'}"]
    places = ["--default-artifact-root", artifacts, "--artifacts-destination", artifacts]
    listen = ["--host", settings.host, "--port", str(settings.mlflow_port), "--workers", "1"]
    return [sys.executable, "-m", "mlflow", "server", "--app-name", "nightshift", *stores, *places, *listen]


def worker_command() -> list[str]:
    options = ["--pool", WORK_POOL, "--type", "process", "--name", "nightshift"]
    return [sys.executable, "-m", "prefect", "worker", "start", *options, "--no-create-pool-if-not-found"]


def promoter_command() -> list[str]:
    return [sys.executable, "-m", "flows.promoter"]


# --- what the Prefect server says ---


def worker_reports(prefect: str, pool: str, since: datetime) -> bool:
    """Whether a worker of the pool has sent a heartbeat since then (its name may be an earlier worker's)."""
    try:
        found = _ask("POST", f"{prefect}/api/work_pools/{pool}/workers/filter")
    except httpx.TransportError:  # busy; asked again until the time is over
        return False
    return any(datetime.fromisoformat(worker["last_heartbeat_time"]) > since for worker in found)


def crash_lost_runs(settings: Settings) -> int:
    """End the unfinished runs of our work pool; only while no worker runs on it, as nothing then runs them.

    A run killed together with its worker stays `Running`, and holds the nightly deployment's only slot: without
    this, the next night waits for ever.
    """
    states = FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING, StateType.CANCELLING])
    unfinished = FlowRunFilter(state=FlowRunFilterState(type=states))
    ours = WorkPoolFilter(name=WorkPoolFilterName(any_=[WORK_POOL, SERVICE_POOL]))
    with temporary_settings({PREFECT_API_URL: settings.prefect_api_url}), get_client(sync_client=True) as client:
        lost = client.read_flow_runs(flow_run_filter=unfinished, work_pool_filter=ours)
        return sum(mark_crashed(str(run.id)) for run in lost)


def _deployment_ids(prefect: str, names: list[str]) -> dict[str, str]:
    return {name: _ask("GET", f"{prefect}/api/deployments/name/{name}")["id"] for name in names}


def _ask(method: str, url: str) -> Any:
    login = prefect_login(load_settings())
    auth = httpx.BasicAuth(*login.split(":", 1)) if login else None
    answer = httpx.request(method, url, json={} if method == "POST" else None, timeout=20, trust_env=False, auth=auth)
    if not answer.is_success:
        raise ServerError(
            f"Prefect answers {method} {url} with {answer.status_code}: {answer.text[:300]}",
            do="read HOME/logs/prefect.log",
        )
    return answer.json()


# --- what the person sees ---


def status_page(settings: Settings, prefect: str, mlflow: str, names: list[str], ids: dict[str, str]) -> str:
    """Names and URLs, one a line."""
    width = max(len(name) for name in [*names, "Reports and registry"])
    places = {
        **{name: f"{prefect}/deployments/deployment/{ids[name]}" for name in names},
        "Prefect": f"{prefect}/dashboard",
        "MLflow": f"{mlflow}/",
        "Reports and registry": f"{mlflow}/#/models",
        "Health, metrics": f"http://127.0.0.1:{settings.promoter_port}/readyz, /metrics",
        "State": str(settings.home),
        "Logs": str(settings.home / "logs"),
    }
    lines = [f"  {name:<{width}}  {place}" for name, place in places.items()]
    return "\n".join(["", "Nightshift is up.", "", *lines, "", "Ctrl-C stops all of it.", ""])


def accounts_page(passwords: Mapping[str, str]) -> str:
    """The passwords of accounts made just now: they are kept nowhere, so they are shown this once."""
    width = max(len(name) for name in passwords)
    lines = [f"  {name:<{width}}  {password}" for name, password in passwords.items()]
    return "\n".join(
        ["", "Accounts for MLflow. The passwords are shown only now; `nightshift account NAME` sets a new one.", "",
         *lines, ""]
    )  # fmt: skip


def _sweep(settings: Settings, say: Callable[[str], None]) -> None:
    """Stop what an `up` left that was killed itself; safe because we hold the folder's lock."""
    left = processes.marked(settings.home)
    if left:
        say(f"Stopping {len(left)} processes left by a `nightshift up` that was killed ...")
        processes.stop_all([], settings.home)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """The signals that ask `up` to stop, as they come in: no exception in the middle of starting a process."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda got, _frame: asked.append(got)) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
