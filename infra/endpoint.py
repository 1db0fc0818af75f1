"""Hold one HTTP server for a person at this terminal: start it, say when it answers, and end it with Ctrl-C."""

import ipaddress
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from infra.errors import ServerError
from infra.processes import answers, tail, why_unusable
from infra.settings import Settings, program_environment

_START_SECONDS = 900.0  # a large model from a slow disk
_STOP_SECONDS = 15.0  # an answer that is being generated is waited for
_POLL_SECONDS = 0.2


class Address(NamedTuple):
    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def check_address(place: Address) -> None:
    """Refuse an address that others could reach, or that is in use.

    ``transformers serve`` has no API key and no login: whoever reaches it may use it, and load other models into it.

    Raises:
        ServerError: names the address and the reason.
    """
    if not is_loopback(place.host):
        raise ServerError(
            f"--host {place.host} is open to other machines, and this server has no login and no API key",
            do="leave --host out (127.0.0.1), and reach it from elsewhere through an SSH tunnel; "
            "to serve others, deploy the version to a serving layer of yours",
        )
    if not 1 <= place.port <= 65535:
        raise ServerError(f"--port {place.port} is no port", do="choose one from 1024 to 65535")
    reason = why_unusable(place.host, place.port)
    if reason is not None:
        raise ServerError(
            f"port {place.port} on {place.host} can't be used: {reason}",
            do=f"stop what uses it (`ss -ltnp 'sport = :{place.port}'` names it), or choose another with --port",
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address. A name other than localhost may mean any address: no."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def hold(
    command: Sequence[str],
    place: Address,
    settings: Settings,
    *,
    folder: Path,
    extra: Mapping[str, str],
    say: Callable[[str], None],
    ready: Sequence[str],
) -> None:
    """Run a server in ``folder`` until Ctrl-C; it ends with this process however that ends.

    Its output goes to HOME/logs/serve-PORT.log.

    Args:
        command: of a program that ends when its stdin closes (``infra.events.die_with_parent``).
        ready: lines to show once ``/health`` answers.

    Raises:
        ServerError: it ended by itself or doesn't answer; holds the end of its log.
    """
    log = settings.home / "logs" / f"serve-{place.port}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**program_environment(settings), **extra},
            stdin=subprocess.PIPE,  # held open
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C in the terminal is for us alone
        )
    try:
        _wait_ready(process, f"{place.url}/health", log)
        say("\n".join(ready))
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
        raise _ended(process, log)
    except KeyboardInterrupt:
        say("\nStopping ...")
    finally:
        _stop(process)


def _wait_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while not answers(url):
        if process.poll() is not None:
            raise _ended(process, log)
        if time.monotonic() > end:
            raise ServerError(f"the server doesn't answer after {_START_SECONDS:.0f} s{tail(log)}", do=f"read {log}")
        time.sleep(_POLL_SECONDS)


def _ended(process: subprocess.Popen[bytes], log: Path) -> ServerError:
    return ServerError(
        f"the server ended by itself (exit code {process.returncode}){tail(log)}",
        do=f"read {log}, mend the cause, and start it again",
    )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
