"""What benchmarks/guard.py measures: MLflow with basic-auth, MLflow with the guard, and a PostgreSQL for both.

All of it runs in a temporary folder, listens on this machine only and ends with the benchmark.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import httpx

from infra.errors import ServerError
from infra.registry_guard.bootstrap import bootstrap
from infra.registry_guard.roles import credentials_path, read_private
from infra.settings import child_environment, load_settings

APPS = {"plain": "basic-auth", "guard": "nightshift"}
NewDatabase = Callable[[str], str]  # a name → SQLAlchemy URI

_SECONDS = 240.0  # an empty database goes through all of MLflow's migrations first


class Server(NamedTuple):
    """A server that answers."""

    app: str
    url: str
    home: Path
    passwords: dict[str, str]
    pid: int


@contextmanager
def serving(
    app: str, home: Path, new_database: NewDatabase, accounts: dict[str, str], cache_seconds: int, workers: int = 1
) -> Iterator[Server]:
    """One of ``APPS``, with the same accounts, MLflow permissions and settings; its own databases and folder.

    Args:
        cache_seconds: how long basic-auth remembers a checked password; 0 is MLflow's default and hashes on every call.

    Raises:
        ServerError: it ended, or doesn't answer in time; holds the end of its log.
    """
    home.mkdir(parents=True)
    ready = bootstrap(home, new_database(f"{app}_users"), accounts)
    config = home / "guard" / "auth.ini"
    remembered = f"auth_cache_ttl_seconds = {cache_seconds}"
    config.write_text(re.sub("(?m)^auth_cache_ttl_seconds = .*$", remembered, config.read_text()))
    passwords = {name: one["password"] for name, one in read_private(credentials_path(home)).items()}
    port = _free_port()
    variables = child_environment(load_settings()) | ready.variables
    # plain basic-auth asks for the admin's name, and finds it made already
    variables |= {"MLFLOW_AUTH_ADMIN_USERNAME": "admin", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--app-name", APPS[app], "--workers", str(workers)]
    command += ["--backend-store-uri", new_database(f"{app}_mlflow"), "--port", str(port), "--host", "127.0.0.1"]
    command += ["--artifacts-destination", str(home / "artifacts")]
    log = home / "server.log"
    url = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, stdout=output, stderr=output, cwd=home, start_new_session=True
        )
    try:
        _wait(process, log, app, lambda: _healthy(url))
        yield Server(app, url, home, passwords | ready.passwords, process.pid)
    finally:
        _stop(process)


@contextmanager
def sqlite(folder: Path) -> Iterator[NewDatabase]:
    yield lambda name: f"sqlite:///{folder / name}.db"


@contextmanager
def postgres() -> Iterator[NewDatabase]:
    """A PostgreSQL server with its defaults (it syncs every commit), on a socket in a folder only we may open.

    Raises:
        ServerError: it isn't installed, or doesn't start.
    """
    programs = postgres_programs()
    if programs is None:
        raise ServerError("PostgreSQL's initdb is not installed", do="apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="pg-") as name, ExitStack() as stack:
        folder, owner = Path(name), _owner()
        if owner is not None:  # it refuses to run as root
            shutil.chown(folder, owner)
        _run([programs / "initdb", "-D", folder / "data", "-U", "nightshift", "-A", "trust", "-E", "UTF8"], owner)
        command = [programs / "postgres", "-D", folder / "data", "-k", folder, "-c", "listen_addresses="]
        log = folder / "server.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, cwd=folder, user=owner, start_new_session=True
            )
        stack.callback(_stop, process, signal.SIGINT)  # its fast shutdown
        place = ["-h", str(folder), "-U", "nightshift"]
        ready = [programs / "pg_isready", *place, "-q", "-d", "postgres"]
        _wait(process, log, "PostgreSQL", lambda: subprocess.run(ready, check=False, cwd=folder).returncode == 0)

        def new_database(name: str) -> str:
            _run([programs / "createdb", *place, name], owner)
            return f"postgresql://nightshift@/{name}?host={folder}"

        yield new_database


def postgres_programs() -> Path | None:
    """The folder of an installed PostgreSQL server's programs, or None; Debian keeps them off the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def _owner() -> str | None:
    """Who PostgreSQL runs as, where that isn't us."""
    return "nobody" if os.geteuid() == 0 else None


def _run(command: list[str | Path], owner: str | None) -> None:
    done = subprocess.run(command, user=owner, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip()[-500:]
        raise ServerError(f"{Path(command[0]).name} failed: {said}", do="mend that and run it again")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", trust_env=False).is_success
    except httpx.TransportError:  # not there yet
        return False


def _wait(process: subprocess.Popen[bytes], log: Path, name: str, ready: Callable[[], bool]) -> None:
    until = time.monotonic() + _SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            tail = log.read_text(errors="replace")[-2000:]
            raise ServerError(f"{name} doesn't answer; the end of its log:\n{tail}", do="mend that and run it again")
        time.sleep(0.2)


def _stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    """Ask its whole group to end, and make it."""
    for how in (number, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:  # ended by itself
            break
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
