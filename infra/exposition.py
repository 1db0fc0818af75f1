"""Samples in Prometheus' text format 0.0.4. Every sample must be of a family that is declared, with all its labels.

https://prometheus.io/docs/instrumenting/exposition_formats/
"""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4 as CONTENT_TYPE

from infra.errors import ServerError


class Family(NamedTuple):
    """One gauge: everything here is read from files as it is now, and nothing only ever grows."""

    name: str
    help: str
    labels: tuple[str, ...] = ()


class Sample(NamedTuple):
    """``labels``: values, in the order in which the family names them."""

    name: str
    value: float
    labels: tuple[str, ...] = ()


class _Collected:
    """What ``generate_latest`` asks."""

    def __init__(self, families: Iterable[GaugeMetricFamily]) -> None:
        self._families = families

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from self._families


def exposition(families: Iterable[Family], samples: Iterable[Sample]) -> bytes:
    """The text. Families without a sample are declared all the same.

    Raises:
        ServerError: a sample is of no family, lacks a label, is there twice, or its value is not finite.
    """
    made = {one.name: (one, GaugeMetricFamily(one.name, one.help, labels=one.labels)) for one in families}
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for sample in samples:
        family, metric = made.get(sample.name, (None, None))
        if family is None or metric is None or len(sample.labels) != len(family.labels):
            raise _wrong(sample, "is of no declared family, or has not its labels")
        if (sample.name, sample.labels) in seen:
            raise _wrong(sample, "is there twice")
        if not math.isfinite(sample.value):
            raise _wrong(sample, "is not finite")
        seen.add((sample.name, sample.labels))
        # a file's name may be no text
        metric.add_metric([one.encode("utf-8", "replace").decode() for one in sample.labels], sample.value)
    return generate_latest(_Collected([metric for _, metric in made.values()]))  # pyright: ignore[reportArgumentType]


def _wrong(sample: Sample, what: str) -> ServerError:
    return ServerError(f"the metric {sample} {what}", do="mend who makes it, or tasks/metric_families.py")


__all__ = ["CONTENT_TYPE", "Family", "Sample", "exposition"]
