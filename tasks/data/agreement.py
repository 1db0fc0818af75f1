"""How far annotators agree: Krippendorff's alpha of nominal data, with a bootstrap interval over units."""

import numpy as np
import numpy.typing as npt

from infra.digest import Record

Counts = npt.NDArray[np.int64]
RESAMPLES = 2000
SEED = 20261126


class Agreement(Record):
    """Krippendorff's alpha: 1 if all agree, 0 as by chance, below 0 if they contradict each other more than by chance.

    Attributes:
        alpha: None where no unit has two ratings, or all ratings are the same: there is nothing to compare with.
        low, high: of its 95 % interval.
        units: with two ratings or more; only they count.
        ratings: of those units.
    """

    alpha: float | None
    low: float | None
    high: float | None
    units: int
    ratings: int


def krippendorff(counts: Counts, *, resamples: int = RESAMPLES, seed: int = SEED) -> Agreement:
    """Alpha of nominal ratings (Hayes & Krippendorff 2007, Communication Methods and Measures 1(1)).

    The interval is the 2.5 and 97.5 % quantiles over resampled *units* (Zapf et al. 2016, BMC Medical Research
    Methodology 16:93); Hayes and Krippendorff resample pairs of ratings, which takes those of one unit for
    independent. A resample that has one value only has no alpha and is left out.

    Args:
        counts: int64 [units, values]: how many gave a unit a value.
    """
    counts = counts[counts.sum(axis=1) >= 2]
    patterns, times = np.unique(counts, axis=0, return_counts=True)
    alpha = _alpha(patterns, times[None, :])[0] if len(counts) else np.nan
    low = high = np.nan
    if not np.isnan(alpha):
        drawn = np.random.default_rng(seed).multinomial(len(counts), times / len(counts), size=resamples)
        low, high = np.nanquantile(_alpha(patterns, drawn), (0.025, 0.975))
    shown = [None if np.isnan(value) else float(value) for value in (alpha, low, high)]
    return Agreement(alpha=shown[0], low=shown[1], high=shown[2], units=len(counts), ratings=int(counts.sum()))


def _alpha(patterns: Counts, times: Counts) -> npt.NDArray[np.float64]:
    """Alpha of every row of ``times``, which says how often each pattern occurs; NaN where all ratings are the same."""
    ratings = patterns.sum(axis=1)
    unequal = ratings**2 - (patterns**2).sum(axis=1)  # ordered pairs of ratings of a unit that differ
    observed = times @ (unequal / np.maximum(ratings - 1, 1))
    values = times @ patterns
    total = values.sum(axis=1)
    expected = (total**2 - (values**2).sum(axis=1)) / np.maximum(total - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - observed / expected, np.nan)
