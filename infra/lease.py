"""A lease on a job: renewed by the night that waits for it; without it the job keeps a checkpoint and ends.

Night and job are on different machines, whose clocks may differ. So the job compares what the file says with what it
said before, on its own clock; no time is written into it.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

FILE = "lease"
RENEW_SECONDS = 10.0
# a file server may be away, and a paused night may be looked at: only then is it gone
LOST_SECONDS = 900.0


@contextmanager
def leased(folder: Path, seconds: float = RENEW_SECONDS) -> Iterator[None]:
    """Inside, somebody waits for the job of this folder."""
    stop = threading.Event()
    _renew(folder)

    def renew() -> None:
        while not stop.wait(seconds):
            _renew(folder)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _renew(folder: Path) -> None:
    try:
        (folder / FILE).write_text(uuid4().hex)
    except OSError:  # the file server is away; the job waits longer than that
        return


class Watched:
    """The job's side: whether the lease was renewed lately."""

    def __init__(self, folder: Path, lost: float = LOST_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._lost, self._clock = folder / FILE, lost, clock
        self._seen, self._since = self._read(), clock()

    def lost(self) -> bool:
        """Whether nobody has renewed it for too long."""
        now = self._read()
        if now != self._seen and now is not None:
            self._seen, self._since = now, self._clock()
        return not self._clock() - self._since <= self._lost

    def _read(self) -> str | None:
        try:
            return self._path.read_text()
        except OSError:
            return None
