"""One segment of the reference cache: its bytes, its entries, and what of them can be trusted. Pure."""

import math
from collections.abc import Collection
from numbers import Real
from typing import Any, NamedTuple

from infra.digest import Digest, digest_bytes
from infra.jsonl import load_lines

VERSION = 1

Pair = tuple[float, float]  # (chosen, rejected), nats

# A log-probability is at most 0; summing rounded log-softmax values may end a little above it.
ROUNDING = 1e-3  # nats

# How far two measurements of one example may lie apart, relative to the larger: other batch shapes change the order of
# additions. On a 135M model, alone against a padded batch of 7, that was up to 3e-5 nats (1e-6) in fp32 and 0.4 nats
# (3e-3) in bf16. DPO sees the number times beta: at beta 0.1 and 300 nats NOISE lets the margin move by 0.03.
NOISE = 1e-3
NOISE_BF16 = 1e-2
_SURE = 10.0  # nats; of a sum closer to 0 (a few sure tokens) the noise is taken as that of this one


class Damaged(Exception):
    """A segment that can't be trusted; the text completes "the segment … "."""


class Segment(NamedTuple):
    name: str
    pairs: tuple[tuple[Digest, Pair], ...]
    flaws: tuple[str, ...]  # entries left out, a clause each


def parse(name: str, data: bytes, context: Digest) -> Segment:
    """The segment in these bytes.

    Raises:
        Damaged: they aren't those of the name, or not a segment of this context.
    """
    if digest_bytes(data) != "sha256:" + name.removesuffix(".jsonl"):
        raise Damaged("has other bytes than its name says: it is cut off or was edited")
    try:
        header, *lines = load_lines(data)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"isn't JSON Lines with a header ({error})") from error
    expected = {"version": VERSION, "context": context, "entries": len(lines)}
    if header != expected:
        raise Damaged(f"has the header {header!s:.300}, expected {expected}")
    pairs, flaws = [], []
    for number, line in enumerate(lines, start=2):
        if not isinstance(line, dict) or not isinstance(line.get("example"), str):
            raise Damaged(f"has no entry in line {number}: {line!s:.80}")
        try:
            pairs.append((line["example"], pair_of(line.get("chosen"), line.get("rejected"))))
        except ValueError as error:
            flaws.append(f"example {line['example']}, {error}")
    return Segment(name, tuple(pairs), tuple(flaws))


def pair_of(chosen: Any, rejected: Any) -> Pair:
    """The two as a pair of log-probabilities.

    Raises:
        ValueError: one is none; the text says which and why.
    """
    return _log_probability("chosen", chosen), _log_probability("rejected", rejected)


def _log_probability(part: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{part} is {value!r:.80}, which is no number")
    try:
        number = float(value)  # before it is compared: NumPy compares in float32, where the largest double is infinite
    except OverflowError:  # JSON knows integers of any length
        number = math.inf
    if not (math.isfinite(number) and number <= ROUNDING):
        raise ValueError(f"{part} is {value!s:.80}, and a log-probability is finite and at most 0")
    return number


def close(values: Collection[float], noise: float) -> bool:
    """Whether they are one number up to noise. By the extremes, so the order doesn't matter."""
    low, high = min(values), max(values)
    return high - low <= noise * max(_SURE, abs(low))
