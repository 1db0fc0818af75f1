"""One contract for every row of the methods table: events, result and files; an early end and a resume; a bad training.

A method that is added is tested here by being in the table. Whole nights of each, through the same gate, registry and
bill, are in ``tests/flows/test_every_method_night.py``.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ppo_toy import make_model
from infra.events import parse
from infra.jsonl import dump_lines
from tasks.align import program
from tasks.align.outcome import EXIT
from tasks.phases import METHODS
from tasks.receipts import Machine
from tests.conftest import AskAfter, Never, training_spec

pytestmark = pytest.mark.usefixtures("one_thread")

STEPS, BATCH = 6, 4
QUICK = ("dpo",)  # the others in `make test-slow`
UNCOUNTED = ("orpo", "cpo", "simpo")  # TRL's trainers of these tell no tokens, so nobody knows what a step took
EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model whose words are digits."""
    return make_model(tmp_path_factory.mktemp("digits"), "12345678")


@pytest.fixture
def spec(tmp_path: Path, digits: Path) -> Any:
    """Makes the spec of a small training by a method, on pairs that have a truth."""
    rng = random.Random(0)

    def says(role: str, text: str) -> list[dict[str, str]]:
        return [{"role": role, "content": text}]

    rows = [
        {
            "id": f"pair-{number}",
            "prompt": says("user", " ".join(rng.choices("12345678", k=3))),
            "chosen": says("assistant", str(truth := rng.randint(1, 8))),
            "rejected": says("assistant", str(truth % 8 + 1)),
            "truth": truth,
        }
        for number in range(3 * STEPS * BATCH)
    ]
    (tmp_path / "pairs.jsonl").write_bytes(dump_lines(rows))

    def make(name: str, method: str, **phase: Any) -> dict[str, Any]:
        drawn = {"reward": ["exact_number"], "group_size": 8, "max_new_tokens": 2} if METHODS[method].draws else {}
        if method == "reject":  # a right answer that is whole is one of 121: enough are drawn to fill the steps
            drawn |= {"group_size": 128, "draw_factor": 3.0}
        small = {"method": method, "batch_size": BATCH, "learning_rate": 1e-2, "checkpoint_every": 50} | drawn | phase
        return training_spec(tmp_path / name, digits, tmp_path / "pairs.jsonl", STEPS, small)

    return make


class Told:
    """What the program said and left."""

    def __init__(self, made: dict[str, Any], text: str, code: Any) -> None:
        self.events = [found for line in text.splitlines() if (found := parse(line))]
        self.code, self.made = code, made
        result = Path(made["out"]).parent / "result.json"
        self.result: dict[str, Any] | None = json.loads(result.read_bytes()) if result.exists() else None

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def files(self) -> dict[str, bytes]:
        out = Path(self.made["out"])
        return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the program itself, in this process."""
    monkeypatch.setattr(program, "die_with_parent", lambda: None)

    def start(made: dict[str, Any], asks: Any = None) -> Told:
        monkeypatch.setattr(program, "EndRequests", lambda: asks or Never())
        folder = Path(made["out"]).parent
        (folder / "spec.json").write_text(json.dumps(made))
        code: Any = 0
        capsys.readouterr()
        try:
            program.main(str(folder / "spec.json"), str(folder / "result.json"))
        except SystemExit as ended:
            code = ended.code
        return Told(made, capsys.readouterr().out, code)

    return start


@pytest.mark.parametrize("method", EVERY)
def test_it_tells_each_step_leaves_its_model_and_ended_early_goes_on_to_the_same_bytes(
    method: str, spec: Any, run: Any
) -> None:
    whole = run(spec("whole", method))
    assert whole.code == 0
    result = whole.result
    assert sorted({event["step"] for event in whole.of("metrics")} - {0}) == list(range(1, STEPS + 1))
    assert {event["total"] for event in whole.of("metrics")} == {STEPS}
    assert [step["step"] for step in result["history"]] == list(range(1, STEPS + 1))
    assert all("loss" in step for step in result["history"])
    assert (result["flops"] > 0) == (method not in UNCOUNTED)
    assert result["seconds"] > 0
    Machine.model_validate(result["facts"]["machine"])
    files = whole.files()
    made = {"reward": "reward_model/model.safetensors"}.get(METHODS[method].makes, "adapter_model.safetensors")
    assert made in files
    assert not [name for name in files if name.endswith((".bin", ".pkl", ".pt"))]  # what runs code where it is opened

    cut_spec = spec("cut", method)
    cut = run(cut_spec, AskAfter(3))
    assert cut.code == EXIT
    assert cut.result is None
    (stopped,) = cut.of("stopped")
    assert stopped["kind"] == "interrupted"
    assert stopped["what"].startswith("SIGTERM")
    again = run(cut_spec)
    assert again.code == 0
    resumed = [event for event in again.of("log") if "resumed at step" in event["text"]]
    assert len(resumed) == (stopped["step"] > 0)
    assert again.result["history"] == result["history"]
    assert {name: len(data) for name, data in again.files().items()} == {n: len(d) for n, d in files.items()}
    assert again.files() == files


@pytest.mark.parametrize("method", EVERY)
def test_numbers_that_are_not_finite_end_it_with_no_result(method: str, spec: Any, run: Any) -> None:
    told = run(spec("broken", method, learning_rate=1e30, max_grad_norm=1e30))
    assert told.code == EXIT
    assert told.result is None
    (stopped,) = told.of("stopped")
    assert stopped["kind"] in ("not_finite", "unhealthy", "refused"), stopped
    assert stopped["what"]
