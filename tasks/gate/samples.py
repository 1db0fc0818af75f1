"""Several sampled answers an item: how much of the noise is the items', how much the sampling's, and what to buy. Pure.

One-way random-effects analysis of variance (Fisher; Searle, Casella & McCulloch 1992, "Variance Components", ch. 3):
a sample is mean + item effect + sampling error. More samples shrink the second part only, more items shrink both.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class VarianceSplit(NamedTuple):
    """Variances of one sample: ``item`` between items, ``sampling`` within an item; ``samples`` an item (mean)."""

    items: int
    samples: float
    item: float
    sampling: float


class Gain(NamedTuple):
    """Standard errors of the mean: as it is, with twice the samples, with twice the items, with endless samples."""

    now: float
    twice_samples: float
    twice_items: float
    endless_samples: float


def split_variance(samples: Sequence[Sequence[float]]) -> VarianceSplit:
    """Split the variance of samples, one inner sequence an item; the numbers of samples may differ.

    For a comparison give differences, candidate's sample minus baseline's: the two are drawn apart, so any pairing
    within an item does, and the sampling part is that of both models. A negative estimate is 0.

    Raises:
        ValueError: fewer than two items, an item without a sample, no item with two, or a value that isn't finite.
    """
    sizes = np.array([len(one) for one in samples])
    if len(sizes) < 2 or sizes.min() < 1 or sizes.max() < 2:
        raise ValueError(f"{len(sizes)} items with {sizes.tolist()[:5]}… samples: the parts can't be told apart")
    values = np.concatenate([np.asarray(one, float) for one in samples])
    if not bool(np.isfinite(values).all()):
        raise ValueError("a sample is NaN or infinite: it is never taken for a score")
    owner = np.repeat(np.arange(len(sizes)), sizes)
    means = np.bincount(owner, values) / sizes
    total, items = len(values), len(sizes)
    within = float(((values - means[owner]) ** 2).sum()) / (total - items)
    between = float((sizes * (means - values.mean()) ** 2).sum()) / (items - 1)
    # the samples an item counts for where items have different numbers of them
    each = (total - float((sizes**2).sum()) / total) / (items - 1)
    return VarianceSplit(items, total / items, max(0.0, (between - within) / each), within)


def standard_error(split: VarianceSplit, items: float | None = None, samples: float | None = None) -> float:
    """Standard error of the mean over items, for these or other numbers of items and samples."""
    items, samples = items or split.items, samples or split.samples
    return math.sqrt((split.item + split.sampling / samples) / items)


def what_more_buys(split: VarianceSplit) -> Gain:
    """What more samples would bring, and what more items."""
    return Gain(
        standard_error(split),
        standard_error(split, samples=2 * split.samples),
        standard_error(split, items=2 * split.items),
        standard_error(split, samples=math.inf),
    )


def best_samples(split: VarianceSplit, item_cost: float) -> int | None:
    """Samples an item that give the smallest error for the money (Cochran 1977, "Sampling Techniques", ch. 10).

    Args:
        item_cost: what an item costs before its first sample (its prompt), in samples.

    Returns:
        At least 1; None where items don't differ: then samples are as good as items, and cheaper.
    """
    if split.item <= 0:
        return None
    ideal = math.sqrt(item_cost * split.sampling / split.item)
    low = max(1, math.floor(ideal))

    def price(samples: int) -> float:
        return (item_cost + samples) * (split.item + split.sampling / samples)

    return min((low, low + 1), key=price)


def sampling_share(differences: Sequence[Sequence[float]]) -> float | None:
    """Share of the standard error's square that is sampling noise; None where no item has two samples.

    Args:
        differences: an item's samples, candidate's minus baseline's.
    """
    if len(differences) < 2 or min(map(len, differences)) < 1 or max(map(len, differences)) < 2:
        return None
    split = split_variance(differences)
    sampling = split.sampling / split.samples
    total = split.item + sampling
    return sampling / total if total > 0 else 0.0
