"""No job is submitted twice and none is forgotten, wherever a worker was killed. Slurm is a list here, and named so."""

from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import anyio
import httpx
import pytest

from infra.kubernetes.worker import NightshiftKubernetesWorker
from infra.outcome import read_outcome
from infra.slurm import commands, worker
from infra.slurm.journal import Entry
from infra.slurm.worker import SlurmWorker
from tests.unit.infra.slurm.examples import launch


class Listed:
    """What sbatch took, by name; no Slurm. It can lose its answer, or refuse."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.answers_lost = 0
        self.refuses = ""

    def submit(self, script: str) -> str:
        if self.refuses:
            raise commands.SlurmRefused(self.refuses, do="mend it")
        self.taken.append(next(line.partition("=")[2] for line in script.splitlines() if "--job-name=" in line))
        if self.answers_lost:
            self.answers_lost -= 1
            raise commands.SlurmAway("the answer was lost", do="wait")
        return str(len(self.taken))

    def jobs_named(self, name: str) -> list[str]:
        return [str(number) for number, taken in enumerate(self.taken, start=1) if taken == name]


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> Listed:
    made = Listed()
    monkeypatch.setattr(commands, "submit", made.submit)
    monkeypatch.setattr(commands, "jobs_named", made.jobs_named)
    monkeypatch.setattr(worker, "_AGAIN_SECONDS", 0.0)
    return made


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    return Entry(flow_run="a", launch=launch(folder=str(tmp_path)))


def submit(entry: Entry) -> tuple[SlurmWorker, Entry]:
    """By a worker that was just started on this HOME."""
    made = SlurmWorker("slurm")
    return made, anyio.run(made._submitted, made._journal.read(entry.flow_run) or entry)


def test_a_new_flow_run_is_submitted_and_its_job_is_in_the_journal(home: Path, slurm: Listed, entry: Entry) -> None:
    made, got = submit(entry)
    assert (got.job, slurm.taken) == ("1", ["ns-abc-0"])
    assert made._journal.read("a") == got
    assert len(made._follower) == 1


def test_a_worker_that_was_killed_before_sbatch_submits_now(home: Path, slurm: Listed, entry: Entry) -> None:
    SlurmWorker("slurm")._journal.write(entry)
    assert submit(entry)[1].job == "1"
    assert len(slurm.taken) == 1


def test_a_worker_that_was_killed_after_sbatch_finds_its_job_again(home: Path, slurm: Listed, entry: Entry) -> None:
    SlurmWorker("slurm")._journal.write(entry)
    slurm.taken += ["another's", "ns-abc-0"]
    assert submit(entry)[1].job == "2"
    assert slurm.taken == ["another's", "ns-abc-0"]


def test_an_answer_of_sbatch_that_was_lost_is_no_second_job(home: Path, slurm: Listed, entry: Entry) -> None:
    slurm.answers_lost = 1
    assert submit(entry)[1].job == "1"
    assert slurm.taken == ["ns-abc-0"]


def test_a_refusal_is_the_job_s_outcome_and_is_not_tried_again_after_a_restart(
    home: Path, slurm: Listed, entry: Entry
) -> None:
    slurm.refuses = "Slurm refuses the script: Invalid qos"
    with pytest.raises(commands.SlurmRefused, match="Invalid qos"):
        submit(entry)
    outcome = read_outcome(Path(entry.launch.folder), entry.launch.key)
    assert outcome is not None
    assert (outcome.kind, outcome.what) == ("refused", slurm.refuses)
    assert list(SlurmWorker("slurm")._journal) == []


class Busy:
    """A Prefect server that has no time for labels; no server."""

    def __init__(self) -> None:
        self.asked = 0

    async def update_flow_run_labels(self, flow_run_id: UUID, labels: dict[str, str]) -> None:
        self.asked += 1
        raise httpx.HTTPStatusError("503 Service Unavailable", request=httpx.Request("PATCH", "http://x"), response=_NO)


_NO = httpx.Response(503)


@pytest.mark.parametrize("kind", [SlurmWorker, NightshiftKubernetesWorker])
def test_a_server_too_busy_for_labels_ends_no_flow_run(home: Path, kind: type[Any]) -> None:
    made, server = kind("slurm"), Busy()
    made._client = server
    anyio.run(made._give_worker_labels_to_flow_run, uuid4())
    assert server.asked == 1
