"""Several processes share the items of a suite: each claims the next batch that nobody has, until none is left.

A claim is a file that only one process can create. The one that leads also does what a dead process claimed and never
finished. Any number of processes on one file system can take part; none needs to know of the others.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

WAIT = 0.05  # seconds between two looks at what the others have finished


class Claims:
    """The claims of one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, unit: str, batch: int) -> bool:
        """Whether this process is the first to ask for the batch."""
        try:
            os.close(os.open(self._folder / f"{unit}-{batch}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def open_stage(self, stage: str, go: bool) -> None:
        """The leader's word that a stage begins, or that the work ends here."""
        (self._folder / f"stage-{stage}.{'go' if go else 'end'}").touch()

    def wait_for_stage(self, stage: str) -> bool:
        """Wait for the leader's word: True to go on, False to end."""
        while True:
            if (self._folder / f"stage-{stage}.go").exists():
                return True
            if (self._folder / f"stage-{stage}.end").exists():
                return False
            time.sleep(WAIT)


def share(unit: str, batches: Sequence[Sequence[int]], claims: Claims, work: Callable[[Sequence[int]], None]) -> None:
    """Do every batch that no other process has claimed."""
    for number, batch in enumerate(batches):
        if claims.take(unit, number):
            work(batch)


def finish(missing: Callable[[], list[int]], alive: Callable[[], bool], work: Callable[[Sequence[int]], None]) -> None:
    """Wait until the others have done their claims; do them here where the others are gone.

    Args:
        missing: which items have no result yet.
    """
    while missing() and alive():
        time.sleep(WAIT)
    left = missing()  # asked again: the last of them may have finished something before it ended
    if left:
        work(left)


@contextmanager
def helpers(module: str, spec: str, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """``count`` further processes of a program on the same spec, numbered from 1; none outlives the block."""
    started = [
        subprocess.Popen([sys.executable, "-m", module, spec, "", str(number + 1)], stdin=subprocess.PIPE)
        for number in range(count)
    ]
    try:
        yield started
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def any_alive(processes: Sequence[subprocess.Popen[bytes]]) -> bool:
    return any(process.poll() is None for process in processes)
