"""Hardening: what is tried, the same night, with a candidate that the gate didn't pass. Order and wiring only.

Off unless the recipe says ``[harden] on = true``. The first try that passes is the night's candidate; where none does,
the night ends with the candidate and the verdict that it had. Every try is in the verdict's ``rounds``, and is a
decision of its own in the ledger (docs/design/harden.md).
"""

from typing import NamedTuple

from prefect import get_run_logger

from flows.frame import Tonight
from tasks import place
from tasks.align.steps import align_again
from tasks.contracts import Candidate, Plan, Preferences, Round, Scores, Suites, Trained, TwinRows, Verdict
from tasks.cost.steps import meter
from tasks.data.twins import clean, mixed
from tasks.errors import Interrupted, NightshiftError
from tasks.gate.steps import fresh_items, fresh_suites, judge, score, weak_twins
from tasks.harden.rounds import (
    Try,
    failing,
    held_so_far,
    judged,
    pairs_of,
    plan_of,
    recipe_of,
    told,
    tries_of,
)
from tasks.harden.steps import soup, with_lines
from tasks.recipe import Recipe
from tasks.registry.steps import learned_by
from tasks.spending import POOL_STEPS


class Judged(NamedTuple):
    """A candidate with what it was judged by."""

    recipe: Recipe
    suites: Suites
    candidate: Candidate
    scores: Scores
    verdict: Verdict


class Attempt(NamedTuple):
    """A try's end: what it is told as, and, where it came to a verdict, what was judged."""

    round: Round
    judged: Judged | None = None


def harden(
    tonight: Tonight,
    spec: Recipe,
    plan: Plan,
    preferences: Preferences,
    suites: Suites,
    candidate: Candidate,
    scores: Scores,
    verdict: Verdict,
) -> tuple[Recipe, Suites, Candidate, Scores, Verdict]:
    """The first try that passes, with the rounds before it; else what was given, with all rounds."""
    tries = tries_of(spec, verdict)
    if not tries:
        return spec, suites, candidate, scores, verdict
    first, last, rounds = Judged(spec, suites, candidate, scores, verdict), None, list[Round]()
    held, seen = held_so_far(meter(tonight.night, plan), POOL_STEPS), [suites]
    for one in tries:
        attempt = _attempt(tonight, one, recipe_of(spec, one.number, held), last or first, plan, preferences, seen)
        rounds.append(attempt.round)
        get_run_logger().warning(
            "hardening, try %d (%s): %s: %s",
            one.number, one.kind, attempt.round.verdict or "no verdict", attempt.round.reason,
        )  # fmt: skip
        if attempt.judged is not None:
            seen.append(attempt.judged.suites)
            if attempt.judged.verdict.verdict == "PASS":
                return _with(attempt.judged, rounds, verdict)
            if one.kind == "twins":
                last = attempt.judged  # the next round goes on from here, for what fails there
    return _with(first, rounds, verdict)


def _with(found: Judged, rounds: list[Round], before: Verdict) -> tuple[Recipe, Suites, Candidate, Scores, Verdict]:
    """What the night goes on with; its phases stay what the gate said of them before."""
    told = {"rounds": tuple(rounds), "phases": before.phases}
    return *found[:4], found.verdict.model_copy(update=told)


def _attempt(
    tonight: Tonight, one: Try, spec: Recipe, start: Judged, plan: Plan, preferences: Preferences, seen: list[Suites]
) -> Attempt:
    """One try. What it fails of ends the try and not the night, which has a verdict already."""
    twins: TwinRows | None = None
    try:
        suites = start.suites
        if one.kind == "soup":
            made = soup(tonight.night, spec, start.candidate, tonight.baselines, one.share or 0.0)
            made = with_lines(made, [learned_by(spec.name, tonight.baselines.champion)], place.store())
        else:
            twins = _twins(tonight, one, start, preferences)
            round_plan = plan_of(spec, plan, twins)
            if round_plan is None:
                return Attempt(told(one, spec, twins, f"{twins.n} training twins fill no step of the round"))
            made = align_again(tonight.night, spec, round_plan, pairs_of(preferences, twins), start.candidate.model)
            made = with_lines(made, [start.candidate.pairs], place.store())
            suites = fresh_suites(spec, tonight.night.core, failing(start.verdict), len(seen))
        scores = score(tonight.night, spec, preferences, suites, made, tonight.baselines, 1)
        trained = Trained(candidates=(made,))
        verdict = judge(tonight.night, spec, preferences, suites, trained, tonight.baselines, (scores,))
    except Interrupted:
        raise
    except NightshiftError as error:
        return Attempt(told(one, spec, twins, error.what))
    fresh = fresh_items(suites, seen)
    return Attempt(
        judged(told(one, spec, twins, verdict.paragraph), verdict, fresh),
        Judged(spec, suites, made, scores, verdict),
    )


def _twins(tonight: Tonight, one: Try, start: Judged, preferences: Preferences) -> TwinRows:
    found = weak_twins(
        start.recipe, start.suites, preferences, start.candidate, tonight.baselines, start.scores, start.verdict,
        one.number,
    )  # fmt: skip
    twins = clean(found, start.suites, place.store())
    return mixed(twins, preferences, start.recipe.harden.mix, start.recipe.seed, place.store())
