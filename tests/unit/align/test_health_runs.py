"""Real trainings of a tiny model: planted faults stop them by their name, and twenty healthy ones run to their end."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.jsonl import dump_lines
from tasks.align.program import Run
from tasks.align.watch import Unhealthy
from tests.conftest import CURT, NEUTRAL, POLITE, Never, sentence, training_spec

pytestmark = pytest.mark.slow


Words = Callable[[random.Random], str]


def rows(count: int, chosen: Words, rejected: Words, seed: int = 0) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    return [
        {
            "id": f"pair-{number}",
            "prompt": [{"role": "user", "content": sentence(rng, NEUTRAL, rng.randint(3, 10))}],
            "chosen": [{"role": "assistant", "content": chosen(rng)}],
            "rejected": [{"role": "assistant", "content": rejected(rng)}],
        }
        for number in range(count)
    ]


def of(words: list[str], least: int = 3, most: int = 9) -> Words:
    return lambda rng: sentence(rng, words, rng.randint(least, most))


def run(folder: Path, base: Path, steps: int, pairs: list[dict[str, Any]], seed: int = 0, **phase: Any) -> Any:
    """Train so many steps on the pairs; returns the history."""
    folder.mkdir()
    (folder / "pairs.jsonl").write_bytes(dump_lines(pairs))
    spec = training_spec(folder, base, folder / "pairs.jsonl", steps, phase, seed=seed, cache=str(folder))
    return Run(spec, Never()).train()


@pytest.fixture
def train(tmp_path: Path, tiny_model: Path) -> Any:
    """Train so many steps on pairs of (good, bad) words; returns the history."""

    def start(name: str, steps: int, good: list[str], bad: list[str], seed: int = 0, **phase: Any) -> Any:
        size = phase.setdefault("batch_size", 4)
        pairs = rows(steps * size, of(good), of(bad), seed)
        return run(tmp_path / name, tiny_model, steps, pairs, seed, **{"learning_rate": 2e-3, **phase})

    return start


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """The tiny model after learning to answer in two to four polite or curt words: it has something to lose."""
    folder = tmp_path_factory.mktemp("taught") / "sft"
    pairs = rows(150 * 16, of(POLITE + CURT, 2, 4), of(POLITE + CURT, 2, 4))
    run(folder, tiny_model, 150, pairs, method="sft", adapter="full", learning_rate=2e-2, batch_size=16)
    return folder / "out"


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


def stopped_by(training: Callable[[], Any]) -> str:
    with pytest.raises(Unhealthy) as verdict:
        training()
    assert verdict.value.stop.do
    return verdict.value.stop.name


def test_a_training_that_leaves_its_reference_far_behind_is_stopped_by_divergence(train: Any) -> None:
    # so small a model can't go far: the limit is lowered to what it does
    look = {"probe_every": 10, "probe_prompts": 32, "probe_tokens": 12, "health": {"max_kl": 0.005}}
    assert stopped_by(lambda: train("far", 60, POLITE, CURT, learning_rate=2e-2, **look)) == "kl_too_large"


def alike(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Pairs whose answers differ in one of thirty words: what one loses the other one loses too."""
    pairs, rng = rows(count, of(POLITE + CURT, 30, 30), of(POLITE), seed), random.Random(seed)
    for pair in pairs:
        words = pair["chosen"][0]["content"].split()
        place = rng.randrange(30)
        for side, word in (("chosen", "please"), ("rejected", "rude")):
            pair[side] = [{"role": "assistant", "content": " ".join([*words[:place], word, *words[place + 1 :]])}]
    return pairs


@pytest.mark.parametrize("seed", range(3))
def test_a_training_that_pushes_both_answers_down_is_stopped_by_displacement(
    seed: int, taught: Path, tmp_path: Path
) -> None:
    phase = {"adapter": "full", "batch_size": 8}
    pairs = alike(1200, seed)
    assert (
        stopped_by(lambda: run(tmp_path / "fast", taught, 150, pairs, learning_rate=2e-2, **phase))
        == "likelihood_displacement"
    )
    # one of the things it tells to change is a cure
    assert len(run(tmp_path / "slow", taught, 150, pairs, learning_rate=3e-4, **phase)) == 150


@pytest.mark.parametrize("seed", range(3))
def test_a_training_whose_answers_grow_is_stopped_by_their_length(seed: int, taught: Path, tmp_path: Path) -> None:
    longer = rows(60 * 8, of(POLITE + CURT, 12, 16), of(POLITE + CURT, 2, 4), seed)
    # so much longer answers are far from the reference, too, and that would be named first
    look = {"probe_every": 10, "probe_prompts": 32, "probe_tokens": 40, "health": {"max_kl": 5}}
    phase = {"learning_rate": 2e-3, "batch_size": 8, **look}
    assert stopped_by(lambda: run(tmp_path / "long", taught, 60, longer, **phase)) == "length_growth"


@pytest.mark.parametrize("seed", range(3))
def test_a_training_that_comes_to_pairs_of_another_kind_is_stopped_by_its_gradients(
    seed: int, taught: Path, tmp_path: Path
) -> None:
    odd = [pair | {"id": f"odd-{pair['id']}"} for pair in rows(80, of(CURT, 100, 100), of(POLITE, 100, 100), seed)]
    pairs = rows(320, of(POLITE), of(CURT), seed) + odd
    phase = {"learning_rate": 5e-3, "batch_size": 8}
    assert stopped_by(lambda: run(tmp_path / "odd", taught, 50, pairs, **phase)) == "gradient_spike"


def test_a_training_with_nothing_left_to_learn_is_stopped(train: Any) -> None:
    phase = {"learning_rate": 2e-2, "beta": 2.0, "health": {"saturated_loss": 0.2, "saturated_accuracy": 0.98}}
    assert stopped_by(lambda: train("done", 150, POLITE, CURT, **phase)) == "accuracy_saturated"


def test_a_training_that_learns_nothing_is_stopped(train: Any) -> None:
    phase = {"learning_rate": 1e-9, "batch_size": 2}
    assert stopped_by(lambda: train("still", 260, NEUTRAL, NEUTRAL, **phase)) == "loss_not_moving"
