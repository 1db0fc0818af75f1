"""What a job runs on its first node, ``python -m infra.job_program LAUNCH``: looks at the machine, runs and meters.

It leaves beside the spec: ``doctor.json`` (what this machine is), ``events.jsonl`` (the program's events), ``output.log``
(all else it printed) and ``answer.json`` (how it ended, and what it used). Imports no Prefect: jobs start at once, and
need no way to its API. SIGUSR1 and SIGTERM (a time limit near, a preemption, a cancelled night) and a lease that nobody
renews are handed on to the program as SIGTERM, upon which a training keeps a checkpoint and ends.
"""

import json
import platform
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from infra.digest import Record
from infra.events import MARK
from infra.launch import Launch
from infra.launcher import command
from infra.lease import Watched
from infra.settings import job_environment, meeting, restarts
from infra.usage import Usage, UsageMeter

ANSWER, DOCTOR = "answer.json", "doctor.json"
_TAIL_LINES = 25
_LEASE_LOOK_SECONDS = 5.0


class Answer(Record):
    """What the job says of itself at its end. Of a job that was killed there is none."""

    key: str
    restart: int  # how often the scheduler had started it before
    exit_code: int
    asked: str | None  # by what it was asked to end, None: by nothing
    started: float  # of the job's own clock, seconds since the epoch
    ended: float
    usage: Usage
    tail: str  # the end of its output


def main(launch_path: str) -> int:
    launch = Launch.model_validate_json(Path(launch_path).read_text())
    folder = Path(launch.folder)
    started = time.time()
    (folder / ANSWER).unlink(missing_ok=True)
    restart = restarts()
    _say(
        folder, "log", text=f"job of {launch.name} on {platform.node()}" + (f", start {restart + 1}" if restart else "")
    )
    (folder / DOCTOR).write_text(json.dumps(_doctor()))
    meter = UsageMeter.start(accelerator=launch.gpus_per_node > 0)
    job = _Job(launch)
    code = job.run()
    answer = Answer(
        key=launch.key,
        restart=restart,
        exit_code=code,
        asked=job.asked,
        started=started,
        ended=time.time(),
        usage=meter.stop(),
        tail="".join(job.tail),
    )
    part = folder / f".{ANSWER}.part"
    part.write_text(answer.model_dump_json())
    part.replace(folder / ANSWER)
    return code


class _Job:
    """The program's process, from its start to its end."""

    def __init__(self, launch: Launch) -> None:
        self._launch, self._folder = launch, Path(launch.folder)
        self.asked: str | None = None
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process: subprocess.Popen[str] | None = None

    def run(self) -> int:
        """The program's exit code; 128 + signal where one ended it, as shells have it."""
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._receive)
        with (
            self._leased(),
            (self._folder / "output.log").open("a") as log,
            (self._folder / "events.jsonl").open("a") as events,
        ):
            self._process = subprocess.Popen(
                command(self._launch, meeting()),
                cwd=self._launch.root,
                env=job_environment(self._launch.variables, self._launch.root),
                stdin=subprocess.PIPE,  # held open; the program ends when this process does
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,  # the scheduler's signals come to this process alone, which hands them on once
            )
            if self.asked:  # before there was a process
                self._hand_on()
            assert self._process.stdout is not None
            for line in self._process.stdout:
                if line.startswith(MARK):
                    events.write(line)
                    events.flush()
                else:
                    log.write(line)
                    log.flush()
                    self.tail.append(line)
            code = self._process.wait()
        return code if code >= 0 else 128 - code

    def _receive(self, number: int, _frame: Any) -> None:
        self.ask(signal.Signals(number).name)

    def ask(self, by: str) -> None:
        """Ask the program to keep a checkpoint and end; once."""
        if self.asked is None:
            self.asked = by
            self._hand_on()

    def _hand_on(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)

    @contextmanager
    def _leased(self) -> Iterator[None]:
        """Ends the program when the night that waits for it is gone."""
        stop, watched = threading.Event(), Watched(self._folder)

        def watch() -> None:
            while not stop.wait(_LEASE_LOOK_SECONDS):
                if watched.lost():
                    self.ask("the night that waits for it is gone")
                    return

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()


def _doctor() -> list[dict[str, Any]]:
    from infra.doctor import examine_job

    return [finding.model_dump() for finding in examine_job()]


def _say(folder: Path, event: str, **fields: Any) -> None:
    with (folder / "events.jsonl").open("a") as file:
        file.write(MARK + json.dumps({"event": event, **fields}) + "\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
