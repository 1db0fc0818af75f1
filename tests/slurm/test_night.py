"""A whole night of a tiny model whose GPU steps run as Slurm jobs. The GPUs are fake: the jobs compute on the CPU."""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.bills import bill
from infra.attempts import Attempt, AttemptLog, attempts_of
from infra.pools.slurm import AmdSlurmPool
from infra.settings import ROOT
from infra.slurm.script import SlurmOptions
from tasks.cost.kept import read_bills
from tests.slurm.site import Site

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(1200)]

# long enough to be pushed out in the middle, and often enough kept to go on there
TRAINING = (
    "phase.0.max_steps=140",
    "phase.0.batch_size=1",
    "phase.0.learning_rate=5e-4",
    "phase.0.checkpoint_every=20",
    "phase.0.probe_every=0",
)


class Shell:
    """`nightshift` as a person on a login node runs it."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *words],
            cwd=ROOT,
            env=self.site.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def lines(self, *words: str) -> Iterator[str]:
        """What it prints, line by line; it must end well."""
        printed = []
        with self.start(*words) as process:
            assert process.stdout is not None
            for line in process.stdout:
                printed.append(line)
                yield line
        assert process.returncode == 0, "".join(printed)[-4000:]

    def push_out(self) -> None:
        """A more urgent job takes every node for some seconds."""
        self.site.slurm.command(
            "sbatch", "--qos=high", "--account=nightshift", "--nodes=3", "--exclusive", "--time=1",
            "-o", "/dev/null", "--wrap", "sleep 6",
        )  # fmt: skip

    def sacct(self, job: str) -> list[tuple[str, int, int]]:
        """State, seconds and devices (GPUs; of CPU jobs the node) of each of a job's allocations, by sacct."""
        text = self.site.slurm.command(
            "sacct", "-j", job, "-D", "-X", "-n", "-P", "--format", "State,ElapsedRaw,AllocTRES", "-S", "now-1days"
        )
        rows = [line.split("|") for line in text.splitlines()]
        return [
            (state, int(took), int(tres.partition("gres/gpu=")[2].split(",")[0] or 1)) for state, took, tres in rows
        ]


def jobs_of(attempt: Attempt) -> list[str]:
    return list(dict.fromkeys(one.id.partition(".")[0] for one in attempt.allocations))


def scheduled(folder: Path) -> list[Attempt]:
    return [one for one in attempts_of(AttemptLog(folder / "attempts.jsonl").entries()) if one.scheduled]


def check_bill(shell: Shell, folder: Path) -> dict[str, float]:
    """Every allocation of the night is as sacct has it, and so are the bill's device-hours; GPU-hours by step."""
    attempts = scheduled(folder)
    by_slurm: dict[str, list[tuple[str, int, int]]] = {}
    for attempt in attempts:
        held = [
            (one.state, one.ended - one.started, one.devices) for one in attempt.allocations if one.ended is not None
        ]
        told = [row for job in jobs_of(attempt) for row in shell.sacct(job)]
        assert held == told != []
        by_slurm.setdefault(attempt.step, []).extend(told)
    assert set(by_slurm) == {"align", "score"}
    (kept,) = [one for one in read_bills(shell.site.home) if one.id.startswith(f"sha256:{folder.name}")]
    gpu_hours = {}
    for step, rows in by_slurm.items():
        lines = [line for line in kept.bill.lines if line.step == step and line.allocations]
        assert all(line.amount > 0 for line in lines)
        assert sum(line.allocations for line in lines) == len(rows)
        held_seconds = sum(took * devices for _, took, devices in rows)
        assert sum(line.device_hours for line in lines) * 3600 == pytest.approx(held_seconds, abs=1e-6)
        gpu_hours[step] = sum(line.gpu_hours for line in lines)
    return gpu_hours


@pytest.fixture(scope="module")
def shell(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    common: dict[str, Any] = {"hours": 0.5, "restarts": 1, "slurm": SlurmOptions(account="nightshift", qos="low")}
    AmdSlurmPool(gpu=None, gpus_per_node=0, cpus_per_node=2, host_memory_gb=3.5, **common).save("cpu", overwrite=True)
    AmdSlurmPool(gpus_per_node=2, cpus_per_node=1, **common).save("mi355x", overwrite=True)
    return Shell(site)


@pytest.fixture
def recipe(shell: Shell, tiny_recipe: Path, request: pytest.FixtureRequest) -> Path:
    """The tiny recipe under a name of its own, with its first champion."""
    named = tiny_recipe.read_text().replace('name = "tiny"', f'name = "{request.node.name.split("_")[-1]}"', 1)
    tiny_recipe.write_text(named)
    assert any("first champion" in line for line in shell.lines("init", str(tiny_recipe)))
    return tiny_recipe


def night(shell: Shell, recipe: Path, *overrides: str) -> Iterator[str]:
    yield from shell.lines("run", str(recipe), *[word for one in overrides for word in ("--set", one)])


def last(shell: Shell) -> tuple[Path, dict[str, Any]]:
    folder = Path((shell.site.home / "last-night").read_text())
    return folder, json.loads((folder / "summary.json").read_text())


def test_a_night_on_cpu_nodes_is_pushed_out_goes_on_passes_and_costs_what_sacct_says(
    shell: Shell, recipe: Path, patch: pytest.MonkeyPatch
) -> None:
    printed, pushed = [], False
    for line in night(shell, recipe, "pool=amd-slurm/cpu", *TRAINING):
        printed.append(line)
        if not pushed and re.search(r"align [5-9]\d/140  loss", line):
            shell.push_out()
            pushed = True
    told = "".join(printed)
    assert pushed, told[-4000:]
    assert re.search(r"resumed at step \d+ of 140", told), told[-4000:]
    folder, summary = last(shell)
    assert summary["verdict"] == "PASS", summary["reason"]
    assert not any(check_bill(shell, folder).values())  # no accelerator was held
    align = [one for one in scheduled(folder) if one.step == "align"]
    states = Counter(allocation.state for one in align for allocation in one.allocations)
    assert states == {"PREEMPTED": 1, "COMPLETED": 1}
    patch.setenv("NIGHTSHIFT_HOME", str(shell.site.home))
    assert "amd-slurm" in bill(None, None, None, None)


def test_accelerators_that_do_not_compute_are_billed_and_their_night_is_blocked(shell: Shell, recipe: Path) -> None:
    for _ in night(shell, recipe, "pool=amd-slurm/mi355x", "phase.0.max_steps=2"):
        pass
    folder, summary = last(shell)
    # the fake devices' programs compute on the CPU: that is no MI355X's evidence
    assert summary["verdict"] == "BLOCK"
    assert "the night expects bfloat16 on mi355x, this program has torch.float32 on cpu" in summary["reason"]
    assert {one.device.kind for one in scheduled(folder)} == {"mi355x"}
    assert all(hours > 0 for hours in check_bill(shell, folder).values())
