"""How right a reward model is on pairs held out, and whether its differences are the log-odds they claim. Pure.

A gap is the chosen answer's reward minus the rejected one's, in nats. Under Bradley and Terry (1952) sigma(gap) is the
probability that the chosen answer is preferred. Which of a pair is called chosen is its label, so what the model claims
is sigma(|gap|) for whichever it ranks first, and it is right where the gap is above 0. A tie ranks nothing: it's wrong.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

from infra.digest import Record

CONFIDENCE = 0.95
BINS = 10  # of equal width, over what a claim can be: from one half to 1
FEWEST_FOR_TEMPERATURE = 50  # pairs; a temperature of fewer is mostly noise
_TEMPERATURES = (0.05, 20.0)


class Bin(Record):
    """Pairs whose claimed probability lies in [low, high); the last one holds 1, too."""

    low: float
    high: float
    n: int
    claimed: float  # mean; 0 of an empty bin
    right: float  # share; 0 of an empty bin


class Accuracy(Record):
    """``lower`` and ``upper`` are Wilson's 95 % interval (1927, JASA 22:209), of as many pairs as they are worth.

    Pairs of one prompt are alike, so that ``n`` of them are worth fewer independent ones (``effective``).
    """

    n: int
    prompts: int
    right: int
    ties: int
    accuracy: float
    effective: float
    lower: float
    upper: float


class Calibration(Record):
    """``error`` is the expected calibration error (Guo et al. 2017, arXiv 1706.04599); of few pairs it is above 0 by
    chance alone. ``loss`` is the mean −log sigma(gap)."""

    error: float
    loss: float
    bins: tuple[Bin, ...]


def accuracy(gaps: Sequence[float], prompts: Sequence[str]) -> Accuracy:
    """Of held-out pairs (at least one), with the prompt of each: any key that equal prompts share."""
    right = [gap > 0 for gap in gaps]
    share, effective = sum(right) / len(right), effective_size(right, prompts)
    lower, upper = wilson(share, effective)
    return Accuracy(
        n=len(gaps),
        prompts=len(set(prompts)),
        right=sum(right),
        ties=sum(gap == 0 for gap in gaps),
        accuracy=share,
        effective=effective,
        lower=lower,
        upper=upper,
    )


def wilson(share: float, n: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval of a share of ``n`` (which may be an effective number, no integer)."""
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    shrink = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / shrink
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / shrink
    # at 0 and 1 the bound is the share itself, which rounding may miss
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def effective_size(right: Sequence[bool], clusters: Sequence[str]) -> float:
    """How many independent pairs these are worth: their number over the design effect of their clusters, never more.

    Rao and Scott 1992 (Biometrics 48:577). Where all are right, or none, the effect can't be seen: then each cluster
    counts once.
    """
    n, share = len(right), sum(right) / len(right)
    sums: dict[str, list[int]] = {}
    for one, cluster in zip(right, clusters, strict=True):
        found = sums.setdefault(cluster, [0, 0])
        found[0] += one
        found[1] += 1
    count = len(sums)
    if count == n:
        return float(n)
    if share in (0.0, 1.0) or count == 1:
        return float(count)
    between = sum((hits - share * size) ** 2 for hits, size in sums.values()) * count / (count - 1) / n**2
    return n / max(1.0, between / (share * (1 - share) / n))


def calibration(gaps: Sequence[float], bins: int = BINS) -> Calibration:
    """Of held-out pairs, at least one."""
    claims = [max(sigmoid(gap), sigmoid(-gap)) for gap in gaps]
    members: list[list[int]] = [[] for _ in range(bins)]
    for number, claim in enumerate(claims):
        members[min(int((claim - 0.5) * 2 * bins), bins - 1)].append(number)
    found = []
    for number, of_it in enumerate(members):
        size = len(of_it)
        found.append(
            Bin(
                low=0.5 + number / (2 * bins),
                high=0.5 + (number + 1) / (2 * bins),
                n=size,
                claimed=sum(claims[one] for one in of_it) / size if size else 0.0,
                right=sum(gaps[one] > 0 for one in of_it) / size if size else 0.0,
            )
        )
    error = sum(one.n * abs(one.claimed - one.right) for one in found) / len(gaps)
    return Calibration(error=error, loss=mean_loss(gaps), bins=tuple(found))


def temperature(gaps: Sequence[float]) -> float:
    """What the gaps are to be divided by, so that their loss is least; between 1/20 and 20.

    By Platt's targets (1999): as if one pair in ``n + 2`` were labelled wrong. Else gaps that are all right would
    ask to be infinite.
    """
    target = (len(gaps) + 1) / (len(gaps) + 2)

    def slope(inverse: float) -> float:
        return sum(gap * (sigmoid(inverse * gap) - target) for gap in gaps)

    # the loss is convex in the temperature's inverse: its slope only rises
    low, high = 1 / _TEMPERATURES[1], 1 / _TEMPERATURES[0]
    if slope(low) >= 0:
        return _TEMPERATURES[1]
    if slope(high) <= 0:
        return _TEMPERATURES[0]
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)


def temperature_that_helps(gaps: Sequence[float], folds: Sequence[bool]) -> float:
    """The temperature of all gaps, where one fitted on each half of them makes the other's loss surely less; else 1.

    Args:
        folds: which half each pair is in; pairs of one prompt in the same.
    """
    halves = [[gap for gap, fold in zip(gaps, folds, strict=True) if fold == side] for side in (False, True)]
    if len(gaps) < FEWEST_FOR_TEMPERATURE or not all(halves):
        return 1.0
    fitted = [temperature(half) for half in halves]
    gains = []
    for gap, fold in zip(gaps, folds, strict=True):
        gains.append(softplus(-gap) - softplus(-gap / fitted[not fold]))
    mean = sum(gains) / len(gains)
    error = math.sqrt(sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1) / len(gains))
    return temperature(gaps) if mean > 2 * error else 1.0


def mean_loss(gaps: Sequence[float]) -> float:
    """The mean of −log sigma(gap), the loss of Bradley and Terry, in nats a pair."""
    return sum(softplus(-gap) for gap in gaps) / len(gaps)


def sigmoid(value: float) -> float:
    return 0.5 * (1.0 + math.tanh(value / 2))  # it can't overflow so


def softplus(value: float) -> float:
    """log(1 + e^value), which can't overflow so."""
    return max(value, 0.0) + math.log1p(math.exp(-abs(value)))
