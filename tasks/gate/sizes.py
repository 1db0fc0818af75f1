"""The plan of a gate: items, measure, margin and budget of every suite, so that an equal model passes them all. Pure.

"Passes": every lower bound above −margin against the champion (at α) and above −budget against the anchor (at α over
the planned decisions), and no look for harm is crossed. The target's superiority is not part of it: an equal model
isn't better. Suites are taken as independent, the two comparisons of a suite as power.both_pass says; the goal holds
for the lower limit.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.stats import norm

from tasks.contracts import Measure
from tasks.gate.power import (
    Together,
    both_pass,
    bound_passes,
    items_without_disagreement,
    reachable_margin,
    smooth_score,
    unharmed,
)
from tasks.gate.statistics import MIN_GRADED, minimum_detectable, z_of
from tasks.gate.wear import Life, bank_life

GOAL = 0.8

# a budget that the recipe leaves open is as small as the anchor passes with this probability, in steps of a tenth of a
# point: then it is the margin that decides
OPEN_BUDGET = 0.99
STEP = 0.001

# a suite grows by this share at a time while the plan looks for the cheapest sizes
_GROWTH = 0.02

# exact figures are asked for from this far below the goal, in logarithms: smooth ones are a little low
_EARLY = 0.04


class Option(NamedTuple):
    """One way to judge a suite.

    Attributes:
        spread: standard deviation of the paired differences, candidate against champion; √ψ for right/wrong.
        margin: the wanted one, in this measure.
        budget: the wanted one; None: the plan picks it.
        anchor_spread: the same against the anchor, which is further away; None: as against the champion.
    """

    measure: Measure
    spread: float
    margin: float
    budget: float | None = None
    anchor_spread: float | None = None


class Wanted(NamedTuple):
    """A suite to plan: the items (families) there are, and the ways it may be judged."""

    name: str
    available: int
    options: tuple[Option, ...]


class Shortfall(NamedTuple):
    """What a suite lacks for its equal share of the goal.

    Attributes:
        items: missing ones, at the wanted margin and budget; None: no number of items is enough.
        margin: the smallest that the available items reach; None: as wanted.
        budget: likewise.
    """

    items: int | None
    margin: float | None
    budget: float | None


class SuitePlan(NamedTuple):
    """One suite's row of the plan.

    Attributes:
        budget: None: there is none that these items would pass.
        at_least: items that must be exceeded: z²(1−m)/m for right/wrong, 99 for graded.
        champion, anchor: probabilities that an equal model passes each comparison; ``together``: both.
        mde: the difference found with 80 % power.
        life: decisions until the bank warns, and until it is spent.
    """

    name: str
    measure: Measure
    n: int
    margin: float
    budget: float | None
    at_least: float
    champion: float
    anchor: float
    together: Together
    mde: float
    life: Life
    short: Shortfall | None


class Plan(NamedTuple):
    """The whole plan; ``joint`` is the probability that an equal model passes every suite, with its limits."""

    alpha: float
    decisions: int
    anchor_z: float
    goal: float
    suites: tuple[SuitePlan, ...]
    joint: Together
    reached: bool


def plan_suites(
    wanted: Sequence[Wanted], alpha: float = 0.05, decisions: int = 365, goal: float = GOAL, candidates: int = 1
) -> Plan:
    """Pick measure, items and budgets such that an equal model passes all suites with at least ``goal``.

    Of a suite's options, the one that needs the fewest items is taken. Suites then grow, always the one in which
    another item raises the joint probability most, until the goal is reached or the items are used up.

    Args:
        alpha: of a night, which its ``candidates`` share; the anchor's is a decision's, and each is one.

    Raises:
        ValueError: no suite, a suite without options or items, or numbers that mean nothing.
    """
    _check(wanted, goal)
    design = _Design(alpha / candidates, decisions, len(wanted), candidates)
    share = goal ** (1 / len(wanted))
    chosen = [(one, _cheapest(one, design, share)) for one in wanted]
    sizes = _grow([option for _, option in chosen], [one.available for one in wanted], design, goal)
    plan = _plan(chosen, sizes, design, goal)
    if plan.reached:
        return plan
    rows = [
        row._replace(short=design.shortfall(option, one.available, share)) if row.together.low < share else row
        for row, (one, option) in zip(plan.suites, chosen, strict=True)
    ]
    return plan._replace(suites=tuple(rows))


def at_sizes(
    wanted: Sequence[Wanted],
    sizes: Sequence[int],
    alpha: float = 0.05,
    decisions: int = 365,
    goal: float = GOAL,
    candidates: int = 1,
) -> Plan:
    """What given sizes give, each suite judged by its first option."""
    _check(wanted, goal)
    design = _Design(alpha / candidates, decisions, len(wanted), candidates)
    return _plan([(one, one.options[0]) for one in wanted], sizes, design, goal)


def _plan(chosen: Sequence[tuple[Wanted, Option]], sizes: Sequence[int], design: "_Design", goal: float) -> Plan:
    rows = tuple(design.row(one.name, option, n) for (one, option), n in zip(chosen, sizes, strict=True))
    joint = _joint(rows)
    return Plan(design.alpha, design.decisions, z_of(design.anchor_alpha), goal, rows, joint, joint.low >= goal)


class _Design(NamedTuple):
    alpha: float  # of each candidate
    decisions: int
    suites: int
    candidates: int = 1

    @property
    def anchor_alpha(self) -> float:
        return self.alpha * self.candidates / self.decisions

    def budget(self, option: Option, n: int) -> float | None:
        if option.budget is not None:
            return option.budget
        return reachable_margin(option.measure, n, _far(option), self.anchor_alpha, OPEN_BUDGET, STEP)

    def row(self, name: str, option: Option, n: int) -> SuitePlan:
        """A suite's figures at ``n`` items, exact where power.py is."""
        budget = self.budget(option, n)
        champion = unharmed(
            bound_passes(option.measure, n, option.spread, option.margin, self.alpha), self.alpha / self.suites
        )
        anchor = 0.0
        if budget is not None:
            anchor = bound_passes(option.measure, n, _far(option), budget, self.anchor_alpha)
        if n < _floor(option):
            champion = anchor = 0.0
        return SuitePlan(
            name=name,
            measure=option.measure,
            n=n,
            margin=option.margin,
            budget=budget,
            at_least=self.at_least(option, budget),
            champion=champion,
            anchor=anchor,
            together=both_pass(champion, anchor),
            mde=minimum_detectable(option.spread, n, self.alpha),
            life=bank_life(option.spread, n, option.margin),
            short=None,
        )

    def at_least(self, option: Option, budget: float | None) -> float:
        if option.measure != "right":
            return float(MIN_GRADED - 1)
        needs = [items_without_disagreement(option.margin, z_of(self.alpha))]
        if budget is not None:
            needs.append(items_without_disagreement(budget, z_of(self.anchor_alpha)))
        return max(needs)

    def score(self, option: Option, n: int) -> float:
        """Logarithm of the probability that a suite passes, smooth in ``n``."""
        if n < _floor(option):
            return -math.inf
        near = smooth_score(option.measure, n, option.spread, option.margin, self.alpha)
        # far in the tail the looks cost nothing, and the logarithm still tells sizes apart
        found = (
            float(norm.logcdf(near))
            if near < 0
            else math.log(unharmed(float(norm.cdf(near)), self.alpha / self.suites))
        )
        if option.budget is None:
            return found + math.log(OPEN_BUDGET)
        return found + float(
            norm.logcdf(smooth_score(option.measure, n, _far(option), option.budget, self.anchor_alpha))
        )

    def needed(self, option: Option, probability: float, most: int = 10_000_000) -> int | None:
        """The smallest n that passes with this probability; None: no number does."""
        aim = math.log(probability)
        if self.score(option, most) < aim:
            return None
        low, high = 1, most
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.score(option, middle) >= aim else (middle + 1, high)
        return low

    def shortfall(self, option: Option, available: int, share: float) -> Shortfall:
        """What a pass with probability ``share`` lacks; for margin and budget, half of the loss each."""
        need, each = self.needed(option, share), math.sqrt(share)
        margin = reachable_margin(option.measure, available, option.spread, self.alpha, each, STEP)
        budget = reachable_margin(option.measure, available, _far(option), self.anchor_alpha, each, STEP)
        return Shortfall(
            None if need is None else max(need - available, 1),
            margin if margin is not None and margin > option.margin else None,
            budget if budget is not None and option.budget is not None and budget > option.budget else None,
        )


def _far(option: Option) -> float:
    return option.spread if option.anchor_spread is None else option.anchor_spread


def _floor(option: Option) -> int:
    return 1 if option.measure == "right" else MIN_GRADED


def _cheapest(one: Wanted, design: _Design, share: float) -> Option:
    """The option that needs the fewest items for its share of the goal; where none can have it, the first."""
    return min(one.options, key=lambda option: design.needed(option, share) or math.inf)


def _grow(options: list[Option], available: list[int], design: _Design, goal: float) -> list[int]:
    """Sizes with the goal reached exactly, or all that is available.

    The search uses smooth figures, the goal exact ones: whole numbers make right/wrong jump by a percent.
    """
    sizes = [min(limit, _floor(option)) for option, limit in zip(options, available, strict=True)]
    scores = [design.score(option, n) for option, n in zip(options, sizes, strict=True)]
    while (best := _best_step(options, sizes, available, scores, design)) is not None:
        if sum(scores) >= math.log(goal) - _EARLY:
            exact = _joint([design.row("", option, n) for option, n in zip(options, sizes, strict=True)])
            if exact.low >= goal:
                break
        sizes[best] = _next(sizes[best], available[best])
        scores[best] = design.score(options[best], sizes[best])
    return sizes


def _best_step(
    options: list[Option], sizes: list[int], available: list[int], scores: list[float], design: _Design
) -> int | None:
    """The suite whose next step raises the joint probability most for an item; None: all are used up."""
    best, most = None, -math.inf
    for index, (option, n, limit) in enumerate(zip(options, sizes, available, strict=True)):
        larger = _next(n, limit)
        if larger == n:
            continue
        now, after = scores[index], design.score(option, larger)
        gain = math.inf if now == -math.inf else (after - now) / (larger - n)
        if best is None or gain > most:
            best, most = index, gain
    return best


def _next(n: int, limit: int) -> int:
    return min(limit, n + max(1, math.floor(n * _GROWTH)))


def _joint(rows: Sequence[SuitePlan]) -> Together:
    return Together(*(math.prod(row.together[index] for row in rows) for index in range(3)))


def _check(wanted: Sequence[Wanted], goal: float) -> None:
    if not wanted or not 0 < goal < 1:
        raise ValueError(f"a plan needs suites and a goal between 0 and 1, got {len(wanted)} suites and {goal}")
    for one in wanted:
        if one.available < 1 or not one.options:
            raise ValueError(f"{one.name}: {one.available} items and {len(one.options)} options can't be planned")
        for option in one.options:
            limits = (option.margin, option.margin if option.budget is None else option.budget)
            spreads = (option.spread, _far(option))
            if not all(0 < limit < 1 for limit in limits) or not all(0 <= spread <= 1 for spread in spreads):
                raise ValueError(f"{one.name}: {option}: margins, budgets and spreads lie between 0 and 1")
