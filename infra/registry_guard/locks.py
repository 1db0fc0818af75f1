"""One change of a model at a time, over all threads and processes of the server, in the order in which they came.

Threads of one process queue here, so that only the first of them asks the file locks, which know no order. Between
processes it takes a ticket: the next number, and a file of that number, locked while it waits and works. Who has the
number behind it waits for that file, so a process whose line never gets empty keeps no other one out. That only one
works is what the model's own lock makes sure of. The kernel lets go of every lock of a process that dies.
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
                with line.front.held(until):
                    number = held.enter_context(self._ticket(model, until))
                    held.enter_context(line.work.held(until))
                    if line.number != number - 1:  # else it was this process's own, which is done with its work
                        _wait(self._path(model, str(number - 1)), until)
                    line.number = number
                    held.enter_context(self._locked(model, until))
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

    @contextmanager
    def _ticket(self, model: str, until: float) -> Iterator[int]:
        """Hold the next number."""
        with ExitStack() as stack:
            with self._path(model, "tickets").open("ab", buffering=0) as tickets:
                _lock(tickets, until)
                tickets.write(b".")  # a byte a number: a crash can't leave half of one
                number = tickets.tell()
                mine = self._path(model, str(number))
                _lock(stack.enter_context(mine.open("ab")), until)
                stack.callback(mine.unlink, missing_ok=True)
            yield number

    @contextmanager
    def _locked(self, model: str, until: float) -> Iterator[None]:
        with self._path(model, "lock").open("ab") as file:
            _lock(file, until)
            yield

    def _path(self, model: str, kind: str) -> Path:
        return self._folder / f"{short(digest_bytes(model.encode()), 32)}.{kind}"


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
        self.number = 0  # of the last ticket that came to its turn


def _wait(ticket: Path, until: float) -> None:
    """Until who holds this ticket is done, gave up or died."""
    try:
        file = ticket.open("r+b")
    except FileNotFoundError:
        return
    with file:
        _lock(file, until)
    ticket.unlink(missing_ok=True)


def _lock(file: BinaryIO, until: float) -> None:
    """Lock an open file, until it is closed."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > until:
                raise _TooLong from None
        time.sleep(_POLL)
