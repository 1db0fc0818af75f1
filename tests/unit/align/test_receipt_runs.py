"""Receipts of real trainings on this machine's CPU: rounding agrees, and a fault on one side does not.

No two kinds of device are compared here: one half runs on one thread, the other on two, or with another packing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from infra.jsonl import dump_lines, load_lines
from infra.store import Tree, TreeFile
from tasks import place
from tasks.align import program
from tasks.align.facts import facts_of
from tasks.align.program import Run
from tasks.align.receipt import receipt_of, side_of
from tasks.contracts import Model
from tasks.receipts import Finding, Side
from tasks.recipe import Recipe, load_recipe
from tests.conftest import Never, training_spec, write_pairs
from tests.unit.align.test_receipt import NOW

OF, FIRST, BATCH = 24, 4, 4
PHASE = {"batch_size": BATCH, "learning_rate": 5e-3}
_FILE = TreeFile(path="model.safetensors", digest_="sha256:" + "a" * 64, size=1)
BASE = Model(base=Tree(digest_="sha256:" + "b" * 64, files=(_FILE,)))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("pairs") / "source.jsonl"
    write_pairs(path, OF * BATCH)
    return [
        {name: row[name] for name in ("id", "prompt", "chosen", "rejected")} for row in load_lines(path.read_bytes())
    ]


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path, pairs: list[dict[str, Any]]) -> Any:
    """Trains a half; ``rows`` are other pairs than those of the receipt, the rest changes the spec."""

    def train(
        pool: str, phase: dict[str, Any] | None = None, rows: list[dict[str, Any]] | None = None, **changes: Any
    ) -> Side:
        threads = torch.get_num_threads()
        folder = tmp_path_factory.mktemp(pool)
        (folder / "pairs.jsonl").write_bytes(dump_lines((rows or pairs)[: FIRST * BATCH]))
        phase = PHASE | (phase or {})
        spec = training_spec(
            folder / "run", tiny_model, folder / "pairs.jsonl", OF, phase, **{"first": FIRST, **changes}
        )
        try:
            run = Run(spec, Never())
            result = {"history": run.train(), "facts": facts_of(run.trainer, spec)}
        finally:
            torch.set_num_threads(threads)
        assert not Path(spec["out"]).exists()
        assert not list(Path(spec["checkpoints"]).glob("checkpoint-*"))
        demo = load_recipe(place.ROOT / "recipes" / "demo.toml").model_dump(exclude_unset=True)
        recipe = Recipe.model_validate(demo | {"pool": pool, "phase": [{"max_steps": OF, **phase}]})
        return side_of(recipe, "cpu", BASE, spec, result, None)

    return train


@pytest.fixture(scope="module")
def good(half: Any) -> Side:
    """The half that all others are compared with: packed, on one thread."""
    return half("good")


def judged(one: Side, other: Side) -> Finding:
    return receipt_of("tiny", one, other, NOW).finding


def unnamed(good: Side, other: Side) -> Finding:
    """By the numbers alone: as if the other half had said that it trained the same, in the same dtype."""
    machine = other.machine.model_copy(update={"weights": "float32", "computed": "float32"})
    return judged(good, other.model_copy(update={"subject": good.subject, "machine": machine}))


@pytest.mark.slow
def test_two_threads_agree_with_one_and_the_same_again_differs_in_nothing(half: Any, good: Side) -> None:
    again, threads = judged(good, half("again")), half("threads", threads=2)
    assert all(one.difference == 0 for one in again.worst)
    assert (good.machine.threads, threads.machine.threads) == (1, 2)
    assert judged(good, threads).agrees
    assert judged(good, threads).worst[0].ratio < 0.2  # rounding is no near miss


def test_trls_own_padded_forward_agrees_with_packing(half: Any, good: Side) -> None:
    padded = half("padded", {"packing": False})
    assert (good.machine.packed, padded.machine.packed) == (True, False)
    assert judged(good, padded).agrees
    assert judged(good, padded).worst[0].ratio < 0.2


@pytest.mark.slow
def test_steps_in_parts_agree_with_whole_ones(half: Any, good: Side) -> None:
    parts = half("parts", max_tokens=60)
    assert parts.machine.max_tokens == 60
    assert judged(good, parts).agrees
    assert judged(good, parts).worst[0].difference > 0


@pytest.mark.slow
def test_the_first_steps_are_those_of_the_whole_training_to_the_last_bit(
    tmp_path: Path, tiny_model: Path, pairs: list[dict[str, Any]], good: Side
) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(dump_lines(pairs))
    whole = training_spec(tmp_path / "whole", tiny_model, tmp_path / "pairs.jsonl", OF, PHASE)
    history = Run(whole, Never()).train()
    assert len(history) == OF
    for name, values in good.series.items():
        assert [step[name] for step in history[:FIRST]] == list(values), name


# ---- planted faults ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_another_learning_rate_shows_from_step_2_on(half: Any, good: Side) -> None:
    other = half("rate", {"learning_rate": 5.5e-3})
    assert judged(good, other).differs[0].startswith("another phase (")
    told = {one.quantity: one for one in unnamed(good, other).worst}
    assert not told["learning_rate"].holds
    rate = good.series["learning_rate"]
    silent = other.model_copy(update={"series": other.series | {"learning_rate": rate}})
    worst = {one.quantity: one for one in unnamed(good, silent).worst}
    assert not worst["logps_chosen"].holds
    assert worst["logps_chosen"].step >= 2
    assert good.series["logps_chosen"][0] == pytest.approx(other.series["logps_chosen"][0], rel=1e-6)


@pytest.mark.slow
def test_another_beta_shows_in_the_numbers_alone(half: Any, good: Side) -> None:
    other = half("beta", {"beta": 0.11})
    assert "another beta (0.1 on good, 0.11 on beta)" in judged(good, other).differs
    held = {one.quantity: one.holds for one in unnamed(good, other).worst}
    assert not any(held[name] for name in ("loss", "rewards_margins", "grad_norm"))


@pytest.mark.slow
def test_a_pair_that_was_dropped_shows_in_the_numbers_alone(half: Any, good: Side, pairs: list[dict[str, Any]]) -> None:
    other = half("dropped", rows=[*pairs[:5], *pairs[6:]])
    (told,) = judged(good, other).differs
    assert told.startswith("another pairs (")
    found = unnamed(good, other)
    assert not found.agrees
    assert {one.quantity: one.step for one in found.worst}["logps_chosen"] >= 2  # it was in the second batch


@pytest.mark.slow
def test_swapped_answers_show_at_step_1(half: Any, good: Side, pairs: list[dict[str, Any]]) -> None:
    rows = [{**pair, "chosen": pair["rejected"], "rejected": pair["chosen"]} for pair in pairs]
    other = half("swapped", rows=rows)
    first = _at_step_1(good, other)
    assert not unnamed(good, other).agrees
    assert not first["logps_chosen"]
    assert not first["logps_rejected"]


def _at_step_1(good: Side, other: Side) -> dict[str, bool]:
    """Which quantities hold at the first two steps' first one: before any update."""
    one, two = (
        side.model_copy(
            update={
                "subject": good.subject.model_copy(update={"steps": 2}),
                "machine": good.machine,
                # step 1 twice over: nothing that the optimizer did is in it
                "series": {name: (values[0], values[0]) for name, values in side.series.items()},
            }
        )
        for side in (good, other)
    )
    return {worst.quantity: worst.holds for worst in judged(one, two).worst}


def test_log_probabilities_shifted_by_a_token_show_at_step_1(
    half: Any, good: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program, "build", _shifting(program.build))
    first = _at_step_1(good, half("shifted"))
    assert not first["logps_chosen"]
    assert not first["logps_rejected"]


def _shifting(build: Callable[..., Any]) -> Callable[..., Any]:
    """A build whose batches count each answer's tokens one place too late, as a wrong attention or loss mask does."""

    def shifted(*args: Any) -> Any:
        trainer = build(*args)
        collate = trainer.data_collator

        def late(rows: Any) -> Any:
            batch = collate(rows)
            batch["completion_mask"] = torch.roll(batch["completion_mask"], 1, dims=1)
            return batch

        trainer.data_collator = late
        return trainer

    return shifted


@pytest.mark.slow
def test_another_dtype_is_named_and_shows_in_the_numbers_alone(
    half: Any, good: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rounded(*, full: bool = False) -> tuple[str, torch.dtype]:
        return "cpu", torch.bfloat16

    monkeypatch.setattr(program, "best_device", rounded)
    other = half("bf16")
    assert judged(good, other).differs == (
        "weights in float32 on good, in bfloat16 on bf16",
        "computed in float32 on good, in bfloat16 on bf16",
    )
    held = {one.quantity: one.holds for one in unnamed(good, other).worst}
    assert not held["grad_norm"]
    assert not held["logps_chosen"]


@pytest.mark.slow
@pytest.mark.parametrize("how", [{"packing": False}, {}])
def test_in_bf16_another_packing_agrees_within_the_looser_tolerance(
    half: Any, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    monkeypatch.setattr(program, "best_device", lambda *, full=False: ("cpu", torch.bfloat16))
    one = half("bf16")
    other = half("bf16 too", how, **({} if how else {"max_tokens": 60}))
    finding = judged(one, other)
    assert finding.agrees
    assert finding.worst[0].difference > 0
    wrong = judged(one, half("bf16 beta", {"beta": 0.2}).model_copy(update={"subject": one.subject}))
    assert not wrong.agrees
