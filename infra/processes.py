"""Child processes of ``nightshift up``: start them, wait until they answer, and leave none behind.

Every process carries our mark in its environment and hands it on to its own children. So all of them are found again
wherever they are: flow runs and training programs live in process groups and sessions of their own.
"""

import fcntl
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx
import psutil

from infra.errors import ServerError
from infra.settings import ROOT, Settings, child_environment, servers_up

MARK = "NIGHTSHIFT_UP"  # in the environment of every process of `up`; its value is the state folder

_TAIL_LINES = 15
_RUN_SECONDS = 30.0  # a flow run stops its training program (which may take 20 s) and reports that it was stopped
_SERVER_SECONDS = 8.0

Asked = Callable[[], bool]


class Child(NamedTuple):
    """A started process, the leader of its own group."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


def address(settings: Settings, port: int) -> str:
    """The URL at which this machine reaches a server of ours."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    return f"http://{host}:{port}"


# --- before anything starts ---


def check_ports(settings: Settings) -> None:
    """Raise a ServerError that names the port in use and its setting."""
    ports = {
        "NIGHTSHIFT_PREFECT_PORT": (settings.host, settings.prefect_port),
        "NIGHTSHIFT_MLFLOW_PORT": (settings.host, settings.mlflow_port),
        "NIGHTSHIFT_PROMOTER_PORT": ("127.0.0.1", settings.promoter_port),
    }
    first: dict[int, str] = {}
    for setting, (host, port) in ports.items():
        if port in first:
            raise ServerError(f"two servers are to use port {port}", do=f"set {first[port]} or {setting}")
        first[port] = setting
        reason = why_unusable(host, port)
        if reason is not None:
            raise ServerError(
                f"port {port} on {host} can't be used: {reason}",
                do=f"stop what uses it (`ss -ltnp 'sport = :{port}'` names it), or set {setting} to a free port",
            )


def why_unusable(host: str, port: int) -> str | None:
    """The system's reason why nothing can listen there, or None when it is free."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection that lingers is no server
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            return getattr(error, "strerror", None) or str(error)
    return None


@contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Hold the state folder's `up` lock; the kernel lets go of it however this process ends.

    Raises:
        ServerError: another `up` holds it; names its URLs.
    """
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "up.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ServerError(_running(settings), do="use it, or stop it there with Ctrl-C") from None
        yield


def _running(settings: Settings) -> str:
    up = servers_up(settings)
    if up is None:
        return f"another `nightshift up` is just starting or stopping on {settings.home}"
    return f"`nightshift up` runs already (process {up['pid']}): Prefect {up['prefect']}, MLflow {up['mlflow']}"


# --- start, and wait for an answer ---


def start(name: str, command: list[str], settings: Settings, extra: Mapping[str, str] | None = None) -> Child:
    """Start a process in a group of its own, its output in HOME/logs/NAME.log (the log before it: NAME.log.1)."""
    log = settings.home / "logs" / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    environment = {**child_environment(settings), **(extra or {}), MARK: str(settings.home)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for `up` alone: it stops the others in order
        )
    return Child(name, process, log)


def wait_ready(child: Child, asked: Asked, seconds: float, stopping: Asked) -> None:
    """Poll until the child answers, or until somebody asks `up` to stop.

    Raises:
        ServerError: it ended, or didn't answer in time; holds the end of its log.
    """
    end = time.monotonic() + seconds
    while not stopping():
        check_alive([child])
        if asked():
            return
        if time.monotonic() > end:
            raise ServerError(f"{child.name} doesn't answer after {seconds:.0f} s{tail(child.log)}", do=_next(child))
        time.sleep(0.2)


def check_alive(children: Iterable[Child]) -> None:
    """Raise a ServerError for the first child that has ended, with the end of its log."""
    for child in children:
        code = child.process.poll()
        if code is not None:
            raise ServerError(f"{child.name} ended by itself (exit code {code}){tail(child.log)}", do=_next(child))


def _next(child: Child) -> str:
    return f"read {child.log}, mend the cause, and run `nightshift up` again"


def tail(log: Path) -> str:
    """The end of a log, as the end of a sentence."""
    lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
    return "; the end of its log:\n" + "\n".join(f"    {line}" for line in lines) if lines else "; its log is empty"


def answers(url: str) -> bool:
    """Whether a GET is answered with success. A proxy of the environment is not asked: the server is ours."""
    try:
        return httpx.get(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:  # not there yet
        return False


# --- stop, all of it ---


def marked(home: Path) -> dict[int, int]:
    """Processes that carry our mark for this state folder, each with its parent."""
    found = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(home):
                found[process.pid] = process.ppid()
        except psutil.Error:  # gone, or somebody else's
            continue
    return found


def flow_runs(found: Mapping[int, int], children: Iterable[int], worker: int | None) -> list[int]:
    """The processes to stop first: what the worker started, and what lost its parent."""
    own = set(children)
    return [pid for pid, parent in found.items() if pid not in own and (parent == worker or parent not in found)]


def stop_all(children: list[Child], home: Path, hurry: Asked = lambda: False) -> None:
    """Stop every process of `up`: flow runs, then the worker, then the servers; kill what doesn't end in time.

    In this order a stopped run can still tell the server that it was stopped, so none stays `Running` for ever.
    """
    worker = next((child.process.pid for child in children if child.name == "worker"), None)
    runs = flow_runs(marked(home), [child.process.pid for child in children], worker)
    _end(runs, signal.SIGTERM, _RUN_SECONDS, hurry)
    for child in reversed(children):
        if child.process.poll() is None:
            _end([child.process.pid], signal.SIGTERM, _SERVER_SECONDS, hurry)
    end = time.monotonic() + _SERVER_SECONDS
    while (left := list(marked(home))) and time.monotonic() < end:
        _end(left, signal.SIGKILL, 2.0, lambda: False)
    for child in children:
        child.process.wait()


def _end(pids: list[int], number: signal.Signals, seconds: float, hurry: Asked) -> None:
    """Signal processes and wait until they have ended, the time is over, or somebody is in a hurry."""
    processes = [process for pid in pids if (process := _process(pid)) is not None]
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
    end = time.monotonic() + seconds
    while processes and time.monotonic() < end and not hurry():
        _, processes = psutil.wait_procs(processes, timeout=0.2)


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None
