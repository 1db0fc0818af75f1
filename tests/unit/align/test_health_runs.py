"""Real trainings of a tiny model: planted faults stop them by their name, and twenty healthy ones run to their end."""

import random
from pathlib import Path
from typing import Any

import pytest
from conftest import CURT, NEUTRAL, POLITE, sentence

from infra.digest import digest_of
from infra.jsonl import dump_lines
from tasks.align.program import Run
from tasks.align.watch import Unhealthy

pytestmark = pytest.mark.slow


class Never:
    received: str | None = None

    def __call__(self) -> bool:
        return False


@pytest.fixture
def train(tmp_path: Path, tiny_model: Path) -> Any:
    """Train so many steps on pairs of (good, bad) words; returns the history."""

    def run(name: str, steps: int, good: list[str], bad: list[str], seed: int = 0, **phase: Any) -> Any:
        rng = random.Random(seed)
        size = phase.setdefault("batch_size", 4)
        folder = tmp_path / name
        folder.mkdir()
        rows = [
            {
                "id": f"pair-{number}",
                "prompt": [{"role": "user", "content": sentence(rng, NEUTRAL, rng.randint(3, 10))}],
                "chosen": [{"role": "assistant", "content": sentence(rng, good, rng.randint(3, 9))}],
                "rejected": [{"role": "assistant", "content": sentence(rng, bad, rng.randint(3, 9))}],
            }
            for number in range(steps * size)
        ]
        (folder / "pairs.jsonl").write_bytes(dump_lines(rows))
        spec = {
            "base": str(tiny_model),
            "pairs": str(folder / "pairs.jsonl"),
            "out": str(folder / "out"),
            "seed": seed,
            "threads": 1,
            "steps": steps,
            "phase": {"max_steps": steps, "learning_rate": 2e-3, "probe_every": 0, **phase},
            "max_tokens": 1024,
            "shard": False,
            "cache": str(folder / "store"),
            "cache_context": digest_of(name),
            "context": digest_of(name),
            "checkpoints": str(folder / "checkpoints"),
        }
        return Run(spec, Never()).train()

    return run


def test_twenty_healthy_trainings_run_to_their_end(train: Any) -> None:
    phases: list[dict[str, Any]] = [
        {},
        {"loss": "ipo"},
        {"loss": "hinge"},
        {"beta": 0.5},
        {"warmup_steps": 5, "learning_rate": 5e-3},
    ]
    for seed in range(20):
        phase = phases[seed % len(phases)]
        look = {"probe_every": 20, "probe_prompts": 32, "probe_tokens": 12}
        history = train(f"healthy-{seed}", 30 + 5 * (seed % 4), POLITE, CURT, seed, **phase, **look)
        assert len(history) == 30 + 5 * (seed % 4)


def stopped_by(run: Any) -> str:
    with pytest.raises(Unhealthy) as verdict:
        run()
    assert verdict.value.stop.do
    return verdict.value.stop.name


def test_a_training_that_leaves_its_reference_far_behind_is_stopped_by_divergence(train: Any) -> None:
    # so small a model can't go far: the limit is lowered to what it does
    look = {"probe_every": 10, "probe_prompts": 32, "probe_tokens": 12, "health": {"max_kl": 0.005}}
    assert stopped_by(lambda: train("far", 60, POLITE, CURT, learning_rate=2e-2, **look)) == "kl_too_large"


def test_a_training_with_nothing_left_to_learn_is_stopped(train: Any) -> None:
    phase = {"learning_rate": 2e-2, "beta": 2.0, "health": {"saturated_loss": 0.2, "saturated_accuracy": 0.98}}
    assert stopped_by(lambda: train("done", 150, POLITE, CURT, **phase)) == "accuracy_saturated"


def test_a_training_that_learns_nothing_is_stopped(train: Any) -> None:
    phase = {"learning_rate": 1e-9, "batch_size": 2}
    assert stopped_by(lambda: train("still", 260, NEUTRAL, NEUTRAL, **phase)) == "loss_not_moving"
