"""What a SIGKILLed night leaves, and the next night ends: a flow run that stays `Running`, and a temporary server."""

from typing import Any
from uuid import UUID

import psutil
from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed

SERVER = "prefect.server.api.server:create_app"


def temporary_servers() -> list[dict[str, Any]]:
    """The Prefect servers this process started for itself, so that another can end them."""
    return [
        {"pid": child.pid, "begun": child.create_time()}
        for child in psutil.Process().children()
        if SERVER in child.cmdline()
    ]


def stop_servers(servers: list[dict[str, Any]]) -> int:
    """End the temporary servers of a killed night; how many were still there."""
    found = [process for one in servers if (process := _same(one)) is not None]
    for process in found:
        process.terminate()
    return len(found)


def _same(server: dict[str, Any]) -> psutil.Process | None:
    """The process, unless it is gone or another one has its number now."""
    try:
        process = psutil.Process(server["pid"])
        return process if SERVER in process.cmdline() and process.create_time() == server["begun"] else None
    except psutil.NoSuchProcess:
        return None


def mark_crashed(run: str) -> bool:
    """Set a flow run that no process owns any more to `Crashed`; False when it had ended after all."""
    with get_client(sync_client=True) as client:
        try:
            found = client.read_flow_run(UUID(run))
        except (ObjectNotFound, ValueError):  # another database, or a run outside Prefect
            return False
        if found.state is None or found.state.is_final():
            return False
        client.set_flow_run_state(
            found.id, Crashed(message="the process was killed; the next night found it"), force=True
        )
        return True
