"""Rejection sampling: which of a prompt's drawn answers are trained on, and why the others aren't. Pure.

Best-of-n as in arXiv 2112.09332 and 2307.09288: of several answers the best become examples (SFT), or the best over the
worst become pairs (DPO).
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from infra.digest import Record
from tasks.phases import Phase

ALIKE = 0.9  # share of words and pairs of neighbouring words from which on two answers are near-equal

Why = Literal["kept", "no signal", "unfinished"]
_WORD = re.compile(r"\w+|[^\w\s]")


class Answer(Record):
    """A drawn answer. ``ended``: it came to its end within the tokens it had; ``reward``: the weighted sum."""

    text: str
    tokens: int
    ended: bool
    reward: float
    rewards: dict[str, float]

    @property
    def whole(self) -> bool:
        """Whether it may be imitated: half an answer, or none, would be learned as a way to end."""
        return self.ended and bool(self.text)


class Choice(NamedTuple):
    """Of one prompt.

    Attributes:
        why: ``kept``; ``no signal`` where all answers earn the same; ``unfinished`` where those that earn more than
            others are cut off or empty.
        kept: places of (better, worse) answers; the worse is None where the better is imitated alone.
        near_equal: answers that say what one drawn before them says.
    """

    why: Why
    kept: list[tuple[int, int | None]]
    near_equal: int


def choose(answers: Sequence[Answer], phase: Phase) -> Choice:
    """Which answers of a prompt are trained on: ``phase.max_kept`` at most, no two of them near-equal."""
    rewards = [answer.reward for answer in answers]
    alike = len(answers) - len(_distinct(range(len(answers)), answers, phase))
    if not max(rewards) - min(rewards) > phase.min_gap:
        return Choice("no signal", [], alike)
    best = sorted(range(len(answers)), key=lambda place: (-rewards[place], place))
    better = _distinct([place for place in best if answers[place].whole], answers, phase)
    pairs: list[tuple[int, int | None]]
    if phase.train_as == "sft":
        # above the mean, too: of graded answers the upper half is imitated, not all but the very worst
        mean, lowest = sum(rewards) / len(rewards), min(rewards)
        pairs = [(one, None) for one in better if rewards[one] > mean and rewards[one] - lowest > phase.min_gap]
    else:
        worse = _distinct([place for place in reversed(best) if answers[place].text], answers, phase)
        both = zip(better, worse, strict=False)
        pairs = [(one, other) for one, other in both if rewards[one] - rewards[other] > phase.min_gap]
    return Choice("kept" if pairs else "unfinished", pairs[: phase.max_kept], alike)


def _distinct(places: Iterable[int], answers: Sequence[Answer], phase: Phase) -> list[int]:
    """The places without those of answers near-equal to an earlier one."""
    found: list[int] = []
    for place in places:
        if not any(near_equal(answers[place], answers[other], phase.min_gap) for other in found):
            found.append(place)
    return found


def near_equal(one: Answer, other: Answer, gap: float) -> bool:
    """Whether two answers say the same in almost the same words. Those that earn differently never do: a long answer
    with one number wrong is what there is to learn from."""
    if abs(one.reward - other.reward) > gap:
        return False
    mine, others = _shingles(one.text), _shingles(other.text)
    both = (mine & others).total()
    return both >= ALIKE * (mine | others).total()


def _shingles(text: str) -> Counter[tuple[str, ...]]:
    """Words and pairs of neighbouring words, each as often as it occurs."""
    words = _WORD.findall(text.casefold())
    return Counter([*((word,) for word in words), *itertools.pairwise(words)])


def rows_of(row: dict[str, Any], answers: Sequence[Answer], choice: Choice) -> list[dict[str, Any]]:
    """The training rows of a prompt, in the form of tonight's pairs and under its id."""

    def said(place: int) -> list[dict[str, str]]:
        return [{"role": "assistant", "content": answers[place].text}]

    return [
        {"id": row["id"], "prompt": row["prompt"], "chosen": said(better)}
        | ({} if worse is None else {"rejected": said(worse)})
        for better, worse in choice.kept
    ]
