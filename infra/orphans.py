"""A SIGKILLed flow run stays `Running` in Prefect for ever: nobody is left to say otherwise. The next night does."""

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed


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
