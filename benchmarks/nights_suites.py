"""All suites of a recipe in one simulated night: what benchmarks/nights.py prints. Nothing here is run by itself."""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from benchmarks.nights_years import PSI, START
from tasks.gate.power import Together, both_pass, bound_passes, unharmed
from tasks.gate.sequential import Looks, boundaries, plan_looks
from tasks.gate.statistics import (
    MIN_GRADED,
    Comparison,
    Discordant,
    compare_graded,
    compare_right,
    hall_p_harm,
    tango_statistic,
)
from tasks.gate.verdict import judge_suite, overall
from tasks.recipe import GateSpec, SuiteSpec

# standard deviation of paired p(correct): an eighth of right/wrong's variance at a disagreement of 8 %
GRADED_SPREAD = 0.10


class Held(NamedTuple):
    """Verdicts on a candidate that is truly better by ``gain`` on the target and equal on the other suites.

    Attributes:
        passed, failed: shares of PASS and FAIL.
        bounds: share that would pass, were the target not asked to be better.
    """

    gain: float
    passed: float
    failed: float
    bounds: float


def simulate_suites(
    gate: GateSpec, sizes: dict[str, int], gain: float, nights: int, rng: np.random.Generator, chances: np.ndarray
) -> Held:
    """The product's comparisons, looks for harm and verdicts, on simulated results of all suites."""
    share = gate.alpha / len(gate.suites)
    looks = {spec.name: looks_of(spec, sizes[spec.name]) for spec in gate.suites}
    words: list[str] = []
    bounds = 0
    for _ in range(nights):
        asked, unasked = [], []
        for spec in gate.suites:
            target = spec.name == gate.target
            new, old, far = draw(spec, sizes[spec.name], gain if target else 0.0, rng, chances)
            champion = compare(spec, new, old, gate.alpha)
            anchor = compare(spec, new, far, gate.alpha / gate.planned_decisions)
            harm = harmed(spec, new - old, looks[spec.name], share)
            asked.append(judge_suite(spec, champion, anchor, harm, target)[0])
            unasked.append(judge_suite(spec, champion, anchor, harm, False)[0])
        words.append(overall(asked))
        bounds += overall(unasked) == "PASS"
    return Held(gain, words.count("PASS") / nights, words.count("FAIL") / nights, bounds / nights)


def looks_of(spec: SuiteSpec, n: int) -> Looks:
    return plan_looks([str(item) for item in range(n)], "nights", MIN_GRADED if spec.measure == "probability" else 1)


def draw(
    spec: SuiteSpec, n: int, gain: float, rng: np.random.Generator, chances: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Results of candidate, champion and anchor: the last two are equal models, each with noise of its own."""
    if spec.measure == "right":
        level = rng.integers(0, chances.shape[1], n)
        new, old, far = (rng.random(n) < chances[START + shift, level] for shift in (round(1000 * gain), 0, 0))
        return new.astype(float), old.astype(float), far.astype(float)
    noise = rng.normal(0, GRADED_SPREAD / math.sqrt(2), (3, n))
    noise[0] += gain
    new, old, far = np.clip(rng.uniform(0.35, 0.65, n) + noise, 0, 1)
    return new, old, far


def compare(spec: SuiteSpec, new: np.ndarray, old: np.ndarray, alpha: float) -> Comparison:
    if spec.measure == "right":
        return compare_right(new.astype(bool).tolist(), old.astype(bool).tolist(), alpha)
    return compare_graded(new.tolist(), old.tolist(), alpha)


def harmed(spec: SuiteSpec, x: np.ndarray, looks: Looks, alpha: float) -> bool:
    """Whether a look crosses at the suite's share of α: where Holm rejects anything, it rejects that first."""
    for size, bound in zip(looks.sizes, boundaries(alpha, looks.fractions), strict=True):
        seen = x[list(looks.order[:size])]
        if spec.measure == "right":
            z = -tango_statistic(Discordant(int((seen > 0).sum()), int((seen < 0).sum()), size), 0.0)
        else:
            z = float(norm.isf(hall_p_harm(seen)))
        if z >= bound:
            return True
    return False


def suite_sizes(gate: GateSpec, root: Path) -> dict[str, int]:
    """Items a suite really has: its file's, at most ``max_items``; of the house suite, made each night, the most."""
    sizes = {}
    for spec in gate.suites:
        file = root / (spec.path or f"expectations/model/{spec.name}") / "items.jsonl"
        count = sum(bool(line.strip()) for line in file.read_text().splitlines()) if file.is_file() else gate.max_items
        sizes[spec.name] = min(count, gate.max_items)
    return sizes


def predicted(gate: GateSpec, sizes: dict[str, int]) -> Together:
    """What tasks/gate/power.py says of an equal model: all bounds pass, no harm is found."""
    rows = []
    for spec in gate.suites:
        spread = math.sqrt(PSI) if spec.measure == "right" else GRADED_SPREAD
        n = sizes[spec.name]
        passes = bound_passes(spec.measure, n, spread, spec.margin, gate.alpha)
        champion = unharmed(passes, gate.alpha / len(gate.suites), looks_of(spec, n).fractions)
        far = bound_passes(spec.measure, n, spread, spec.budget, gate.alpha / gate.planned_decisions)
        rows.append(both_pass(champion, far))
    return Together(*(math.prod(row[index] for row in rows) for index in range(3)))
