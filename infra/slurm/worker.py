"""The Slurm worker: ``prefect worker start --pool POOL --type nightshift-slurm``.

Thin: a flow run becomes one sbatch, and its state follows the job's. Prefect's engine does not run in the job: a job
that is preempted and requeued is one flow run all the time, and compute nodes need no way to Prefect's API
(docs/design/slurm.md). What was submitted is in the journal; a restarted worker goes on following it.
"""

import contextlib
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import anyio.abc
import anyio.to_thread
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed
from prefect.workers.base import BaseJobConfiguration, BaseVariables, BaseWorker, BaseWorkerResult
from pydantic import Field

from infra.errors import NightshiftError
from infra.launch import Launch
from infra.lock import folder_lock
from infra.outcome import Outcome, write_held, write_outcome
from infra.settings import load_settings
from infra.slurm import commands
from infra.slurm.ends import held_now, outcome_of
from infra.slurm.follow import Follower, Step
from infra.slurm.journal import Entry, Journal
from infra.slurm.said import ended_state, waiting_state
from infra.slurm.script import WORKER_TYPE, SlurmOptions, batch_script
from infra.worker_labels import Labelling

_SUBMIT_AT_ONCE = 4  # calls of sbatch beside each other
_AGAIN_SECONDS = 15.0


class SlurmVariables(BaseVariables):
    """What a flow run may be given: what the pool's block says."""

    slurm: dict[str, Any] = Field(default_factory=dict, description="What sbatch is told: account, partition, QoS, …")


class SlurmConfiguration(BaseJobConfiguration):
    slurm: dict[str, Any] = Field(default_factory=dict)


class SlurmResult(BaseWorkerResult):
    """A job that is over, or that the next worker follows. Its flow run's state is set already."""


class SlurmWorker(Labelling, BaseWorker[SlurmConfiguration, SlurmVariables, SlurmResult]):
    type = WORKER_TYPE
    job_configuration = SlurmConfiguration
    job_configuration_variables = SlurmVariables
    _description = "Runs Nightshift's GPU steps as Slurm jobs."
    _display_name = "Nightshift Slurm"

    def __init__(self, work_pool_name: str, **options: Any) -> None:
        super().__init__(work_pool_name, **options)
        settings = load_settings()
        self._home, self._poll_seconds = settings.home, settings.slurm_poll_seconds
        self._journal = Journal(self._home / "slurm" / work_pool_name)
        self._follower = Follower(commands)
        self._entries: dict[str, Entry] = {}  # by job
        self._over: dict[str, anyio.Event] = {}  # by job
        self._unsaid: dict[str, tuple[Entry, State[Any], bool]] = {}  # by flow run: what Prefect has still to be told
        self._submitting = anyio.CapacityLimiter(_SUBMIT_AT_ONCE)
        self._stopping = anyio.Event()

    # --- the worker's life ---

    async def setup(self) -> None:
        """Hold the journal, and go on with what an earlier worker had submitted.

        Raises:
            PoolError: another worker follows this work pool's jobs from the same state folder.
        """
        self._exit_stack.enter_context(
            folder_lock(self._journal.folder, f"another worker follows the jobs of {self._work_pool_name}")
        )
        await super().setup()
        assert self._runs_task_group is not None
        self._runs_task_group.start_soon(self._follow)
        for entry in list(self._journal):
            # whom an earlier worker had asked to end is asked again: it may have died before it had done so
            self._runs_task_group.start_soon(self._adopt, entry.model_copy(update={"asked": False}))

    async def teardown(self, *exc_info: Any) -> None:
        """Jobs run on; the next worker follows them."""
        self._stopping.set()
        for event in self._over.values():
            event.set()
        await super().teardown(*exc_info)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: SlurmConfiguration,
        task_status: anyio.abc.TaskStatus[Any] | None = None,
    ) -> SlurmResult:
        launch = self._launch(flow_run)
        entry = Entry(flow_run=str(flow_run.id), launch=launch, slurm=configuration.slurm)
        entry = await self._submitted(self._journal.read(entry.flow_run) or entry)
        assert entry.job is not None
        if task_status is not None:
            task_status.started(entry.job)
        self.get_flow_run_logger(flow_run).info("job %s of %s is in Slurm's queue", entry.job, launch.name)
        await self._over[entry.job].wait()
        return SlurmResult(status_code=0, identifier=entry.job)

    def _launch(self, flow_run: FlowRun) -> Launch:
        path = Path(str(flow_run.parameters.get("launch", ""))).resolve()
        if not path.is_relative_to(self._home) or not path.is_file():
            raise NightshiftError(
                f"{path} is no launch plan below {self._home}",
                do="give worker and night the same NIGHTSHIFT_HOME, on a file system that both see",
            )
        return Launch.model_validate_json(path.read_text())

    # --- submit, once ---

    async def _adopt(self, entry: Entry) -> None:
        try:
            entry = await self._submitted(entry)
        except Exception as error:  # it was refused, or its place is gone: that ends this flow run, not the worker
            self._logger.exception("the flow run %s can't be followed again", entry.flow_run)
            self._unsaid[entry.flow_run] = (entry, Crashed(message=f"its job can't be followed: {error}"), True)
            return
        self._logger.info("follows job %s of flow run %s again", entry.job, entry.flow_run)

    async def _submitted(self, entry: Entry) -> Entry:
        """The entry with its job's number. Before what may have been submitted is, Slurm is asked for its name."""
        if entry.job is None:
            sure = self._journal.read(entry.flow_run) is None  # no worker before can have called sbatch for it
            self._journal.write(entry)
            async with self._submitting:
                job = await self._submit(entry, sure=sure)
            entry = entry.model_copy(update={"job": job})
            self._journal.write(entry)
        assert entry.job is not None
        self._entries[entry.job] = entry
        self._over.setdefault(entry.job, anyio.Event())
        self._follower.add(entry.job)
        return entry

    async def _submit(self, entry: Entry, *, sure: bool) -> str:
        launch = entry.launch
        script = batch_script(launch, SlurmOptions.model_validate(entry.slurm))
        (Path(launch.folder) / "job.sh").write_text(script)
        while True:
            try:
                known = [] if sure else await _thread(commands.jobs_named, launch.key)
                return known[0] if known else await _thread(commands.submit, script)
            except commands.SlurmAway as error:
                sure = False  # it may have been taken
                self._logger.warning("%s; asked again in %.0f s", error.what, _AGAIN_SECONDS)
                await anyio.sleep(_AGAIN_SECONDS)
            except commands.SlurmRefused as error:
                write_outcome(
                    Path(launch.folder), Outcome(key=launch.key, job="", kind="refused", what=error.what, do=error.do)
                )
                self._journal.forget(entry.flow_run)
                raise

    # --- follow all, with one call a poll ---

    async def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                await self._cancel_asked()
                for step in await _thread(self._follower.poll):
                    self._on_one(step)
                await self._say_unsaid()
            except NightshiftError as error:  # Slurm or the file server is away; jobs run on
                self._logger.warning("%s", error.what)
            except Exception:  # Prefect's server is away, or worse: the other jobs are still followed
                self._logger.exception("a poll of Slurm failed")
            with anyio.move_on_after(self._poll_seconds):
                await self._stopping.wait()

    def _on_one(self, step: Step) -> None:
        try:
            self._on(step)
        except Exception:  # what is wrong with one job holds up no other; its end is told again
            self._logger.exception("job %s can't be dealt with", step.job)

    def _on(self, step: Step) -> None:
        """Note what a poll found out of one job."""
        entry = self._entries[step.job]
        folder = Path(entry.launch.folder)
        if not step.over:
            assert step.last is not None
            self._unsaid[entry.flow_run] = (entry, waiting_state(step.last), False)
            if (held := held_now(step.last, entry.launch)) is not None:
                self._write(step.job, lambda: write_held(folder, held))
            return
        outcome = outcome_of(step, entry.launch, asked=entry.asked)
        self._write(step.job, lambda: write_outcome(folder, outcome))
        self._follower.remove(step.job)
        self._unsaid[entry.flow_run] = (entry, ended_state(outcome), True)

    def _write(self, job: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:  # its night was started again and emptied it; the flow run's state says the same
            self._logger.warning("what became of job %s can't be left in its folder: %s", job, error)

    async def _say_unsaid(self) -> None:
        """Tell Prefect; what it could not be told is told at the next poll."""
        for flow_run, (entry, state, over) in list(self._unsaid.items()):
            with contextlib.suppress(ObjectNotFound):  # somebody deleted the flow run
                await self.client.set_flow_run_state(UUID(flow_run), state, force=True)
            del self._unsaid[flow_run]
            if over:
                self._journal.forget(flow_run)
            if over and entry.job is not None:
                self._entries.pop(entry.job)
                self._over.pop(entry.job).set()

    # --- end on request ---

    async def _cancel_asked(self) -> None:
        """Ask the jobs of flow runs that are to be cancelled to end."""
        if not self._entries:
            return
        asked = await self.client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CANCELLING]))
            ),
            work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[self._work_pool_name])),
        )
        wanted = {str(run.id) for run in asked}
        for job, entry in list(self._entries.items()):
            if entry.flow_run in wanted and not entry.asked:
                self._entries[job] = asked = entry.model_copy(update={"asked": True})
                self._journal.write(asked)
                assert self._runs_task_group is not None
                self._runs_task_group.start_soon(self._end, job, asked)

    async def _end(self, job: str, entry: Entry) -> None:
        """SIGUSR1, so that a checkpoint is kept; after the grace, or where it waits in the queue, scancel."""
        running, over = self._follower.is_running(job), self._over[job]
        try:
            if running:
                await _thread(commands.signal, job, "USR1")
                with anyio.move_on_after(entry.launch.grace_seconds):
                    await over.wait()
            if job in self._entries and not self._stopping.is_set():
                await _thread(commands.cancel, job)
        except NightshiftError as error:
            self._logger.warning("%s", error.what)
            if job in self._entries:
                self._entries[job] = entry.model_copy(update={"asked": False})  # asked again at the next poll


async def _thread(function: Any, *arguments: Any) -> Any:
    return await anyio.to_thread.run_sync(functools.partial(function, *arguments))
