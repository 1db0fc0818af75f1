"""Which items candidate and champion differ on, worst and best, with both answers; and how many, by topic. Pure.

An item *flips* where one model is right and the other wrong. On a graded suite the items that moved furthest come too,
flipped or not: a probability that halves says something before the answer changes.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tasks.contracts import Flip, Measure
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.suites import Check, Item, Suite

NOT_KEPT = "(another of the wrong choices; scorecards keep no token counts, so which one isn't known)"


class FlipCount(NamedTuple):
    """Of one topic of one suite: items compared; of them won (wrong before, right now) and lost (the reverse)."""

    suite: str
    topic: str
    items: int
    won: int
    lost: int


class _Pair(NamedTuple):
    item: Item
    candidate: ItemResult
    champion: ItemResult
    delta: float


def find_flips(
    suite: Suite, candidate: Scorecard, champion: Scorecard, count: int, measure: Measure = "right"
) -> tuple[list[Flip], list[Flip]]:
    """The items a candidate lost most on, and those it won most on.

    Args:
        suite: tonight's items with their scorer; items without a result of both models are left out.
        candidate, champion: scorecards of these items; flips carry the candidate card's suite name.
        count: at most so many of each.
        measure: what the suite is judged on; ``delta`` is in its units.

    Returns:
        (worst, best), the largest difference first. Items that flipped come before those that only moved; among
        equals, those whose score moved further, then by id.
    """
    pairs = _pairs(suite, candidate, champion, measure)
    name = candidate.suite
    lost = sorted((one for one in pairs if one.delta < 0), key=_rank)
    won = sorted((one for one in pairs if one.delta > 0), key=_rank)
    return [_flip(suite, name, one, measure) for one in lost[:count]], [
        _flip(suite, name, one, measure) for one in won[:count]
    ]


def count_flips(suite: Suite, candidate: Scorecard, champion: Scorecard) -> list[FlipCount]:
    """How many items flipped, by topic, in alphabetical order; an item without a topic counts under ""."""
    by_topic: dict[str, list[float]] = {}
    for one in _pairs(suite, candidate, champion, "right"):
        by_topic.setdefault(one.item.topic, []).append(one.delta)
    return [
        FlipCount(
            suite=candidate.suite,
            topic=topic,
            items=len(deltas),
            won=sum(delta > 0 for delta in deltas),
            lost=sum(delta < 0 for delta in deltas),
        )
        for topic, deltas in sorted(by_topic.items())
    ]


def _pairs(suite: Suite, candidate: Scorecard, champion: Scorecard, measure: Measure) -> list[_Pair]:
    new = {one.id: one for one in candidate.results}
    old = {one.id: one for one in champion.results}
    return [
        _Pair(item, new[item.id], old[item.id], value(new[item.id], measure) - value(old[item.id], measure))
        for item in suite.items
        if item.id in new and item.id in old
    ]


def value(result: ItemResult, measure: Measure) -> float:
    """What the suite is judged on: 1 or 0 for right or wrong, else the score."""
    return float(result.right) if measure == "right" else result.score


def _rank(pair: _Pair) -> tuple[bool, float, float, str]:
    moved = abs(pair.candidate.score - pair.champion.score)
    return pair.candidate.right == pair.champion.right, -abs(pair.delta), -moved, pair.item.id


def _flip(suite: Suite, name: str, pair: _Pair, measure: Measure) -> Flip:
    item = pair.item
    return Flip(
        suite=name,
        id=item.id,
        topic=item.topic,
        prompt=prompt_of(item),
        right=right_of(item),
        champion_answer=answer_of(suite, item, pair.champion),
        candidate_answer=answer_of(suite, item, pair.candidate),
        champion=value(pair.champion, measure),
        candidate=value(pair.candidate, measure),
        delta=pair.delta,
    )


def prompt_of(item: Item) -> str:
    """The prompt as text; with who speaks, where more than one message does."""
    if len(item.messages) == 1:
        return item.messages[0].content
    return "\n".join(f"{message.role}: {message.content}" for message in item.messages)


def right_of(item: Item) -> str:
    """What a right answer is: the right choice's text, or its checks in words; empty where the item doesn't say."""
    if item.choices and item.answer is not None:
        return item.choices[item.answer]
    return "; ".join(check_words(check) for check in item.checks)


def answer_of(suite: Suite, item: Item, result: ItemResult) -> str:
    """What the model said: its likeliest choice, or of its generated answers the one marked most like the item."""
    if item.choices and item.answer is not None and result.logprobs:
        return _chosen(suite, item, item.answer, result)
    if not result.answers:
        return ""
    marks = result.marks if len(result.marks) == len(result.answers) else (result.score,) * len(result.answers)
    typical = min(range(len(marks)), key=lambda index: abs(marks[index] - result.score))
    return result.answers[typical]


def _chosen(suite: Suite, item: Item, answer: int, result: ItemResult) -> str:
    if result.right:
        return item.choices[answer]
    others = [index for index in range(len(item.choices)) if index != answer]
    if len(others) == 1:
        return item.choices[others[0]]
    if suite.scorer.normalise == "tokens":
        return NOT_KEPT  # a mean over tokens needs their number
    lengths = {
        "none": [1] * len(item.choices),
        "characters": [len(choice) for choice in item.choices],
        "bytes": [len(choice.encode()) for choice in item.choices],
    }[suite.scorer.normalise]
    return item.choices[max(others, key=lambda index: result.logprobs[index] / lengths[index])]


def check_words(check: Check) -> str:
    """A check in words."""
    return _WORDS[check.kind](check)


def _texts(texts: Iterable[str], between: str) -> str:
    return between.join(f"“{text}”" for text in texts)


def _range(check: Check) -> str:
    if check.least is not None and check.least == check.most:
        return f"exactly {check.least}"
    bounds = [f"at least {check.least}" if check.least is not None else ""]
    bounds.append(f"at most {check.most}" if check.most is not None else "")
    return " and ".join(bound for bound in bounds if bound)


def _number(check: Check) -> str:
    tolerance = f" ± {check.tolerance:g}" if check.tolerance else ""
    return f"the number {check.number:.12g}{tolerance}" if check.number is not None else "a number"


_WORDS: dict[str, Callable[[Check], str]] = {
    "exact": lambda check: f"exactly {_texts(check.texts, ' or ')}",
    "number": _number,
    "regex": lambda check: f"matches {check.pattern}",
    "contains": lambda check: f"contains {_texts(check.texts, ' and ')}",
    "excludes": lambda check: f"is without {_texts(check.texts, ' and ')}",
    "starts": lambda check: f"begins with {_texts(check.texts, ' or ')}",
    "ends": lambda check: f"ends with {_texts(check.texts, ' or ')}",
    **{kind: (lambda check: f"{check.kind}: {_range(check)}") for kind in ("words", "sentences", "bullets", "lines")},
    "json": lambda check: f"JSON with the keys {_texts(check.texts, ', ')}" if check.texts else "JSON",
    "upper": lambda _: "in upper case",
    "lower": lambda _: "in lower case",
    "refuses": lambda _: "declines",
    "extract": lambda check: f"answers {_texts(check.texts, ' or ')}",
    "answers": lambda _: "answers, and doesn’t decline",
}


def interleave(flips: Sequence[Flip], order: Sequence[str]) -> list[Flip]:
    """Flips so that every suite's first comes before any suite's second, suites in the order given.

    By ``delta`` alone, right/wrong suites (−1) would hide the graded ones.
    """
    by_suite: dict[str, list[Flip]] = {name: [] for name in order}
    for flip in flips:
        by_suite.setdefault(flip.suite, []).append(flip)
    longest = max((len(one) for one in by_suite.values()), default=0)
    return [group[rank] for rank in range(longest) for group in by_suite.values() if rank < len(group)]
