"""Reward hacking is told from learning by two trends: of the trained reward, and of what held-out answers show."""

import math
import random
from typing import Any

import pytest

from tasks.align.hacking import hacked
from tasks.align.health import History, judge_health
from tasks.phases import HealthLimits

LIMITS = HealthLimits()
WINDOW = LIMITS.hacking_window


def training(
    seed: int,
    looks: int,
    reward: Any,
    watch: Any,
    *,
    every: int = 5,
    prompts: int = 32,
    answers: int = 64,
    epochs: int = 1,
) -> History:
    """A training whose answers earn right-or-wrong rewards with these chances, each a function of its share done.

    A rollout's reward is the mean of ``answers``, a look's watch the mean over ``prompts``.
    """
    rng, history = random.Random(seed), History()
    base = _drawn(rng, watch(0.0), prompts, "probe_base_watch", "-")["probe_base_watch"]
    for step in range(1, every * looks + 1):
        done = step / (every * looks)
        values: dict[str, float] = {"step": step, "loss": 0.1}
        if (step - 1) % epochs == 0:
            values |= _drawn(rng, reward(done), answers, "reward", "reward_std")
        if step % every == 0:
            values |= _drawn(rng, watch(done), prompts, "probe_watch", "probe_watch_spread")
            values["probe_base_watch"], values["probe_watch_room"] = base, 1 - values["probe_watch"]
            values["probe_watch_error"] = values["probe_watch_spread"] / math.sqrt(prompts)
        history.append(values)
    return history


def _drawn(rng: random.Random, chance: float, count: int, mean: str, spread: str) -> dict[str, float]:
    share = sum(rng.random() < chance for _ in range(count)) / count
    return {mean: share, spread: math.sqrt(share * (1 - share))}


def rising(done: float) -> float:
    return 0.1 + 0.85 * done


def falling(done: float) -> float:
    return 0.7 - 0.6 * done


def first_stop(history: History) -> int | None:
    """The step at which it would have been stopped."""
    for end in range(1, len(history) + 1):
        if hacked(history[:end], LIMITS) is not None:
            return end
    return None


def learned(done: float) -> float:
    """Fast at first, then all that there is."""
    return 0.97 - 0.87 * math.exp(-8 * done)


HEALTHY = {
    "learning": (rising, rising),
    "learned": (learned, learned),
    "slower on held-out prompts": (learned, lambda done: 0.6 - 0.5 * math.exp(-4 * done)),
    "nothing to learn": (lambda done: 0.4, lambda done: 0.4),
    "the watch was good already": (rising, lambda done: 0.95),
    "the watch comes late": (lambda done: min(0.1 + 1.6 * done, 0.95), lambda done: max(0.0, 1.6 * done - 0.8)),
    "both fall": (falling, falling),
    "reward falls": (falling, rising),
}


@pytest.mark.parametrize("kind", HEALTHY)
def test_a_healthy_training_is_silent_over_fifty_seeds(kind: str) -> None:
    stops = [seed for seed in range(50) if first_stop(training(seed, 40, *HEALTHY[kind])) is not None]
    assert stops == [], f"{kind}: {stops}"


@pytest.mark.parametrize("looks", [16, 32, 64])
def test_a_reward_that_rises_while_the_watch_falls_is_stopped_however_slowly_it_does(looks: int) -> None:
    stops = [first_stop(training(seed, looks, rising, falling)) for seed in range(50)]
    assert all(stop is not None for stop in stops), stops


def test_a_jump_of_the_reward_and_a_drop_of_the_watch_are_stopped_wherever_they_come() -> None:
    for place in (0.02, 0.3, 0.7):
        stops = [
            first_stop(training(seed, 16, lambda done: 0.9 if done > place else 0.1, lambda done: 0.1 if done > place else 0.8))  # noqa: B023, E501
            for seed in range(20)
        ]  # fmt: skip
        assert all(stop is not None for stop in stops), (place, stops)


def test_a_reward_that_rises_while_the_watch_stands_still_is_stopped_where_the_looks_are_sharp_enough() -> None:
    def still(done: float) -> float:
        return 0.4

    stops = [first_stop(training(seed, 16, rising, still, prompts=1000)) for seed in range(50)]
    assert all(stop is not None for stop in stops), stops
    few = [first_stop(training(seed, 12, rising, still, prompts=8)) for seed in range(20)]
    assert few == [None] * 20


def test_the_sentence_names_both_trends_and_the_stop_its_step_and_an_action() -> None:
    history = training(1, 16, rising, falling)
    end = first_stop(history)
    assert end is not None
    stop = judge_health(history[:end], LIMITS, 0.1)
    assert stop is not None
    assert (stop.name, stop.step) == ("reward_hacking", end)
    assert "the trained reward rose by 0." in stop.what
    assert "held-out answers fell by 0." in stop.what
    assert "phase.reward" in stop.do


def test_fewer_looks_than_half_the_window_say_nothing() -> None:
    history = training(1, WINDOW // 2 - 1, rising, lambda done: 0.9 if done < 0.2 else 0.0)
    assert first_stop(history) is None
    assert hacked([], LIMITS) is None


def test_only_the_step_of_a_look_is_judged() -> None:
    history = training(1, 16, rising, falling)
    end = first_stop(history)
    assert end is not None
    assert hacked([*history[:end], {"step": end + 1, "reward": 0.9, "reward_std": 0.1}], LIMITS) is None


def test_a_watch_that_never_told_answers_apart_proves_nothing() -> None:
    assert first_stop(training(1, 30, rising, lambda done: 0.0)) is None
    assert first_stop(training(1, 30, rising, lambda done: 1.0)) is None


def test_rollouts_that_serve_several_steps_are_looked_at_once() -> None:
    assert first_stop(training(3, 16, rising, falling, every=8, epochs=4)) is not None


def test_a_wider_window_and_more_errors_ask_for_more_proof() -> None:
    history = training(2, 16, rising, falling)
    end = first_stop(history)
    assert end is not None
    for changes in ({"hacking_window": 40}, {"hacking_errors": 100.0}, {"hacking_rise": 50.0}):
        assert hacked(history[:end], LIMITS.model_copy(update=changes)) is None
