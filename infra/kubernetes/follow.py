"""One job, from its making to its outcome: looked at every few seconds, ended where it waits in vain."""

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import anyio
import httpx
from prefect.exceptions import PrefectHTTPStatusError

from infra.attempts import Allocation
from infra.job_program import read_answer
from infra.kubernetes import holdings
from infra.kubernetes.api import ApiRefused, Cluster, Look, plural
from infra.kubernetes.ends import End, Seen, Trouble, ending, holds, running, trouble
from infra.kubernetes.place import Manifest
from infra.kubernetes.states import States
from infra.launch import Launch
from infra.outcome import Outcome, read_outcome, write_outcome
from infra.pools.remote_run import tail_of

LOOK_SECONDS = 5.0
_TAIL_LINES = 25
# the API server may be updated while jobs run; they don't need it
_AWAY_SECONDS = 3600.0
# beyond a pod's grace, until the cluster must have ended it
_ENDING_SECONDS = 300.0
AWAY = (aiohttp.ClientError, ApiRefused, OSError, TimeoutError)
PREFECT_AWAY = (httpx.TransportError, PrefectHTTPStatusError)


class Looks:
    """Looks at a namespace, shared by all that follow a job there: one every few seconds, however many jobs."""

    def __init__(self, seconds: float = LOOK_SECONDS) -> None:
        self.seconds = seconds
        self._lock = anyio.Lock()
        self._look: Look | None = None
        self._began = float("-inf")

    async def since(self, moment: float, cluster: Cluster) -> Look:
        """A look that began after ``moment`` (monotonic seconds)."""
        async with self._lock:
            if self._look is None or not self._began > moment:
                began = time.monotonic()
                self._look = await Look.at(cluster)
                self._began = began
            return self._look


class Follower:
    """Follows one job.

    Args:
        clock: monotonic seconds; of patience, not of the bill.
    """

    def __init__(
        self,
        launch: Launch,
        manifest: Manifest,
        cluster: Cluster,
        looks: Looks,
        states: States,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._launch, self._cluster, self._looks, self._states, self._clock = launch, cluster, looks, states, clock
        self._manifest = manifest
        self._group, self._kind = plural(manifest)
        self._folder = Path(launch.folder)
        self._held: dict[str, Allocation] = holdings.kept(self._folder, launch.key)
        self._cancelled: float | None = None
        self._trouble: tuple[str, float] | None = None

    async def start(self, *, made: bool = False) -> Outcome | None:
        """Make the job, or find it made. An outcome: there is nothing to follow.

        Args:
            made: it was made before, by a worker that is no more. If it is gone now, it is not made again.
        """
        known = await anyio.to_thread.run_sync(read_outcome, self._folder, self._launch.key)
        if known is not None:  # and Prefect was not told
            await self._tell(self._states.ended(known))
            return known
        if made:
            return None
        path = f"{self._group}/namespaces/{self._cluster.namespace}/{self._kind}/{self._launch.key}"
        if await self._states.cancelled() and await self._cluster.find(path) is None:
            what = f"{self._launch.name} was cancelled before its job was made"
            return await self._close(End("cancelled", what, "run the night again to go on"), Seen(None))
        await self._cluster.create(self._manifest)
        return None

    async def cancel(self) -> None:
        """Ask its pods to keep a checkpoint and end."""
        if self._cancelled is None:
            await self._delete()
            self._cancelled = self._clock()

    async def follow(self, queue_seconds: float) -> Outcome:
        """Until it has ended; the outcome is written beside its spec before Prefect hears of it."""
        heard = self._clock()
        look_after = time.monotonic()
        while True:
            try:
                seen = (await self._looks.since(look_after, self._cluster)).of(self._launch.key)
                heard = self._clock()
                end = await self._judge(seen, queue_seconds)
            except AWAY as error:
                seen, end = Seen(None), self._away(self._clock() - heard, error)
            if end is not None:
                return await self._close(end, seen)
            await anyio.sleep(self._looks.seconds)
            look_after = time.monotonic() - self._looks.seconds / 2

    async def _judge(self, seen: Seen, queue_seconds: float) -> End | None:
        self._note(seen)
        await self._told_to_end()
        if self._cancelled is not None:
            return self._judge_cancelled(seen)
        end = ending(seen, self._launch, await self._tail(seen))
        if end is not None:
            return end
        if running(seen, self._launch):
            await self._tell(self._states.runs())
        found = trouble(seen, self._launch, queue_seconds)
        if found is not None and found.state != "Running":
            await self._tell(self._states.waits(found.state, found.end.what))
        return self._out_of_patience(found)

    def _judge_cancelled(self, seen: Seen) -> End | None:
        """Its job is deleted after its pods, so that it is over when both are gone."""
        assert self._cancelled is not None
        if seen.job is None and not seen.pods:
            return End("cancelled", f"{self._launch.name} was cancelled, and has ended", "run the night again to go on")
        if not self._clock() - self._cancelled <= self._launch.grace_seconds + _ENDING_SECONDS:
            what = f"{self._launch.name} was cancelled, and its pods are still there: is their node gone?"
            return End("cancelled", what, f"look at `kubectl get pods -l nightshift-key={self._launch.key}`")
        return None

    def _out_of_patience(self, found: Trouble | None) -> End | None:
        now = self._clock()
        if found is None:
            self._trouble = None
            return None
        if self._trouble is None or self._trouble[0] != found.state:
            self._trouble = (found.state, now)
        return found.end if now - self._trouble[1] >= found.patience else None

    async def _told_to_end(self) -> None:
        """Also where nobody called `cancel`: Prefect's event may have been missed, or the run was ended by hand."""
        if self._cancelled is None:
            try:
                told = await self._states.cancelled()
            except PREFECT_AWAY:
                return
            if told:
                await self.cancel()

    async def _close(self, end: End, seen: Seen) -> Outcome:
        if self._cancelled is None and holds(seen):
            await self._end_rest()
        answer = read_answer(self._folder, self._launch.key)
        outcome = Outcome(
            key=self._launch.key,
            job=f"{self._cluster.namespace}/{self._launch.key}",
            kind=end.kind,
            what=end.what,
            do=end.do,
            exit_code=end.exit_code,
            allocations=holdings.metered(holdings.closed(self._held, time.time()), seen.pods, answer),
        )
        await anyio.to_thread.run_sync(write_outcome, self._folder, outcome)
        await self._tell(self._states.ended(outcome))
        if end.kind == "completed" and self._kind == "trainjobs":  # a Job goes by its TTL; a TrainJob has none
            await self._end_rest()
        return outcome

    def _note(self, seen: Seen) -> None:
        found = holdings.held(seen.pods, self._launch, self._held, time.time())
        if found != self._held:
            self._held = found
            holdings.keep(self._folder, self._launch.key, found)

    async def _tail(self, seen: Seen) -> str:
        """The end of the program's output, or of the pod's own log where it came to none."""
        failed = [pod for pod in seen.pods if pod.get("status", {}).get("phase") == "Failed"]
        if not failed:
            return ""
        answer = read_answer(self._folder, self._launch.key)
        said = answer.tail if answer else await self._cluster.log(failed[0], _TAIL_LINES)
        return said or tail_of(self._folder)

    def _away(self, seconds: float, error: BaseException) -> End | None:
        if seconds <= _AWAY_SECONDS:
            return None
        what = f"{self._launch.name}: the cluster's API has been away for {seconds / 3600:.1f} h: {error}"
        return End("refused", what, "mend that; then see that the job is gone before the night is run again")

    async def _delete(self) -> None:
        await self._cluster.delete(self._group, self._kind, self._launch.key)

    async def _end_rest(self) -> None:
        """What waits in vain, or has lost a pod of several, must neither hold nor write anything any longer."""
        end = self._clock() + self._launch.grace_seconds + _ENDING_SECONDS
        try:
            await self._delete()
            while self._clock() < end:
                seen = (await self._looks.since(time.monotonic(), self._cluster)).of(self._launch.key)
                self._note(seen)
                if seen.job is None and not seen.pods:
                    return
                await anyio.sleep(self._looks.seconds)
        except AWAY:
            return

    async def _tell(self, said: Awaitable[None]) -> None:
        """Prefect's server may be away for a while: the outcome on the file system is what the night goes by."""
        try:
            await said
        except PREFECT_AWAY:
            return
