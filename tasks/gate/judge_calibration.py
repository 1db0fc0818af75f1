"""How far a judge model's preferences can be trusted: against pairs whose better answer people have labelled.

Pure; tasks/gate/judge_model.py asks the judge. Pairs count as independent: hand in one a family.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from scipy.stats import beta

from tasks.errors import SuiteError

Place = Literal["A", "B", "tie"]
Label = Literal["first", "second"]


class Preference(NamedTuple):
    """What a judge said of two answers in both orders: ``forward`` showed the first as A, ``swapped`` as B."""

    forward: Place
    swapped: Place

    @property
    def mark(self) -> float:
        """1 where both orders prefer the first answer, 0 where both prefer the second, else 0.5."""
        if (self.forward, self.swapped) == ("A", "B"):
            return 1.0
        return 0.0 if (self.forward, self.swapped) == ("B", "A") else 0.5

    @property
    def consistent(self) -> bool:
        """Whether both orders name the same answer, or neither names one."""
        return self.mark != 0.5 or self.forward == self.swapped == "tie"


class Labelled(NamedTuple):
    """A pair's label, which answer people prefer, and what the judge said of it."""

    label: Label
    preference: Preference


class Calibration(NamedTuple):
    """A judge against labels.

    Attributes:
        pairs: labelled pairs.
        agreed: pairs on which both orders name the labelled answer; a tie agrees with no label.
        lower: one-sided lower bound of the agreement.
        inconsistent: pairs on which the two orders disagree.
        first_place: of these, pairs whose both orders name what stood first.
        last_place: of these, pairs whose both orders name what stood last; in the rest, one order said tie.
    """

    pairs: int
    agreed: int
    lower: float
    inconsistent: int
    first_place: int
    last_place: int

    @property
    def agreement(self) -> float:
        return self.agreed / self.pairs

    @property
    def position_bias(self) -> float:
        """Share of the pairs on which the two orders disagree."""
        return self.inconsistent / self.pairs

    @property
    def favoured(self) -> Literal["first", "last"] | None:
        """The place that wins more of the pairs on which the orders disagree; None where none does."""
        if self.first_place == self.last_place:
            return None
        return "first" if self.first_place > self.last_place else "last"


def calibrate(preferences: Sequence[Labelled], alpha: float = 0.05) -> Calibration:
    """Agreement with the labels, and position bias.

    Raises:
        SuiteError: there are no labelled pairs.
    """
    if not preferences:
        raise SuiteError("the judge was asked about 0 labelled pairs", do="label some pairs, 100 at least")
    said = [one.preference for one in preferences]
    agreed = sum(one.preference.mark == (1.0 if one.label == "first" else 0.0) for one in preferences)
    return Calibration(
        pairs=len(preferences),
        agreed=agreed,
        lower=clopper_pearson_lower(agreed, len(preferences), alpha),
        inconsistent=sum(not one.consistent for one in said),
        first_place=said.count(Preference("A", "A")),
        last_place=said.count(Preference("B", "B")),
    )


def clopper_pearson_lower(right: int, n: int, alpha: float) -> float:
    """One-sided exact lower bound of a share at level 1 − alpha (Clopper and Pearson 1934)."""
    return 0.0 if right == 0 else float(beta.ppf(alpha, right, n - right + 1))


def why_not_calibrated(calibration: Calibration, least: float = 0.7) -> str | None:
    """Why this judge may not grade, or None: its agreement must be at least ``least``, proven by the lower bound."""
    if calibration.lower >= least:
        return None
    bias = ""
    if calibration.inconsistent:
        where = f", mostly for what stands {calibration.favoured}" if calibration.favoured else ""
        bias = f"; its two orders disagree on {calibration.inconsistent} pairs{where}"
    return (
        f"the judge agrees with {calibration.agreed} of {calibration.pairs} labels, at least {calibration.lower:.3f} "
        f"of all by the lower bound, and {least:g} is asked for{bias}"
    )
