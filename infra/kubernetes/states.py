"""A flow run's state, as its job's: what Prefect's UI shows, and what the night asks while it waits."""

from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State, StateType
from prefect.exceptions import Abort, ObjectNotFound
from prefect.states import Cancelled, Completed, Crashed, Failed, Pending, Running
from prefect.utilities.engine import propose_state

from infra.outcome import LOST, Outcome

_NAMES = {
    "failed": "Failed",
    "time_limit": "TimedOut",
    "out_of_memory": "OutOfMemory",
    "held": "Held",
    "refused": "Refused",
    "preempted": "Preempted",
    "node_failure": "NodeFailed",
    "vanished": "Vanished",
}


def state_of(outcome: Outcome) -> State:
    """Completed; Cancelled; Crashed where the program did nothing wrong; else Failed. Its name says which end."""
    if outcome.kind == "completed":
        return Completed(message=outcome.what)
    if outcome.kind == "cancelled":
        return Cancelled(message=outcome.what)
    make = Crashed if outcome.kind in LOST else Failed
    return make(name=_NAMES[outcome.kind], message=f"{outcome.what}\n-> {outcome.do}")


class States:
    """Of one flow run. A run that was deleted in Prefect is no error: its job is followed all the same."""

    def __init__(self, client: PrefectClient, flow_run: UUID) -> None:
        self._client, self._flow_run = client, flow_run
        self._said = ""

    async def cancelled(self) -> bool:
        """Whether somebody asked for its end, or ended it in Prefect."""
        try:
            state = (await self._client.read_flow_run(self._flow_run)).state
        except ObjectNotFound:
            return True
        return state is not None and (state.type == StateType.CANCELLING or state.is_final())

    async def waits(self, name: str, why: str) -> None:
        """Once a reason: Prefect takes a waiting run on to a state of another name only."""
        if self._said != name:
            self._said = name
            await self._propose(Pending(name=name, message=why))

    async def runs(self) -> None:
        if self._said != "Running":
            self._said = "Running"
            await self._propose(Running())

    async def ended(self, outcome: Outcome) -> None:
        state = state_of(outcome)
        if state.is_cancelled():
            try:
                await self._client.set_flow_run_state(self._flow_run, state, force=True)
            except ObjectNotFound:
                return
        else:
            await self._propose(state)

    async def _propose(self, state: State) -> None:
        try:
            await propose_state(self._client, state, flow_run_id=self._flow_run)
        except (Abort, ObjectNotFound):  # it was cancelled or deleted meanwhile: the next look sees that
            return
