"""Health conditions: each finds its planted fault, none speaks up in a healthy run.

The runs are simulated pair by pair, so that loss, accuracy, margin and gradient belong together as in a real one.
"""

import math
import random
from itertools import pairwise
from typing import get_args

import pytest
from pydantic import ValidationError

from tasks.align.health import _CHECKS, Condition, HealthLimits, History, Stop, judge_health

BETA = 0.1
LIMITS = HealthLimits()
KINDS = ("easy", "hard", "displaced", "mixed")
RUNS_A_KIND = 75


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def simulate(
    seed: int,
    steps: int,
    *,
    nats: float = 20.0,
    certainty: float = 1.0,
    displaced: float = 0.0,
    pace: float = 0.3,
    batch: int = 4,
    warmup: int = 0,
    warmup_gradient: float = 1.0,
    probe_every: int = 0,
) -> History:
    """A training as DPOTrainer logs it.

    Args:
        nats: log-ratio margin the run tends to.
        certainty: mean margin over its spread among pairs: 0.25 gives an accuracy of 0.6, 4 gives 1.
        displaced: the chosen answers' fall as a share of the rejected ones'; negative: they rise.
        pace: share of the run after which 1 − 1/e of it is learned.
        warmup_gradient: what gradients are multiplied by at the first step; 1 at the end of the warm-up.
    """
    rng, history, learned = random.Random(seed), [], 0.0
    scale, kl, growth = rng.lognormvariate(0, 1), rng.uniform(0.02, 0.3), rng.uniform(0.6, 1.8)
    for step in range(1, steps + 1):
        warm = min(step / (warmup + 1), 1.0)
        learned += (1 - learned) * warm / max(pace * steps, 3)
        mean = learned * nats
        margins = [rng.gauss(mean, 0.02 + mean / certainty) for _ in range(batch)]
        chosen = [rng.gauss(-displaced / (1 - displaced) * mean, 0.02 + mean / 2) for _ in margins]
        weight = sum(1 / (1 + math.exp(min(BETA * margin, 300))) for margin in margins) / batch
        odd = rng.uniform(2, 6) if rng.random() < 0.02 else 1.0
        norm = scale * weight * odd * rng.lognormvariate(0, 0.35) * warmup_gradient ** (1 - warm)
        history.append(
            {
                "step": step,
                "loss": sum(softplus(-BETA * margin) for margin in margins) / batch,
                "grad_norm": norm,
                "learning_rate": 1e-4 * (warm if step <= warmup else (steps - step + 1) / (steps - warmup)),
                "rewards_chosen": BETA * sum(chosen) / batch,
                "rewards_rejected": BETA * sum(c - m for c, m in zip(chosen, margins, strict=True)) / batch,
                "rewards_accuracies": sum(margin > 0 for margin in margins) / batch,
                "rewards_margins": BETA * sum(margins) / batch,
                "logps_chosen": -120 + sum(chosen) / batch,
                "logps_rejected": -120 + sum(c - m for c, m in zip(chosen, margins, strict=True)) / batch,
            }
        )
        if probe_every and step % probe_every == 0:
            base = rng.gauss(80, 5)
            tokens = base * (1 + (growth - 1) * learned) * rng.gauss(1, 0.08)
            history[-1] |= {"probe_kl": kl * learned + rng.gauss(0, 0.02)}
            history[-1] |= {"probe_tokens": tokens, "probe_base_tokens": base}
    return history


def healthy(kind: str, seed: int) -> History:
    rng = random.Random(f"{kind} {seed}")
    steps = rng.randint(5, 400)
    warmup = rng.randint(1, max(steps // 5, 1))
    shape = {
        "easy": {"nats": rng.uniform(20, 40), "certainty": rng.uniform(3, 6), "pace": rng.uniform(0.05, 0.3)},
        "hard": {"nats": rng.uniform(5, 15), "certainty": rng.uniform(0.25, 0.4), "displaced": rng.uniform(-0.5, 0.4)},
        "displaced": {"nats": rng.uniform(10, 40), "certainty": 1.5, "displaced": rng.uniform(0.2, 0.6)},
        "mixed": {"nats": rng.uniform(5, 30), "certainty": rng.uniform(0.5, 2), "batch": rng.choice([2, 4, 16])},
    }[kind]
    gradient = rng.choice([0.02, 1.0, 30.0])
    return simulate(seed, steps, warmup=warmup, warmup_gradient=gradient, probe_every=rng.randint(1, 20), **shape)


def first_stop(history: History, limits: HealthLimits = LIMITS, begin: int = 1) -> Stop | None:
    """What a training judged after every step would have heard."""
    stops = (judge_health(history[:end], limits, BETA) for end in range(begin, len(history) + 1))
    return next((stop for stop in stops if stop), None)


def steady(steps: int, **values: float) -> History:
    """A run without noise: the reference's own values unless told."""
    still = {"loss": 0.5, "grad_norm": 1.0, "rewards_chosen": 0.1, "rewards_rejected": -0.4}
    return [{"step": i + 1, **still, "rewards_margins": 0.5, "rewards_accuracies": 0.8, **values} for i in range(steps)]


def assert_tells(stop: Stop | None, name: str, step: int) -> None:
    assert stop is not None
    assert (stop.name, stop.step) == (name, step)
    assert "limit" in stop.what or name == "not_finite"
    assert "phase." in stop.do


# --- healthy runs


@pytest.mark.parametrize("kind", KINDS)
def test_no_step_of_a_healthy_run_is_stopped(kind: str) -> None:
    alarms = {seed: stop for seed in range(RUNS_A_KIND) if (stop := first_stop(healthy(kind, seed)))}
    assert alarms == {}


def test_the_healthy_runs_have_the_shapes_they_claim() -> None:
    def late(kind: str, key: str) -> list[float]:
        runs = [run for seed in range(RUNS_A_KIND) if len(run := healthy(kind, seed)) >= 100]
        return [sum(step[key] for step in run[-40:]) / 40 for run in runs]

    easy, hard = late("easy", "rewards_accuracies"), late("hard", "rewards_accuracies")
    assert sum(accuracy > 0.99 for accuracy in easy) > len(easy) / 2
    assert all(0.5 < accuracy < 0.75 for accuracy in hard)
    assert min(late("displaced", "rewards_chosen")) < -LIMITS.displacement_nats * BETA
    lengths = [len(healthy(kind, seed)) for kind in KINDS for seed in range(RUNS_A_KIND)]
    assert min(lengths) < 15
    assert max(lengths) > 390


def test_histories_shorter_than_every_window_are_silent() -> None:
    assert judge_health([], LIMITS, BETA) is None
    assert first_stop(steady(9, rewards_chosen=-90, rewards_rejected=-95, loss=0.0, rewards_accuracies=1.0)) is None


@pytest.mark.parametrize("seed", range(20))
def test_metrics_of_another_method_are_judged_for_what_they_carry(seed: int) -> None:
    run = [{key: step[key] for key in ("step", "loss", "learning_rate")} for step in healthy("easy", seed)]
    assert first_stop(run) is None
    assert_tells(judge_health([*run, {"step": 401, "loss": math.nan}], LIMITS, BETA), "not_finite", 401)


KEYS = {
    "gradient_spike": ("grad_norm",),
    "kl_too_large": ("probe_kl",),
    "length_growth": ("probe_tokens", "probe_base_tokens"),
    "likelihood_displacement": ("rewards_chosen", "rewards_rejected"),
    "accuracy_saturated": ("rewards_accuracies", "loss"),
    "loss_not_moving": ("rewards_margins", "loss"),
    "no_signal": ("frac_reward_zero_std", "reward"),
    "reward_hacking": (
        "probe_watch",
        "probe_watch_spread",
        "probe_base_watch",
        "probe_watch_error",
        "probe_watch_room",
        "reward",
        "reward_std",
    ),
}


def faulty(name: str, seed: int = 0) -> History:
    """A run whose newest step has the fault ``name`` and no other."""
    healthy_run = simulate(seed, 220)
    match name:
        case "not_finite":
            return [*healthy_run[:-1], {**healthy_run[-1], "rewards_margins": math.inf}]
        case "gradient_spike":
            return [*healthy_run[:-2], *({**step, "grad_norm": 400.0} for step in healthy_run[-2:])]
        case "kl_too_large":
            return [*healthy_run[:-1], {**healthy_run[-1], "probe_kl": 0.7}]
        case "length_growth":
            return [*healthy_run[:-1], {**healthy_run[-1], "probe_tokens": 210.0, "probe_base_tokens": 70.0}]
        case "likelihood_displacement":
            return simulate(seed, 220, nats=15, certainty=20, displaced=0.9, pace=2.0)
        case "accuracy_saturated":
            return simulate(seed, 220, nats=90, certainty=6, pace=0.1)
        case "loss_not_moving":
            rng = random.Random(seed)
            margins = [rng.gauss(0, 0.01) for _ in range(220)]
            return [
                {"step": i + 1, "loss": softplus(-margin), "rewards_margins": margin}
                for i, margin in enumerate(margins)
            ]
        case "no_signal":
            return drawing([0.5] * 195 + [1.0] * 25)
        case "reward_hacking":
            steps: History = [{"step": i + 1, "reward": i / 300, "reward_std": 0.3} for i in range(220)]
            looks = {
                i: {
                    "probe_watch": 0.6 - i / 800,
                    "probe_watch_spread": 0.4,
                    "probe_watch_error": 0.001,
                    "probe_watch_room": 0.5,
                    "probe_base_watch": 0.6,
                }
                for i in range(19, 220, 20)
            }
            return [step | looks.get(i, {}) for i, step in enumerate(steps)]
    raise AssertionError(name)


def drawing(equal: list[float]) -> History:
    """A training on its own answers, whose share of prompts without signal is this, step by step."""
    return [
        {"step": i + 1, "loss": 0.1, "grad_norm": 1.0 - 0.99 * share, "reward": 0.3, "frac_reward_zero_std": share}
        for i, share in enumerate(equal)
    ]


def test_every_condition_is_checked_and_has_a_fault_here() -> None:
    assert tuple(_CHECKS) == get_args(Condition)
    assert {*KEYS, "not_finite"} == set(_CHECKS)


@pytest.mark.parametrize("name", _CHECKS)
def test_a_fault_is_found_and_named_with_its_step_and_an_action(name: Condition) -> None:
    assert_tells(judge_health(faulty(name), LIMITS, BETA), name, 220)


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in KEYS.items() for key in keys])
def test_a_condition_without_one_of_its_metrics_is_silent(name: str, key: str) -> None:
    run = [{k: value for k, value in step.items() if k != key} for step in faulty(name)]
    assert judge_health(run, LIMITS, BETA) is None


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in KEYS.items() for key in keys])
def test_a_nan_that_got_past_never_proves_health(name: Condition, key: str) -> None:
    """The newest step's NaN is `not_finite`; but no check of its own takes one for a good value."""
    run = [{**step, key: math.nan} for step in faulty(name)]
    assert _CHECKS[name](run, LIMITS, BETA) is not None
    assert_tells(judge_health(run, LIMITS, BETA), "not_finite", 220)


# --- each condition at its limit


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_no_finite_number_is_named(value: float) -> None:
    stop = judge_health([*steady(3), {"step": 4, "loss": 0.5, "grad_norm": value}], LIMITS, BETA)
    assert_tells(stop, "not_finite", 4)
    assert stop is not None
    assert f"grad_norm is {value}" in stop.what
    assert "loss" not in stop.what


def test_a_step_number_that_is_nan_is_a_fault_at_its_place() -> None:
    assert_tells(judge_health([{"step": 1.0}, {"step": math.nan}], LIMITS, BETA), "not_finite", 2)


@pytest.mark.parametrize(("kl", "fires"), [(-0.02, False), (0.3, False), (0.5, False), (0.501, True), (4.0, True)])
def test_kl_may_reach_its_limit_and_not_pass_it(kl: float, fires: bool) -> None:
    stop = judge_health([*steady(5), {"step": 6, "probe_kl": kl}], LIMITS, BETA)
    assert (stop is not None) == fires
    if fires:
        assert_tells(stop, "kl_too_large", 6)


def test_an_older_probe_is_not_judged_again() -> None:
    assert judge_health([{"step": 1, "probe_kl": 4.0, "probe_tokens": 900, "probe_base_tokens": 9}, *steady(1)][-2:],
                        LIMITS, BETA) is None  # fmt: skip


@pytest.mark.parametrize(("tokens", "fires"), [(19, True), (21, False), (80, False), (199, False), (201, True)])
def test_answers_may_grow_and_shrink_within_limits(tokens: float, fires: bool) -> None:
    probe = {"step": 6, "probe_tokens": tokens, "probe_base_tokens": 80.0}
    stop = judge_health([*steady(5), probe], LIMITS, BETA)
    assert (stop is not None) == fires
    if fires:
        assert_tells(stop, "length_growth", 6)


def test_a_reference_without_answers_is_no_proof_of_health() -> None:
    stop = judge_health([{"step": 1, "probe_tokens": 5.0, "probe_base_tokens": 0.0}], LIMITS, BETA)
    assert_tells(stop, "length_growth", 1)


@pytest.mark.parametrize(
    ("spikes", "fires"),
    [
        ({60: 9.9, 61: 9.9}, None),  # below the factor
        ({60: 11.0}, None),  # once: clipped, and gone
        ({60: 99.0}, None),
        ({60: 101.0}, 60),  # once, but beyond doubt
        ({57: 11.0, 60: 11.0}, 60),
        ({56: 11.0, 60: 11.0}, 60),
        ({55: 11.0, 60: 11.0}, None),  # too far apart
        ({60: 11.0, 61: 11.0}, 61),
    ],
)
def test_gradients_spike_twice_or_beyond_doubt(spikes: dict[int, float], fires: int | None) -> None:
    run = [{**step, "grad_norm": spikes.get(i, 1.0)} for i, step in enumerate(steady(70), 1)]
    stop = first_stop(run)
    if fires is None:
        assert stop is None
    else:
        assert_tells(stop, "gradient_spike", fires)


@pytest.mark.parametrize("first", [0.001, 1000.0])
def test_gradients_of_a_warmup_are_no_spike_and_hide_none_later(first: float) -> None:
    run = steady(60)
    for i, step in enumerate(run):
        step["learning_rate"] = min(i / 20, 1.0)
        step["grad_norm"] = first ** max(1 - i / 20, 0.0)
    assert first_stop(run) is None
    for step in run[50:]:
        step["grad_norm"] = 20.0
    assert_tells(first_stop(run), "gradient_spike", 52)


def test_a_wrong_label_late_in_an_easy_run_is_no_spike() -> None:
    run = steady(100)
    for i, step in enumerate(run):
        step["grad_norm"] = 1.0 if i < 15 else 0.005
    run[90]["grad_norm"] = run[93]["grad_norm"] = 2.0  # 400x the running median, 2x the beginning
    assert first_stop(run) is None


def test_a_run_without_gradients_has_no_usual_one() -> None:
    run = steady(20, grad_norm=0.0)
    run[-1]["grad_norm"] = run[-2]["grad_norm"] = 1.0
    assert first_stop(run) is None


def falling(chosen: float, rejected: float, steps: int = 40) -> History:
    """Log-ratios that fall in a straight line to ``chosen`` and ``rejected`` nats, as the mean of the last window."""
    middle = steps - (LIMITS.displacement_window - 1) / 2
    return [
        {"step": i, "rewards_chosen": BETA * chosen * i / middle, "rewards_rejected": BETA * rejected * i / middle}
        for i in range(1, steps + 1)
    ]


@pytest.mark.parametrize(
    ("chosen", "rejected", "fires"),
    [
        (-31.0, -38.0, True),
        (-29.0, -36.0, False),  # few nats
        (-31.0, -39.0, False),  # the rejected ones fall faster: 79 %
        (-200.0, -400.0, False),  # half of it: common in healthy models
        (-31.0, -30.0, False),  # no margin grows: another fault
        (31.0, 30.0, False),
    ],
)
def test_displacement_takes_nats_and_share_together(chosen: float, rejected: float, fires: bool) -> None:
    stop = judge_health(falling(chosen, rejected), LIMITS, BETA)
    assert (stop is not None) == fires
    if fires:
        assert_tells(stop, "likelihood_displacement", 40)


def test_displacement_counts_nats_whatever_beta_is() -> None:
    run = [{**step, "rewards_chosen": step["rewards_chosen"] / 10, "rewards_rejected": step["rewards_rejected"] / 10}
           for step in falling(-31.0, -38.0)]  # fmt: skip
    assert judge_health(run, LIMITS, BETA) is None
    assert_tells(judge_health(run, LIMITS, BETA / 10), "likelihood_displacement", 40)


def test_chosen_answers_that_have_stopped_falling_are_silent() -> None:
    run = falling(-60.0, -66.0)
    rising = [{**run[-1], "step": 41 + i, "rewards_chosen": -6.5 + i / 100} for i in range(20)]
    assert judge_health([*run, *rising], LIMITS, BETA) is None


@pytest.mark.parametrize(
    ("right", "loss", "steps", "fires"),
    [
        (1.0, 0.0049, 60, True),
        (1.0, 0.0051, 60, False),  # more than 1 % of 0.5 is left
        (0.995, 0.0049, 60, False),  # a pair is still ranked wrong
        (1.0, 0.0049, 54, False),  # a short night
        (1.0, 0.0049, 55, True),
    ],
)
def test_nothing_is_left_to_learn_once_all_is_right_and_the_loss_is_gone(
    right: float, loss: float, steps: int, fires: bool
) -> None:
    run = [*steady(5), *({**s, "step": s["step"] + 5} for s in steady(steps - 5, loss=loss, rewards_accuracies=right))]
    stop = judge_health(run, LIMITS, BETA)
    assert (stop is not None) == fires
    if stop:
        assert_tells(stop, "accuracy_saturated", steps)
        assert f"phase.max_steps to about {steps - 50}" in stop.do


def test_a_run_that_moves_nothing_is_stopped_once_it_had_its_steps() -> None:
    stops = [first_stop(faulty("loss_not_moving", seed)) for seed in range(20)]
    found = [stop for stop in stops if stop]
    assert all(stop.name == "loss_not_moving" and stop.step >= 200 for stop in found)
    assert len(found) >= 18  # pure noise keeps within two standard errors some 95 times of 100, and is asked again


def test_a_dead_run_of_zeros_does_not_move() -> None:
    run = steady(220, rewards_margins=0.0, rewards_accuracies=0.0, loss=0.6931)
    assert_tells(first_stop(run), "loss_not_moving", 200)


def test_the_warmup_is_not_counted_against_a_run() -> None:
    run = [{**step, "learning_rate": min(i / 30, 1.0)} for i, step in enumerate(faulty("loss_not_moving"), 1)]
    assert judge_health(run[:220], LIMITS, BETA) is None
    stop = judge_health([*run, *({**run[-1 - i], "step": 221 + i} for i in range(20))], LIMITS, BETA)
    assert_tells(stop, "loss_not_moving", 240)


@pytest.mark.parametrize("seed", range(30))
def test_a_slow_learner_is_left_alone(seed: int) -> None:
    """It ends at a reward margin of some 0.006, an accuracy of 0.6 and a loss 0.4 % below its start."""
    assert first_stop(simulate(seed, 400, nats=0.1, certainty=0.25, pace=1.0), begin=200) is None


def test_a_margin_that_moves_is_enough_and_so_is_a_loss() -> None:
    rng = random.Random(0)
    noise = [rng.gauss(0, 0.01) for _ in range(220)]
    assert judge_health(steady_with(noise, [0.69] * 220), LIMITS, BETA) is not None
    assert judge_health(steady_with([0.01 + x for x in noise], [0.69] * 220), LIMITS, BETA) is None
    assert judge_health(steady_with(noise, [0.69 - i * 1e-4 for i in range(220)]), LIMITS, BETA) is None


def test_a_margin_over_the_whole_run_is_enough_where_one_window_shows_none() -> None:
    rng = random.Random(0)
    margins = [0.005 + rng.gauss(0, 0.01) for _ in range(120)] + [rng.gauss(0, 0.01) for _ in range(100)]
    assert judge_health(steady_with(margins, [0.69] * 220), LIMITS, BETA) is None


def test_pairs_ranked_right_too_often_are_enough_where_the_margin_is_lost_in_noise() -> None:
    run = faulty("loss_not_moving")
    for i, step in enumerate(run):
        step["rewards_accuracies"] = (0.5, 0.75)[i % 2]
    assert judge_health(run, LIMITS, BETA) is None
    for i, step in enumerate(run):
        step["rewards_accuracies"] = (0.25, 0.75)[i % 2]
    assert_tells(judge_health(run, LIMITS, BETA), "loss_not_moving", 220)


def test_a_margin_of_the_last_window_is_enough_where_the_whole_run_shows_none() -> None:
    rng = random.Random(0)
    margins = [(-0.005 if i < 120 else 0.006) + rng.gauss(0, 0.01) for i in range(220)]
    assert abs(sum(margins) / 220) < 0.001
    assert judge_health(steady_with(margins, [0.69] * 220), LIMITS, BETA) is None


def steady_with(margins: list[float], losses: list[float]) -> History:
    pairs = zip(margins, losses, strict=True)
    return [{"step": i, "rewards_margins": margin, "loss": loss} for i, (margin, loss) in enumerate(pairs, 1)]


# --- faults late in a healthy run


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_that_explode_late_are_found_within_two_steps(kind: str, seed: int) -> None:
    run = simulate(seed, 200, certainty=3 if kind == "easy" else 0.5, warmup=10, warmup_gradient=30.0)
    for step in run[150:]:
        step["grad_norm"] = 40 * max(s["grad_norm"] for s in run[10:30])
    stop = first_stop(run)
    assert_tells(stop, "gradient_spike", stop.step if stop else 0)
    assert stop is not None
    assert 151 <= stop.step <= 152


@pytest.mark.parametrize("seed", range(5))
def test_displacement_that_begins_late_is_found_within_two_windows(seed: int) -> None:
    run = simulate(seed, 200, nats=15, certainty=2)
    for i, step in enumerate(run[150:], 1):  # both fall together, 6 nats a step, the rejected ones a little faster
        step["rewards_chosen"] -= BETA * 6.0 * i
        step["rewards_rejected"] -= BETA * 6.2 * i
    stop = first_stop(run)
    assert stop is not None
    assert stop.name == "likelihood_displacement"
    assert 150 < stop.step <= 170


@pytest.mark.parametrize(
    ("key", "factor", "name"),
    [("probe_kl", 20, "kl_too_large"), ("probe_tokens", 6, "length_growth"), ("probe_tokens", 0.1, "length_growth")],
)
def test_a_probe_that_goes_wrong_late_is_found_at_once(key: str, factor: float, name: str) -> None:
    run = simulate(3, 200, probe_every=10)
    assert first_stop(run) is None
    for step in run[150:]:
        if key in step:
            step[key] *= factor
    assert_tells(first_stop(run), name, 160)


def test_the_cause_is_named_before_its_consequence() -> None:
    run = faulty("gradient_spike")
    run[-1] |= {"probe_kl": 9.0, "probe_tokens": 900.0, "probe_base_tokens": 80.0}
    assert_tells(judge_health(run, LIMITS, BETA), "gradient_spike", 220)
    run[-1]["loss"] = math.nan
    assert_tells(judge_health(run, LIMITS, BETA), "not_finite", 220)


def test_one_prompt_whose_answers_differ_is_signal_enough() -> None:
    window = LIMITS.no_signal_window
    assert first_stop(drawing([1.0] * (window - 1) + [0.75] + [1.0] * (window - 1))) is None
    assert_tells(first_stop(drawing([0.75] + [1.0] * window)), "no_signal", window + 1)


def test_steps_that_draw_nothing_are_no_rollouts_without_signal() -> None:
    window = LIMITS.no_signal_window
    between: History = [{"loss": 0.1, "grad_norm": 1.0} for _ in range(3)]
    run = [{**step, "step": i + 1} for i, step in enumerate(s for r in drawing([1.0] * window) for s in (r, *between))]
    assert first_stop(run[: 4 * (window - 1)]) is None
    assert_tells(first_stop(run), "no_signal", 4 * window - 3)


def test_gradients_that_come_with_the_first_signal_are_no_spike() -> None:
    run = [{**step, "learning_rate": 1e-4} for step in drawing([1.0] * 20 + [0.5] * 3)]
    assert first_stop(run) is None
    without = [{key: value for key, value in step.items() if key != "frac_reward_zero_std"} for step in run]
    assert first_stop(without) is not None  # of a training on pairs they would be


# --- limits


def test_limits_are_described_bounded_and_every_one_is_used() -> None:
    for name, field in HealthLimits.model_fields.items():
        assert field.description, name
        with pytest.raises(ValidationError):
            HealthLimits.model_validate({name: 0})
        with pytest.raises(ValidationError):
            HealthLimits.model_validate({name: math.nan})


@pytest.mark.parametrize("beta", [0.0, -0.1, math.nan])
def test_rewards_have_no_nats_without_a_positive_beta(beta: float) -> None:
    with pytest.raises(ValueError, match="beta must be positive"):
        judge_health(steady(1), LIMITS, beta)


def test_a_run_resumed_in_the_middle_keeps_its_step_numbers() -> None:
    run = [{**step, "step": step["step"] + 1000} for step in faulty("kl_too_large")]
    assert all(b["step"] - a["step"] == 1 for a, b in pairwise(run))
    assert_tells(judge_health(run, LIMITS, BETA), "kl_too_large", 1220)
