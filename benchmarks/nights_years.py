"""Years of nights, simulated: what benchmarks/nights.py prints. Nothing here is run by itself."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import betainc
from scipy.stats import beta

from tasks.gate.power import least_wins
from tasks.gate.statistics import z_of

ALPHA, NIGHTS, PSI, MARGIN, BUDGET = 0.05, 365, 0.08, 0.02, 0.03
START, LEAST, MOST = 800, 20, 980  # accuracies in tenths of a point
LEVELS = 400  # of item difficulty

Steps = tuple[tuple[int, float], ...]

# what a candidate truly differs by from the champion, in tenths of a point, and how often
STEPS: dict[str, Steps] = {"worse": ((-3, 1.0),), "mixed": ((-3, 0.8), (5, 0.2)), "equal": ((0, 1.0),)}


class Rule(NamedTuple):
    """When a candidate is promoted. ``margin`` None: its score is not lower than the champion's."""

    name: str
    margin: float | None
    anchor_alpha: float | None = None
    better: bool = False


RULES = (
    Rule("naive", None),
    Rule("non-inferior", MARGIN),
    Rule("anchor at alpha", MARGIN, ALPHA),
    Rule("anchor at alpha/365", MARGIN, ALPHA / NIGHTS),
    Rule("target better", MARGIN, ALPHA / NIGHTS, better=True),
)


class Year(NamedTuple):
    """Simulated years, each value one year.

    Attributes:
        points: change of the champion's true accuracy.
        promotions: how many.
        luck: what the champion's score on a re-used bank says too much, in points.
    """

    points: np.ndarray
    promotions: np.ndarray
    luck: np.ndarray


class Answers(NamedTuple):
    """How models answer.

    Attributes:
        chances: of a right answer: [1001 accuracies in tenths of a point, difficulty levels of equally many items].
        kept: share of the champion's answers that a candidate takes over; the others are drawn anew.
    """

    chances: np.ndarray
    kept: float = 0.0


class Counts(NamedTuple):
    """Wins and losses of the candidate, against champion and anchor: [years]."""

    b: np.ndarray
    c: np.ndarray
    far_b: np.ndarray
    far_c: np.ndarray


def own_answers(psi: float = PSI, start: int = START, levels: int = LEVELS) -> Answers:
    """Every model answers every item anew: it has a chance of its own to be answered right.

    Chances follow Beta(p/k, (1−p)/k): two models of accuracy p disagree on 2p(1−p)/(1+k) of the items, and k gives
    ``psi`` at ``start``. A level holds the exact mean of its slice, so a row's mean is its accuracy.
    """
    p = start / 1000
    k = 2 * p * (1 - p) / psi - 1
    edges = np.linspace(0, 1, levels + 1)

    def slices(p: float) -> np.ndarray:
        cuts = beta.ppf(edges, p / k, (1 - p) / k)
        return np.diff(betainc(p / k + 1, (1 - p) / k, cuts)) * p * levels

    table = np.zeros((1001, levels))
    table[1000] = 1.0
    for tenths in range(1, 1000):
        p = tenths / 1000
        # a chance too near 1 for floating point is 1 less the chance of being wrong
        easy = beta.ppf(edges[:-1], p / k, (1 - p) / k) > 0.5
        table[tenths] = np.clip(np.where(easy, 1 - slices(1 - p)[::-1], slices(p)), 0, 1)
    return Answers(table)


def inherited_answers(psi: float = PSI, start: int = START) -> Answers:
    """A candidate keeps its champion's answers but for as many, drawn anew, as make a disagreement of ``psi``."""
    p = start / 1000
    return Answers(np.linspace(0, 1, 1001)[:, None], kept=1 - psi / (2 * p * (1 - p)))


def simulate(
    rule: Rule,
    n: int,
    steps: Steps,
    years: int,
    rng: np.random.Generator,
    answers: Answers,
    reused: bool = False,
    nights: int = NIGHTS,
) -> Year:
    """``years`` independent years of nights under one rule, on banks of ``n`` items."""
    promote = promotion(rule, n, rng)
    champion, promotions = np.full(years, START), np.zeros(years, int)
    sizes, shares = zip(*steps, strict=True)
    bank = Bank(years, n, rng, answers) if reused else None
    for _ in range(nights):
        candidate = np.clip(champion + rng.choice(sizes, years, p=shares), LEAST, MOST)
        if bank:
            counts = bank.score(candidate, champion)
        else:
            counts = fresh(candidate, champion, promotions > 0, n, rng, answers.chances)
        promoted = promote(counts)
        champion = np.where(promoted, candidate, champion)
        promotions += promoted
        if bank:
            bank.promote(promoted)
    return Year((champion - START) / 10, promotions, bank.luck(champion) if bank else np.zeros(years))


def promotion(rule: Rule, n: int, rng: np.random.Generator) -> Callable[[Counts], np.ndarray]:
    """The rule as a function of counts, from the product's own tests."""
    z = z_of(ALPHA)
    margin = None if rule.margin is None else least_wins(n, -rule.margin, z)
    better = least_wins(n, 0.0, z) if rule.better else None
    anchor = None if rule.anchor_alpha is None else least_wins(n, -BUDGET, z_of(rule.anchor_alpha))

    def promote(counts: Counts) -> np.ndarray:
        b, c, far_b, far_c = counts
        if margin is None:
            # a tie goes by a coin: scores finer than right/wrong hardly ever tie
            return (b > c) | ((b == c) & (rng.random(len(b)) < 0.5))
        passed = b >= margin[c]
        if anchor is not None:
            passed &= far_b >= anchor[far_c]
        return passed & (b >= better[c]) if better is not None else passed

    return promote


def fresh(
    candidate: np.ndarray,
    champion: np.ndarray,
    moved: np.ndarray,
    n: int,
    rng: np.random.Generator,
    chances: np.ndarray,
) -> Counts:
    """Counts on ``n`` new items; until something was promoted, the champion is the anchor itself."""
    new, old, far = chances[candidate], chances[champion], chances[START][None]
    cells = [(x * y * z).mean(1) for x in (new, 1 - new) for y in (old, 1 - old) for z in (far, 1 - far)]
    share = np.stack(cells, 1)
    drawn = rng.multinomial(n, share / share.sum(1, keepdims=True))
    b, c = drawn[:, 2] + drawn[:, 3], drawn[:, 4] + drawn[:, 5]
    far_b, far_c = drawn[:, 1] + drawn[:, 3], drawn[:, 4] + drawn[:, 6]
    return Counts(b, c, np.where(moved, far_b, b), np.where(moved, far_c, c))


class Bank:
    """The same items every night: difficulties, and the answers of anchor, champion and tonight's candidate."""

    def __init__(self, years: int, n: int, rng: np.random.Generator, answers: Answers) -> None:
        self.rng, self.answers = rng, answers
        self.level = rng.integers(0, answers.chances.shape[1], (years, n))
        self.anchor = self._draw(np.full(years, START))
        self.champion = self.anchor.copy()
        self.candidate = self.anchor

    def _draw(self, accuracy: np.ndarray) -> np.ndarray:
        return self.rng.random(self.level.shape) < self.answers.chances[accuracy[:, None], self.level]

    def score(self, candidate: np.ndarray, champion: np.ndarray) -> Counts:
        kept = self.answers.kept
        # what is drawn anew carries the whole difference
        drawn = self._draw(np.clip(champion + np.rint((candidate - champion) / (1 - kept)).astype(int), 0, 1000))
        if kept:
            drawn = np.where(self.rng.random(drawn.shape) < kept, self.champion, drawn)
        self.candidate = drawn
        counts = [pairs.sum(1) for old in (self.champion, self.anchor) for pairs in (drawn & ~old, ~drawn & old)]
        return Counts(*counts)

    def promote(self, promoted: np.ndarray) -> None:
        self.champion[promoted] = self.candidate[promoted]

    def luck(self, accuracy: np.ndarray) -> np.ndarray:
        return 100 * (self.champion - self.answers.chances[accuracy[:, None], self.level]).mean(1)
