"""Around the training process: what it leaves is whole, says nothing of the machine, and is what was asked for."""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from infra.errors import PoolError
from infra.jsonl import dump_lines, load_lines
from infra.pools import default_pool
from infra.pools.base import Program
from infra.pools.local import LocalPool
from infra.store import Store
from tasks.align import train
from tasks.align.made import store_adapter
from tasks.align.pairs import whole_steps
from tasks.align.program import check_history
from tasks.align.quarantine import quarantine_file, send_to_quarantine
from tasks.contracts import Candidate, Model, Plan, Preferences
from tasks.cost.meter_live import Limit, LiveMeter, Watch
from tasks.errors import Interrupted, ModelError, OverBudget, PastDeadline, Unhealthy
from tasks.phases import Phase
from tasks.recipe import load_recipe


def test_an_adapters_digest_does_not_depend_on_where_it_was_trained(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    trees = []
    for machine in ("one", "two"):
        folder = tmp_path / machine / "adapter"
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(b"weights")
        config = {"r": 8, "base_model_name_or_path": f"/home/{machine}/model"}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "README.md").write_text(f"trained on {machine}")
        trees.append(store_adapter(folder, "tiny", store))
    assert trees[0].digest_ == trees[1].digest_
    names = {file.path: file.digest_ for file in trees[0].files}
    assert set(names) == {"adapter_config.json", "adapter_model.safetensors"}
    stored = json.loads(store.open_path(names["adapter_config.json"]).read_text())
    assert stored["base_model_name_or_path"] == "tiny"


def test_what_a_job_s_doctor_said_is_kept_with_the_candidate_and_is_not_part_of_what_it_is(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert train.machine_of(tmp_path, store) is None
    (tmp_path / "doctor.json").write_text('[{"what": "python", "state": "good", "text": "3.11"}]')
    machine = train.machine_of(tmp_path, store)
    assert machine is not None
    assert json.loads(store.read_bytes(machine))[0]["what"] == "python"
    assert {"machine"} <= Candidate.NOT_IDENTITY


def test_a_training_that_left_no_weights_has_failed(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"left no adapter_model\.safetensors"):
        store_adapter(tmp_path / "adapter", "tiny", Store(tmp_path / "store"))


def test_a_training_that_logged_fewer_steps_has_failed() -> None:
    check_history([{"step": 1}], 1)
    with pytest.raises(ModelError, match="logged 1 of 2 steps"):
        check_history([{"step": 1}], 2)


# ---- memory --------------------------------------------------------------------------------------------------------

# what a training does with so many tokens at once, by what the test wants
PROGRAM = """
import json, os, signal, sys
from pathlib import Path
from infra.events import emit
from tasks.align.outcome import EXIT, stopped
spec = json.loads(Path(sys.argv[1]).read_text())
with open(spec["starts"], "a") as file:
    file.write(json.dumps([spec["max_tokens"], spec["checkpoints"]]) + "\\n")
emit("metrics", step=1, total=2, values={"loss": 0.5})
if spec["max_tokens"] > spec["fits"]:
    print("ordinary output")
    if spec["end"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if spec["end"] == "crashed":
        raise RuntimeError("out of luck")
    stopped(**spec["end"])
    sys.exit(EXIT)
Path(sys.argv[2]).write_text(json.dumps({"history": [], "tokens": spec["max_tokens"]}))
"""
OUT_OF_MEMORY = {"kind": "out_of_memory", "what": "CUDA out of memory. Tried to allocate 2 GiB."}


class ScriptPool(LocalPool):
    """A local pool whose programs are files: what is tested is what the night makes of their ends."""

    def _command(self, program: Program) -> list[str]:
        return [sys.executable, str(program.folder / "program.py"), program.spec, program.result]


class Training(NamedTuple):
    run: Callable[..., dict[str, Any]]
    starts: Callable[[], list[list[Any]]]  # [tokens at once, checkpoints] of each
    events: list[dict[str, Any]]


@pytest.fixture
def training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    events: list[dict[str, Any]] = []

    class Recorder:
        """Live without a Prefect run."""

        def __init__(self, *_: Any) -> None: ...

        def __enter__(self) -> Any:
            return events.append

        def __exit__(self, *_: object) -> None: ...

    monkeypatch.setattr(train, "Live", Recorder)
    (tmp_path / "program.py").write_text(PROGRAM)
    starts = tmp_path / "starts.jsonl"

    def run(end: Any, *, max_tokens: int = 1000, fits: int, phase: dict[str, Any] | None = None) -> dict[str, Any]:
        spec = {"end": end, "max_tokens": max_tokens, "fits": fits, "starts": str(starts)}
        spec |= {"checkpoints": str(tmp_path / "checkpoints"), "phase": {"max_steps": 2} | (phase or {})}
        return train.run_training(ScriptPool(), spec, tmp_path, lambda values, step: None)

    return Training(run, lambda: load_lines(starts.read_bytes()), events)


def said(training: Training) -> list[str]:
    return [event["text"] for event in training.events if event["event"] == "log"]


def test_a_training_that_fits_is_run_once(training: Training) -> None:
    assert training.run("never", fits=1000) == {"history": [], "tokens": 1000}
    assert len(training.starts()) == 1
    assert said(training) == []


@pytest.mark.parametrize("end", [OUT_OF_MEMORY, "killed"], ids=["said", "killed"])
def test_out_of_memory_it_is_run_once_more_with_half_the_tokens_from_the_same_checkpoints(
    end: Any, training: Training, tmp_path: Path
) -> None:
    assert training.run(end, fits=600) == {"history": [], "tokens": 500}
    assert training.starts() == [[1000, str(tmp_path / "checkpoints")], [500, str(tmp_path / "checkpoints")]]
    (line,) = said(training)
    reason = "Tried to allocate 2 GiB." if end == OUT_OF_MEMORY else "killed, most often by the kernel for memory"
    assert line.startswith("out of memory (")
    assert reason in line
    assert "once more with 500 tokens at once, from the last checkpoint" in line
    assert [event["event"] for event in training.events] == ["metrics", "log", "metrics"]


@pytest.mark.parametrize(("max_tokens", "half"), [(1001, 500), (1, 1)])
@pytest.mark.parametrize("end", [OUT_OF_MEMORY, "killed"], ids=["said", "killed"])
def test_out_of_memory_twice_it_stops_with_both_numbers(
    end: Any, max_tokens: int, half: int, training: Training
) -> None:
    with pytest.raises(
        ModelError, match=f"out of memory twice, with {max_tokens} and {half} tokens at once: "
    ) as ended:
        training.run(end, max_tokens=max_tokens, fits=0)
    assert [tokens for tokens, _ in training.starts()] == [max_tokens, half]
    assert "phase.gradient_checkpointing" in ended.value.do
    assert "ordinary output" not in ended.value.what


@pytest.mark.parametrize("phase", [{"method": "kto"}, {"loss": "aot"}], ids=str)
def test_out_of_memory_a_step_that_is_not_cut_is_not_tried_again(phase: dict[str, Any], training: Training) -> None:
    with pytest.raises(ModelError, match="its steps can't be cut") as ended:
        training.run(OUT_OF_MEMORY, fits=600, phase=phase)
    assert len(training.starts()) == 1
    assert "phase.batch_size" in ended.value.do


@pytest.mark.parametrize(
    ("end", "error", "message"),
    [
        ({"kind": "refused", "what": "no chat template", "do": "save one"}, ModelError, "no chat template\n  -> save"),
        ({"kind": "interrupted", "what": "SIGTERM asked", "step": 5}, Interrupted, "the checkpoint of step 5 is kept"),
        ({"kind": "not_finite", "what": "nan", "step": 0, "pairs": ["pair-2"]}, Unhealthy, "pair-2"),
        ("crashed", PoolError, "RuntimeError: out of luck"),
    ],
    ids=["refused", "interrupted", "not finite", "crashed"],
)  # fmt: skip
def test_no_other_end_is_tried_again(end: Any, error: type[Exception], message: str, training: Training) -> None:
    with pytest.raises(error, match=message):
        training.run(end, fits=0)
    assert len(training.starts()) == 1
    assert said(training) == []


def test_what_ends_the_second_run_in_another_way_is_told_as_it_is(training: Training) -> None:
    # the first one is killed; the second is asked to end
    end = OUT_OF_MEMORY
    calls: list[int] = []
    real = train._run_once

    def once(pool: Any, spec: dict[str, Any], *rest: Any) -> Any:
        calls.append(spec["max_tokens"])
        other = {"kind": "interrupted", "what": "SIGTERM asked", "step": 5}
        return real(pool, spec if len(calls) == 1 else spec | {"end": other}, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_run_once", once)
        with pytest.raises(Interrupted, match="step 5 is kept"):
            training.run(end, fits=0)
    assert calls == [1000, 500]


# ---- pairs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [0, 7])
def test_a_quarantine_that_leaves_less_than_a_batch_is_said_before_a_program_starts(
    left: int, home: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.place, "pool", default_pool)  # a saved one takes a Prefect server
    store = Store(home / "store")
    pairs = store.put_bytes(dump_lines({"id": f"pair-{n}"} for n in range(16)), "application/jsonl")
    send_to_quarantine(home, [f"pair-{n}" for n in range(left, 16)], "nan", "one")
    plan = Plan.model_construct(steps=2, pairs=16)
    recipe = load_recipe(tiny_recipe)
    with pytest.raises(ModelError, match=rf"^{left} training pairs are left .*than one batch of 8 ") as refused:
        train.make_spec(recipe, plan, Preferences.model_construct(train=pairs), Model.model_construct(), home)
    assert f"take lines out of {quarantine_file(home)}" in refused.value.do


def test_a_phase_takes_the_whole_steps_that_its_pairs_fill(tmp_path: Path) -> None:
    phase = Phase(max_steps=3, batch_size=8)
    assert [whole_steps(3, count, phase, tmp_path) for count in (8, 15, 16, 100)] == [1, 1, 2, 3]
    again = Phase(method="ppo", reward=("not_refused",), max_steps=9, batch_size=8, epochs=4)
    assert [whole_steps(9, count, again, tmp_path) for count in (8, 15, 16, 100)] == [4, 4, 8, 9]
    assert [again.pairs_of(steps) for steps in (1, 4, 5, 9)] == [8, 8, 16, 24]


# ---- budget ----------------------------------------------------------------------------------------------------------

# a training that keeps a checkpoint when it is asked to end, and is never done by itself
ENDLESS = """
import json, signal, sys, time
from pathlib import Path
from infra.events import emit
spec = json.loads(Path(sys.argv[1]).read_text())
asked = []
signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
for step in range(1, 2000):
    emit("metrics", step=step, total=2000, values={"loss": 0.5})
    time.sleep(0.02)
    if asked:
        Path(spec["checkpoints"]).write_text(f"checkpoint-{step}")
        sys.exit(0)
"""


def test_a_training_over_its_budget_keeps_a_checkpoint_and_ends_by_name(training: Training, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(ENDLESS)
    money = Limit("budget.max_amount", Decimal(5), Decimal("4.7"), Decimal(1), "EUR")  # 0.3 s are left
    spec = {"max_tokens": 1, "checkpoints": str(tmp_path / "checkpoint"), "phase": {"max_steps": 2000}}
    began = time.monotonic()
    with pytest.raises(OverBudget, match=r"5\.00 EUR \(budget\.max_amount\) are used up") as ended:
        train.run_training(
            ScriptPool(), spec, tmp_path, lambda values, step: None, Watch(LiveMeter((money,)), time.monotonic)
        )
    assert time.monotonic() - began < 30
    assert "goes on from what was kept" in ended.value.do
    step = int((tmp_path / "checkpoint").read_text().removeprefix("checkpoint-"))
    assert 5 < step < 1000
    assert len(training.events) < 1000


def test_a_training_at_its_deadline_keeps_a_checkpoint_and_ends_by_name(training: Training, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(ENDLESS)
    spec = {"max_tokens": 1, "checkpoints": str(tmp_path / "checkpoint"), "phase": {"max_steps": 2000}}
    soon = datetime.now(UTC) + timedelta(seconds=2)
    with pytest.raises(PastDeadline, match=r"deadline has come: .* \(schedule\.deadline\)"):
        train.run_training(
            ScriptPool(), spec, tmp_path, lambda values, step: None, Watch(LiveMeter(()), time.monotonic, soon)
        )
    assert datetime.now(UTC) > soon
    assert (tmp_path / "checkpoint").read_text().startswith("checkpoint-")


def test_both_runs_of_a_training_that_ran_out_of_memory_count_against_one_budget(
    training: Training, tmp_path: Path
) -> None:
    looks: list[int] = []

    class Looking(Watch):
        def look(self) -> None:
            looks.append(len(training.starts()))

    spec = {"end": OUT_OF_MEMORY, "max_tokens": 1000, "fits": 500, "starts": str(tmp_path / "starts.jsonl")}
    spec |= {"checkpoints": str(tmp_path / "checkpoints"), "phase": {"max_steps": 2}}
    watch = Looking(LiveMeter(()), time.monotonic)
    train.run_training(ScriptPool(), spec, tmp_path, lambda values, step: None, watch)
    assert looks == [1, 2]  # one word of each run; what a program says of its end is none
