"""One change of a model at a time, over all threads and processes of the server, in the order in which they came.

Threads of one process queue here, so that only the first of them asks the file locks, which know no order. Between
processes two files a model take turns: who waits for the model's own lock holds the one for the next turn. A process
that never stops changing a model thus can't keep another one out.
"""

import fcntl
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from infra.digest import digest_bytes, short
from infra.errors import ServerError

_SECONDS = 30.0
_POLL = 0.002


class ModelLocks:
    """The locks of one server process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._lines: dict[str, _Line] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def hold(self, model: str) -> ExitStack:
        """Wait for this model's turn; the model is held until what comes back is closed.

        Raises:
            ServerError: another change holds the model for too long.
        """
        until = time.monotonic() + _SECONDS
        with ExitStack() as held:
            line = self._enter(model)
            held.callback(self._leave, model, line)
            try:
                with line.front.held(until), self._locked(model, "next", until):
                    held.enter_context(line.work.held(until))
                    held.enter_context(self._locked(model, "lock", until))
            except _TooLong:
                raise ServerError(
                    f"another change of {model or 'the server'} has not ended for {_SECONDS:.0f} s",
                    do="send the request again",
                ) from None
            return held.pop_all()

    def _enter(self, model: str) -> "_Line":
        with self._guard:
            line = self._lines.setdefault(model, _Line())
            line.users += 1
        return line

    def _leave(self, model: str, line: "_Line") -> None:
        """Names come from requests: those that nobody uses are forgotten."""
        with self._guard:
            line.users -= 1
            if not line.users:
                del self._lines[model]

    def _locked(self, model: str, kind: str, until: float) -> BinaryIO:
        """The open file, locked until it is closed. Only processes wait for each other here."""
        file = (self._folder / f"{short(digest_bytes(model.encode()), 32)}.{kind}").open("ab")
        while not _try_lock(file):
            if time.monotonic() > until:
                file.close()
                raise _TooLong
            time.sleep(_POLL)
        return file


class _TooLong(Exception):
    """Inside this file only."""


class _Fair:
    """A lock that goes to whoever has waited longest; Python's own promises no order."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._taken = False
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def held(self, until: float) -> Iterator[None]:
        self._acquire(until)
        try:
            yield
        finally:
            self._release()

    def _acquire(self, until: float) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = threading.Event()
            self._waiting.append(mine)
        if mine.wait(until - time.monotonic()):
            return
        with self._guard:
            if mine.is_set():  # handed over at the last moment
                return
            self._waiting.remove(mine)
        raise _TooLong

    def _release(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._taken = False


class _Line:
    """Where a process's threads wait for one model: in a line, and its first for the one that works."""

    def __init__(self) -> None:
        self.front, self.work = _Fair(), _Fair()
        self.users = 0


def _try_lock(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
