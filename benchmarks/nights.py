"""A year of nights under five rules: what a gate loses when every candidate is truly a little worse, by simulation.

    python benchmarks/nights.py                 # seconds
    python benchmarks/nights.py --years 1000    # two minutes; standard errors a fifth

365 nights; the first champion is right on 80 % of all items and is the anchor; a candidate is 0.3 points worse than the
champion it would replace, or in the mixed table 0.5 points better with a probability of 20 %. An item has its own
chance of being answered right, and every model answers it anew: two models at 80 % disagree on 8 % of the items,
candidate, champion and anchor alike (docs/design/gate-statistics.md says why this reading). A fresh bank is drawn anew
each night; a re-used one keeps its items, and the stored answers of champion and anchor. Then all suites of a recipe
together, with its sizes: how often a truly better candidate is held back. The last line is one JSON object.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from benchmarks.nights_suites import GRADED_SPREAD, predicted, simulate_suites, suite_sizes  # noqa: E402
from benchmarks.nights_years import (  # noqa: E402
    NIGHTS,
    PSI,
    RULES,
    STEPS,
    Answers,
    inherited_answers,
    own_answers,
    simulate,
)
from tasks.gate.wear import bank_wear  # noqa: E402
from tasks.recipe import load_recipe  # noqa: E402

BANKS = [(kind, n) for kind in ("fresh", "re-used") for n in (500, 2000)]
GAINS = (0.0, 0.01, 0.02, 0.03, 0.05)
WORN = (10, 30, 100, 365)  # decisions

# an independent simulation's figures for fresh banks of 2,000 items
GIVEN: dict[str, dict[str, float]] = {
    "worse": {"naive": -37.9, "non-inferior": -78.0, "anchor at alpha": -3.6, "anchor at alpha/365": -2.2,
              "target better": -1.4},
    "mixed": {"naive": 1.5, "non-inferior": -29.7, "target better": 6.8},
}  # fmt: skip


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--years", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=1000, help="nights of the joint simulation of all suites")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recipe", type=Path, default=ROOT / "recipes/demo.toml")
    options = parser.parse_args(arguments)
    began = time.perf_counter()
    answers = own_answers()
    result: dict[str, Any] = {"years": options.years, "seed": options.seed, "nights": NIGHTS}
    for mixture in GIVEN:
        result[mixture] = years_table(mixture, options.years, options.seed, answers)
    result["given"] = beside_the_given(result)
    result["wear"] = wear_table(options.years, options.seed, answers)
    result["suites"] = suites_table(options.recipe, options.repeats, options.seed, answers)
    result["seconds"] = round(time.perf_counter() - began, 1)
    print(json.dumps(result))
    return result


def years_table(mixture: str, years: int, seed: int, answers: Answers) -> dict[str, Any]:
    """What the champion's true accuracy has changed by, for every rule and bank."""
    print(f"\n{mixture}: true points after {NIGHTS} nights (standard error; promotions), {years} years")
    print(f"{'':20}" + "".join(f"{f'{kind} {n}':>20}" for kind, n in BANKS))
    found: dict[str, Any] = {f"{kind} {n}": {} for kind, n in BANKS}
    for row, rule in enumerate(RULES):
        line = f"{rule.name:20}"
        for column, (kind, n) in enumerate(BANKS):
            rng = np.random.default_rng([seed, list(STEPS).index(mixture), row, column])
            year = simulate(rule, n, STEPS[mixture], years, rng, answers, kind == "re-used")
            mean, error = float(year.points.mean()), float(year.points.std(ddof=1) / math.sqrt(years))
            promotions = float(year.promotions.mean())
            found[f"{kind} {n}"][rule.name] = {
                "points": round(mean, 3),
                "se": round(error, 4),
                "promotions": round(promotions, 1),
            }
            line += f"{f'{mean:+.1f} ({error:.2f}; {promotions:.0f})':>20}"
        print(line)
    return found


def beside_the_given(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Ours beside the given figures, whose last digit is rounded: half of it is no difference."""
    print("\nbeside an independent simulation, fresh 2000: ours, theirs, standard errors apart")
    rows = []
    for mixture, figures in GIVEN.items():
        for rule, given in figures.items():
            ours = result[mixture]["fresh 2000"][rule]
            off = max(0.0, abs(ours["points"] - given) - 0.05)
            apart = off / ours["se"] if off > 0 and ours["se"] > 0 else (0.0 if off == 0 else math.inf)
            rows.append(
                {"table": mixture, "rule": rule, "ours": ours["points"], "given": given, "apart": round(apart, 2)}
            )
            print(f"{mixture:6} {rule:20} {ours['points']:+8.2f} {given:+8.1f} {apart:6.2f}")
    return rows


def wear_table(years: int, seed: int, answers: Answers, n: int = 500) -> dict[str, Any]:
    """A champion's luck on a re-used bank in standard errors, by decisions, every candidate being equal in truth."""
    error = 100 * math.sqrt(PSI / n)
    formula = [round(100 * bank_wear(math.sqrt(PSI), n, k) / error, 2) for k in WORN]
    found: dict[str, Any] = {"decisions": WORN, "formula": formula}
    readings = {"answers anew": answers, "answers inherited": inherited_answers()}
    for number, (name, reading) in enumerate(readings.items()):
        lucks = []
        for k in WORN:
            rng = np.random.default_rng([seed, 50 + number, k])
            lucks.append(simulate(RULES[-1], n, STEPS["equal"], years, rng, reading, reused=True, nights=k).luck)
        found[name] = [round(float(luck.mean()) / error, 2) for luck in lucks]
    print(f"\nwear in standard errors after decisions {WORN}, full rule, re-used {n}: {found}")
    return found


def suites_table(recipe: Path, repeats: int, seed: int, answers: Answers) -> dict[str, Any]:
    """How often a candidate that is truly better on the target is held back, all suites of the recipe together."""
    gate = load_recipe(recipe).gate
    sizes = suite_sizes(gate, ROOT)
    shown = ", ".join(f"{spec.name} {sizes[spec.name]} ({spec.measure})" for spec in gate.suites)
    print(f"\n{recipe.name}: {shown}; target {gate.target}; {repeats} nights each")
    print("truly better on the target by   held back   false FAIL   all bounds pass")
    rows = []
    for index, gain in enumerate(GAINS):
        rng = np.random.default_rng([seed, 99, index])
        found = simulate_suites(gate, sizes, gain, repeats, rng, answers.chances)
        held = round(1 - found.passed, 4)
        rows.append({"gain": gain, "held_back": held, "failed": found.failed, "bounds": found.bounds})
        print(f"{100 * gain:23.0f} points {held:11.1%} {found.failed:12.1%} {found.bounds:17.1%}")
    limits = predicted(gate, sizes)
    print(f"all bounds pass for an equal model, by plan: {limits.low:.1%} to {limits.high:.1%} ({limits.likely:.1%})")
    return {"sizes": sizes, "rows": rows, "planned": limits._asdict(), "spread": GRADED_SPREAD, "psi": PSI}


if __name__ == "__main__":
    main()
