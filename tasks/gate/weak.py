"""On which topics a candidate fails: of the suites that didn't pass, by its and the champion's results. Pure.

A suite's families are single structures, each seen once or twice a night: nothing can be said of one. A topic holds
tens of them, and is what twins are made by.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tasks.contracts import Measure, Role, Verdict, WeakTopic
from tasks.gate.harm import compare, too_few
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.suites import Suite

# families a topic must have: of fewer the candidate's mean is luck
LEAST = 5


class _Seen(NamedTuple):
    """A topic with what orders it among the others: the evidence that it is worse, in standard errors."""

    topic: WeakTopic
    z: float


def weak_topics(
    verdict: Verdict,
    items: Mapping[str, Suite],
    cards: Mapping[tuple[Role, str], Scorecard],
    able: Mapping[str, Iterable[str]],
    most: int,
) -> tuple[WeakTopic, ...]:
    """The weakest topics of the suites that are FAIL or INCONCLUSIVE, the worst first.

    First those proven worse than the champion, then those below it, by how clearly; then, where a suite has none of
    these, the topics it does worst on: a suite that isn't proven better fails by what neither model can.

    Args:
        able: suite → topics that there are training twins of; others are left out.
        most: topics, at most.
    """
    found: list[_Seen] = []
    for result in verdict.suites:
        suite, new, old = (
            items.get(result.name),
            cards.get(("candidate", result.name)),
            cards.get(("champion", result.name)),
        )
        if result.verdict not in ("FAIL", "INCONCLUSIVE") or suite is None or new is None or old is None:
            continue
        found += _of_suite(suite, new, old, result.measure, frozenset(able.get(result.name, ())), verdict.alpha)
    order = ("worse", "below", "low")
    found.sort(key=lambda one: (order.index(one.topic.why), one.z, one.topic.suite, one.topic.topic))
    return tuple(one.topic for one in found[:most])


def _of_suite(
    suite: Suite, new: Scorecard, old: Scorecard, measure: Measure, able: frozenset[str], alpha: float
) -> list[_Seen]:
    ours = {one.id: one for one in new.results}
    theirs = {one.id: one for one in old.results}
    members: dict[str, list[tuple[str, str]]] = {}
    for item in suite.items:
        # a scoring that stopped for harm left some out
        if item.topic in able and item.id in ours and item.id in theirs:
            members.setdefault(item.topic, []).append((item.id, item.cluster))
    seen = [
        _seen(suite.name, topic, [ours[id_] for id_, _ in pairs], [theirs[id_] for id_, _ in pairs],
              [family for _, family in pairs], measure, alpha)
        for topic, pairs in members.items()
        if len({family for _, family in pairs}) >= LEAST
    ]  # fmt: skip
    below = [one for one in seen if one.topic.why != "low"]
    if below:
        return below
    # by the score itself, for nothing is worse than the champion's
    return [_Seen(one.topic, one.topic.candidate) for one in seen]


def _seen(
    suite: str,
    topic: str,
    new: list[ItemResult],
    old: list[ItemResult],
    families: list[str],
    measure: Measure,
    alpha: float,
) -> _Seen:
    found = compare(measure, new, old, families, alpha)
    known = not too_few(measure, found.n) or measure == "right"
    error = found.spread / math.sqrt(found.n)
    z = found.delta / error if error > 0 else 0.0 if found.delta == 0 else math.copysign(math.inf, found.delta)
    upper = found.upper if known else _t_upper(found.delta, error, found.n)
    why = "worse" if upper < 0 else "below" if found.delta < 0 else "low"
    means = [sum(_value(measure, one) for one in results) / len(results) for results in (old, new)]
    return _Seen(
        WeakTopic(
            suite=suite, topic=topic, n=found.n, champion=means[0], candidate=means[1], upper=min(upper, 1.0), why=why
        ),
        z,
    )


def _t_upper(delta: float, error: float, n: int) -> float:
    """Of a topic with too few families for a skew-corrected bound: it only orders what is trained on, nothing passes
    by it. Three standard errors instead of 1.6."""
    return delta + 3 * error if n > 1 else 1.0


def _value(measure: Measure, result: ItemResult) -> float:
    return float(result.right) if measure == "right" else result.score
