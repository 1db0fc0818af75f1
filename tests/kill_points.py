"""Kill a piece of work with SIGKILL at its n-th write, in a process of its own, for every n.

A write is what changes a disk: a file opened for writing, moved or removed, a folder made, and a commit of SQLAlchemy,
before and after it. They are intercepted, not listed by hand, so a new write is killed at too; each is named by where
it goes, so that a test can say which ones it expects and fail on another.
"""

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Points:
    """Counts the writes under a folder; kills this process at the ``at``-th, or at none."""

    def __init__(self, home: Path, at: int = 0) -> None:
        self._home, self._at = str(home.resolve()), at
        self.names: list[str] = []

    def install(self) -> None:
        sys.addaudithook(self._hook)
        event.listen(Engine, "commit", lambda connection: self._hit("database: before a commit"))
        event.listen(Engine, "checkin", lambda *_: self._hit("database: after a transaction"))

    def _hook(self, name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open" and isinstance(arguments[0], str) and (arguments[2] or 0) & _WRITES:
            self._file("open", arguments[0])
        elif name in {"os.rename", "os.link"}:
            self._file(name, str(arguments[1]))
        elif name == "os.mkdir":
            if not Path(arguments[0]).exists():
                self._file(name, str(arguments[0]))
        elif name in {"os.remove", "os.truncate"}:
            self._file(name, str(arguments[0]))

    def _file(self, what: str, path: str) -> None:
        if path.startswith(self._home) and ".db" not in path:
            self._hit(f"{what}: {plain(path.removeprefix(self._home))}")

    def _hit(self, name: str) -> None:
        self.names.append(name)
        if len(self.names) == self._at:
            os.kill(os.getpid(), signal.SIGKILL)


def plain(path: str) -> str:
    """A path without what differs from run to run: digests, ids, temporary names."""
    path = re.sub(r"[0-9a-f]{16,}", "*", path)
    path = re.sub(r"(/guard/locks/\*)\.\d+$", r"\1.*", path)
    path = re.sub(r"/sha256/[0-9a-f]{2}(?=/|$)", "/sha256/*", path)
    return re.sub(r"(?<=[./])tmp[\w-]+|(?<=json\.)[\w-]{8}$|(?<=[./])[a-z0-9_]{8}(?=/|$)", "*", path)


def run_killed(work: Callable[[], object], home: Path, at: int) -> tuple[bool, list[str]]:
    """Fork, do the work, be killed at write ``at`` (0: at none).

    Returns:
        Whether it was killed, and the names of its writes, where it came to its end.
    """
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read)
            points = Points(home, at)
            points.install()
            work()
            os.write(write, "\n".join(points.names).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        names = pipe.read().splitlines()
    _, ended = os.waitpid(pid, 0)
    if os.WIFSIGNALED(ended):
        assert os.WTERMSIG(ended) == signal.SIGKILL
        return True, []
    assert os.WEXITSTATUS(ended) == 0, "the work failed in its own process; its traceback is above"
    return False, names


def every_kill(
    prepare: Callable[[Path], Path], work: Callable[[Path], object], folder: Path
) -> tuple[list[str], list[Path]]:
    """Do the work once to count its writes, then once for each of them, killed there.

    Args:
        prepare: makes a fresh home in this folder and returns it.
        work: on that home.

    Returns:
        The names of all writes, and the homes as the kills left them.
    """
    home = prepare(folder / "whole")
    killed, names = run_killed(lambda: work(home), home, 0)
    assert not killed
    homes = []
    for at in range(1, len(names) + 1):
        home = prepare(folder / f"killed-{at}")
        done, _ = run_killed(lambda home=home: work(home), home, at)
        assert done, f"write {at} of {len(names)} was not reached: the work does not write the same twice"
        homes.append(home)
    return names, homes


def kinds_of(names: Sequence[str]) -> list[str]:
    return sorted(set(names))


__all__ = ["every_kill", "kinds_of", "plain", "run_killed"]
