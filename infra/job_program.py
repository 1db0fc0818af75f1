"""What a job runs, one process a node: ``python -m infra.job_program LAUNCH`` looks at the machine, runs and meters.

It leaves beside the spec: ``doctor.json`` (what this machine is), ``events.jsonl`` (the program's events),
``output.log`` (all else it printed) and ``answer.json`` (how it ended, and what it used). Other nodes than the first
leave ``events-RANK.jsonl``, ``output-RANK.log`` and ``usage-RANK.json``. Imports no Prefect: a job starts at once, and
needs no way to its API.

SIGUSR1 and SIGTERM (a time limit near, a preemption, a cancelled night), and a lease that nobody renews, are handed on
to the program as SIGTERM, upon which a training keeps a checkpoint and ends.
"""

import json
import platform
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO

from pydantic import ValidationError

from infra.digest import Record
from infra.events import MARK
from infra.files import write_whole
from infra.hardware import hardware_book
from infra.launch import Launch
from infra.launcher import command
from infra.lease import Watched
from infra.settings import job_environment, meeting, restarts
from infra.usage import Usage, UsageMeter

ANSWER, DOCTOR = "answer.json", "doctor.json"
_TAIL_LINES = 25
_LEASE_LOOK_SECONDS = 5.0


class Answer(Record):
    """What a job says of itself at its end. Of one that was killed there is none."""

    key: str
    restart: int  # how often the scheduler had started it before
    exit_code: int
    asked: str | None  # by what it was asked to end, None: by nothing
    started: float  # of the job's own clock, seconds since the epoch
    ended: float
    usage: Usage
    tail: str  # the end of its output


def read_answer(folder: Path, key: str) -> Answer | None:
    """What the job of this launch said of itself; None where it was killed before, or the file is another job's."""
    try:
        found = Answer.model_validate_json((folder / ANSWER).read_text())
    except (FileNotFoundError, ValidationError):
        return None
    return found if found.key == key else None


def main(launch_path: str) -> int:
    launch = Launch.model_validate_json(Path(launch_path).read_text())
    return (_first if meeting().rank == 0 else _other)(launch)


def _first(launch: Launch) -> int:
    folder, started, restart = Path(launch.folder), time.time(), restarts()
    for old in (folder / ANSWER, *folder.glob("usage-*.json")):
        old.unlink(missing_ok=True)
    job = Job(launch)
    job.listen()
    with (folder / "events.jsonl").open("a") as events, (folder / "output.log").open("a") as log:
        say = _sayer(events)
        if restart:
            say("again", text=f"start {restart + 1} of the job of {launch.name}")
        say("log", text=f"{launch.name} runs on {platform.node()}")
        (folder / DOCTOR).write_text(json.dumps(_doctor(launch)))
        meter = UsageMeter.start(accelerator=launch.gpus_per_node > 0)
        with _leased(folder, job):
            code = job.run(events, log)
        usage = meter.stop()
    answer = Answer(
        key=launch.key,
        restart=restart,
        exit_code=code,
        asked=job.asked,
        started=started,
        ended=time.time(),
        usage=usage,
        tail="".join(job.tail),
    )
    write_whole(folder / ANSWER, answer.model_dump_json())
    return code


def _other(launch: Launch) -> int:
    job = Job(launch)
    job.listen()
    folder, rank = Path(launch.folder), meeting().rank
    meter = UsageMeter.start(accelerator=launch.gpus_per_node > 0)
    # a file a node: lines that two machines append to one file of a file server may be lost
    with (folder / f"events-{rank}.jsonl").open("a") as events, (folder / f"output-{rank}.log").open("a") as log:
        code = job.run(events, log)
    write_whole(folder / f"usage-{rank}.json", meter.stop().model_dump_json())
    return code


class Job:
    """The program's process on this node, from its start to its end."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self.asked: str | None = None
        self.tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._process: subprocess.Popen[str] | None = None

    def listen(self) -> None:
        for number in (signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda number, _: self.ask(signal.Signals(number).name))

    def ask(self, by: str) -> None:
        """Ask the program to keep a checkpoint and end; once."""
        if self.asked is None:
            self.asked = by
            self._hand_on()

    def run(self, events: TextIO, log: TextIO) -> int:
        """The program's exit code; 128 + signal where one ended it, as shells have it."""
        launch = self._launch
        vendor = hardware_book().of(launch.gpu).vendor if launch.gpu else None
        self._process = subprocess.Popen(
            command(launch, meeting()),
            cwd=launch.root,
            env=job_environment(launch.variables, launch.root, vendor),
            stdin=subprocess.PIPE,  # held open; the program ends when this process does
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # the scheduler's signals come to this process alone, which hands them on once
        )
        if self.asked is not None:  # before there was a process
            self._hand_on()
        assert self._process.stdout is not None
        for line in self._process.stdout:
            is_event = line.startswith(MARK)
            file = events if is_event else log
            file.write(line)
            file.flush()
            if not is_event:
                self.tail.append(line)
        code = self._process.wait()
        return code if code >= 0 else 128 - code

    def _hand_on(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)


@contextmanager
def _leased(folder: Path, job: Job) -> Iterator[None]:
    """Ask the program to end when the night that waits for it is gone."""
    stop, watched = threading.Event(), Watched(folder)

    def watch() -> None:
        while not stop.wait(_LEASE_LOOK_SECONDS):
            if watched.lost():
                job.ask("the night that waited for it is gone")
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    with ExitStack() as stack:
        stack.callback(thread.join)
        stack.callback(stop.set)
        yield


def _doctor(launch: Launch) -> list[dict[str, Any]]:
    from infra.doctor import examine_job

    return [finding.model_dump() for finding in examine_job(launch.gpu)]


def _sayer(events: TextIO) -> Callable[..., None]:
    def say(event: str, **fields: Any) -> None:
        events.write(MARK + json.dumps({"event": event, **fields}) + "\n")
        events.flush()

    return say


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
