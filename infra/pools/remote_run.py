"""One flow run on a pool's work pool, seen from the night: start it, hand its events on, and learn how it ended."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import Cancelling

from infra.attempts import Allocation, record_allocation
from infra.errors import PoolBusy, PoolError
from infra.events import parse
from infra.launch import FILE, Launch
from infra.outcome import Outcome, read_held, read_outcome
from infra.pools.base import OnEvent

EVENTS = "events*.jsonl"
_LOOK_SECONDS = 1.0
_TAIL_LINES = 25
_ASK_SECONDS = 5.0
# Prefect's server may be restarted while a job runs; the job does not need it
_AWAY_SECONDS = 600.0
_GOING = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]


class RemoteRun:
    """A flow run of ``gpu-step`` for one launch.

    Args:
        deployment: full name, ``gpu-step/WORK POOL``.
        variables: job variables, in the worker's words.
        lost: the outcome of a job that left none, asked once its flow run has ended.
    """

    def __init__(
        self,
        launch: Launch,
        deployment: str,
        variables: dict[str, Any],
        on_event: OnEvent,
        lost: Callable[[], Outcome | None],
    ) -> None:
        self._launch, self._deployment, self._variables = launch, deployment, variables
        self._on_event, self._lost = on_event, lost
        self._folder = Path(launch.folder)
        # how far each node's events were read; what an earlier job left is not of this one
        self._read = {path: path.stat().st_size for path in self._folder.glob(EVENTS)}
        self._run: UUID | None = None
        self._outcome: Outcome | None = None
        self._held: Allocation | None = read_held(self._folder)  # an earlier job's

    def start(self) -> None:
        """Queue the job. One that an earlier night left in this folder is asked to end first, and waited for.

        Raises:
            PoolError: the pool is not deployed, or Prefect's server is away.
        """
        tag = f"nightshift.folder:{self._folder}"
        self._end_earlier(tag)
        (self._folder / FILE).write_text(self._launch.model_dump_json(indent=1))
        try:
            run = run_deployment(
                self._deployment,
                parameters={"launch": str(self._folder / FILE)},
                job_variables=self._variables,
                flow_run_name=self._launch.name,
                idempotency_key=self._launch.key,
                timeout=0,
                tags=["nightshift", tag],
            )
        except ObjectNotFound:
            raise PoolError(
                f"there is no deployment {self._deployment}: nothing starts jobs of this pool",
                do="start `nightshift up` with the pool's block saved, and its worker (docs/guides/pools.md)",
            ) from None
        except PrefectHTTPStatusError as error:
            raise PoolError(
                f"Prefect refuses a run of {self._deployment}: {error.response.text[:400]}",
                do="does the work pool's template fit the block? Delete the work pool: `nightshift up` makes it anew",
            ) from None
        self._run = run.id  # pyright: ignore[reportAttributeAccessIssue]

    def wait(self, queue_seconds: float) -> Outcome:
        """Hand events on until the job has ended.

        Raises:
            PoolBusy: it still waits for devices after ``queue_seconds``.
            PoolError: the flow run ended and nobody can say how the job did, or Prefect's server stays away.
        """
        begun = asked = time.monotonic()
        away: float | None = None
        while True:
            self._hand_on()
            self._outcome = read_outcome(self._folder, self._launch.key)
            if self._outcome is not None:
                self._hand_on()
                return self._outcome
            now = time.monotonic()
            if now - asked >= _ASK_SECONDS:
                asked = now
                self._note_held()
                try:
                    state = self._state()
                    away = None
                except (httpx.TransportError, PrefectHTTPStatusError) as error:
                    away = away or now
                    if not now - away <= _AWAY_SECONDS:
                        raise PoolError(
                            f"Prefect's server has been away for {_AWAY_SECONDS:.0f} s while {self._launch.name} runs: "
                            f"{error}",
                            do="start it again (`nightshift up`) and run the night again: it goes on from there",
                        ) from error
                    continue
                if state.is_final():
                    return self._after(state)
                if state.type in (StateType.SCHEDULED, StateType.PENDING) and not now - begun <= queue_seconds:
                    raise PoolBusy(
                        f"{self._launch.name} has waited {queue_seconds / 3600:.1f} h for "
                        f"{self._deployment} ({state.name}: {state.message or 'no reason given'})",
                        do="free the pool, raise queue_hours in its block, or name another in fallback_pools",
                    )
            time.sleep(_LOOK_SECONDS)

    def cancel(self, seconds: float) -> None:
        """Ask the job to keep a checkpoint and end, and wait until it has; where that fails, say so and go on.

        It is called because something else went wrong, which must not be hidden. A job that could not be reached ends
        by itself when nobody renews its lease.
        """
        if self._run is None:
            return
        try:
            _cancel(self._run)
            self._await_end(self._run, seconds)
            self._outcome = read_outcome(self._folder, self._launch.key) or self._lost()
        except (PoolError, httpx.TransportError, PrefectHTTPStatusError) as error:
            text = f"{self._launch.name} may still run: {error}; it ends by itself when its lease is not renewed"
            self._on_event({"event": "log", "text": text})

    def allocations(self) -> tuple[Allocation, ...]:
        return self._outcome.allocations if self._outcome else ()

    def _after(self, state: Any) -> Outcome:
        """The flow run has ended; its outcome may be some moments late on the shared file system."""
        end = time.monotonic() + 10
        while time.monotonic() < end:
            self._outcome = read_outcome(self._folder, self._launch.key) or self._lost()
            if self._outcome is not None:
                self._hand_on()
                return self._outcome
            time.sleep(0.5)
        if state.is_cancelled():  # before it was given to anybody
            what = f"{self._launch.name} was cancelled before it had begun"
            return Outcome(key=self._launch.key, job="", kind="cancelled", what=what, do="run the night again")
        raise PoolError(
            f"the flow run of {self._launch.name} ended as {state.name} ({state.message or 'no message'}), and its job "
            f"left no word in {self._folder}",
            do="look at the flow run's logs in Prefect; do night and worker see the same NIGHTSHIFT_HOME?",
        )

    def _note_held(self) -> None:
        """In the attempt log what the job holds, as soon as it does."""
        held = read_held(self._folder)
        if held is not None and held != self._held:
            record_allocation(held)
            self._held = held

    def _state(self) -> Any:
        assert self._run is not None
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(self._run).state
        assert state is not None
        return state

    def _hand_on(self) -> None:
        """Events that came since the last look, of all nodes: any may hold the process that speaks for the training."""
        for path in sorted(self._folder.glob(EVENTS)):
            with path.open("rb") as file:
                file.seek(self._read.get(path, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]  # a line that is not whole yet waits
            self._read[path] = self._read.get(path, 0) + len(whole)
            for line in whole.decode(errors="replace").splitlines():
                event = parse(line)
                if event is not None:
                    self._on_event(event)

    def _end_earlier(self, tag: str) -> None:
        with get_client(sync_client=True) as client:
            found = client.read_flow_runs(
                flow_run_filter=FlowRunFilter(
                    tags=FlowRunFilterTags(all_=[tag]),
                    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_GOING)),
                )
            )
        for run in found:
            _cancel(run.id)
        for run in found:
            self._await_end(run.id, self._launch.grace_seconds + 60)

    def _await_end(self, run: UUID, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with get_client(sync_client=True) as client:
                state = client.read_flow_run(run).state
            if state is None or state.is_final():
                return
            time.sleep(_LOOK_SECONDS)
        raise PoolError(
            f"the flow run {run} has not ended {seconds:.0f} s after it was asked to",
            do="is the pool's worker running? Start it; or end the job by hand, then set the flow run's state",
        )


def _cancel(run: UUID) -> None:
    with get_client(sync_client=True) as client:
        client.set_flow_run_state(run, Cancelling(message="the night asked for it"), force=False)


def worker_problems(work_pool: str, type_: str) -> list[str]:
    """What keeps a work pool from starting jobs: not there, of another type, paused, or without a worker."""
    try:
        with get_client(sync_client=True) as client:
            found = client.read_work_pool(work_pool)
    except ObjectNotFound:
        return [f"there is no work pool {work_pool!r}: `nightshift up` makes it when the pool's block is saved"]
    except (httpx.TransportError, PrefectHTTPStatusError) as error:
        return [f"Prefect's server does not say how the work pool {work_pool!r} is: {error}"]
    if found.type != type_:
        return [f"the work pool {work_pool!r} is of type {found.type!r}, not {type_!r}"]
    if found.is_paused:
        return [f"the work pool {work_pool!r} is paused"]
    if found.status is not None and found.status.value == "NOT_READY":
        start = f"prefect worker start --pool {work_pool} --type {type_}"
        return [f"no worker of the work pool {work_pool!r} is there: start one, `{start}`"]
    return []


def tail_of(folder: Path) -> str:
    """The end of a job's output; empty where it has printed nothing."""
    try:
        lines = (folder / "output.log").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return ""
    return "\n".join(lines[-_TAIL_LINES:])
