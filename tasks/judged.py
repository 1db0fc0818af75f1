"""The records of a judged night: verdict, suites, noise, and what earlier nights were. Part of ``tasks.contracts``."""

from typing import Literal

from infra.digest import Digest, Record
from infra.store import Blob

VerdictName = Literal["PASS", "FAIL", "INCONCLUSIVE", "BLOCK"]
Measure = Literal["right", "probability", "score"]
WearState = Literal["fresh", "worn", "spent"]


class SuiteResult(Record):
    """One suite's comparison. Numbers are None where the evidence is missing (then ``verdict`` is BLOCK).

    Attributes:
        n: families compared; ``items`` of them items.
        lower, upper: one-sided bounds of candidate minus champion at α.
        anchor_delta, anchor_lower, anchor_upper: candidate minus anchor, at the α spent per decision.
        p_harm: sequential p-value of harm over all looks; ``look``: the share of items scored at the one that gave it.
        wear: what the bank may flatter the champion by (tasks/gate/wear.py).
        lifetime: candidate minus the first anchor: ``anchor_delta`` and what re-anchorings have added before.
        sampling: share of the variance that is sampling noise; None for one answer an item.
    """

    name: str
    measure: Measure
    n: int
    items: int = 0
    champion: float | None
    candidate: float | None
    delta: float | None
    lower: float | None
    upper: float | None
    margin: float
    p_harm: float | None
    look: float | None = None
    anchor_delta: float | None
    anchor_lower: float | None
    anchor_upper: float | None
    budget: float
    mde: float | None
    items_to_settle: int | None
    wear: float | None = None
    wear_state: WearState = "fresh"
    lifetime: float | None = None
    sampling: float | None = None
    target: bool
    verdict: VerdictName
    reason: str


class FixedLimit(Record):
    """One fixed limit of drift: breached is FAIL, a missing value is BLOCK."""

    name: str
    value: float | None
    limit: float
    breached: bool


class Noise(Record):
    """A/A: the champion scored a second time in other batches, held against its own scorecard.

    Attributes:
        items: how many were scored twice; ``flips``: of them, those with another result (right or wrong).
        gap: the largest difference of a graded result; ``floor``: the largest that is noted as noise.
        cause: what was new since the last check: champion, engine, precision, batch size.
    """

    suite: str
    items: int
    flips: int
    gap: float
    floor: float
    cause: str


class PhaseVerdict(Record):
    """What the gate said of one of several phases.

    Attributes:
        number: in the recipe, from 1.
        verdict: None where it made no candidate; ``told`` says why.
        delta, lower: of the target suite, candidate minus champion.
        decision: which decision against this anchor; 0 where none was spent.
        chosen: this one's verdict is the night's.
    """

    number: int
    method: str
    candidate: Digest | None = None
    verdict: VerdictName | None = None
    delta: float | None = None
    lower: float | None = None
    decision: int = 0
    chosen: bool = False
    told: str


class WeakTopic(Record):
    """A topic of a suite that didn't pass, on which the candidate does badly.

    Attributes:
        n: families; champion, candidate: their mean results on tonight's items.
        upper: one-sided bound of candidate minus champion at the gate's α; 1 where there are too few families for one.
        why: ``worse``: proven worse than the champion; ``below``: worse, not proven; ``low``: among its worst topics.
    """

    suite: str
    topic: str
    n: int
    champion: float
    candidate: float
    upper: float
    why: Literal["worse", "below", "low"]

    @property
    def delta(self) -> float:
        return self.candidate - self.champion


class TwinRows(Record):
    """Training twins of weak topics, as lines of training data; ``left_out`` shared text with the gate's items.

    ``mixed``: of the night's own preferences, which lie in ``rows`` beside the ``n`` twins.
    """

    topics: tuple[WeakTopic, ...]
    rows: Blob
    n: int
    left_out: int = 0
    mixed: int = 0


class RoundSuite(Record):
    """A suite as a try was judged on it: items that no earlier judgement of the night had seen, of all."""

    name: str
    candidate: float | None
    delta: float | None
    verdict: VerdictName
    fresh: int
    items: int


class Round(Record):
    """One try to harden a candidate that didn't pass, and what came of it.

    Attributes:
        kind: ``soup``: averaged with the champion, ``share`` of it the candidate's; ``twins``: trained on ``rows``
            training twins of ``topics`` by ``method``.
        alpha: one-sided error it was judged with: half of the try's before.
        verdict: None where it came to none; ``reason`` then says why.
    """

    number: int
    kind: Literal["soup", "twins"]
    share: float | None = None
    method: str | None = None
    topics: tuple[WeakTopic, ...] = ()
    rows: int = 0
    alpha: float
    verdict: VerdictName | None = None
    reason: str
    suites: tuple[RoundSuite, ...] = ()
    candidate: Digest | None = None


class Verdict(Record):
    """The gate's answer, with the numbers and one paragraph that explains it.

    Attributes:
        alpha: one-sided error of every bound against the champion: the recipe's, shared by the candidates of a night.
        phases: of a night with several, what was said of each; this verdict is the chosen one's.
        decision: which judged decision against this anchor this is, of ``planned``; 0 where nothing was judged.
        waivable: INCONCLUSIVE, and every anchor bound holds: a recorded waiver may promote it.
        stopped: scoring ended early because harm was proven.
        rounds: tries to harden a candidate that didn't pass, up to this one where a try passed.
    """

    verdict: VerdictName
    paragraph: str
    suites: tuple[SuiteResult, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    limits: tuple[FixedLimit, ...] = ()
    noise: tuple[Noise, ...] = ()
    alpha: float
    anchor_z: float
    decision: int = 0
    planned: int = 0
    waivable: bool = False
    stopped: bool = False
    rounds: tuple[Round, ...] = ()
    candidate: Digest
    champion: Digest | None
    anchor: Digest | None
    cards: tuple[Digest, ...]
    phases: tuple[PhaseVerdict, ...] = ()

    def identity(self) -> dict[str, object]:
        # of a night with one phase it is what it was before there were several
        return {name: value for name, value in super().identity().items() if name != "phases" or value}


class Flip(Record):
    """One item on which candidate and champion differ most, side by side. Answers are untrusted model text.

    ``delta`` is candidate minus champion, in [−1, 1]; ``right``: what a right answer is, where the item says it.
    """

    suite: str
    id: str
    topic: str
    prompt: str
    right: str
    champion_answer: str
    candidate_answer: str
    champion: float
    candidate: float
    delta: float


class PastSuite(Record):
    name: str
    delta: float | None  # candidate minus that night's champion
    anchor_delta: float | None
    lifetime: float | None


class PastNight(Record):
    """One judged decision of the past, from the ledger.

    Attributes:
        promoted: its candidate became champion later.
        phase: of a night with several; ``chosen``: this one's verdict was the night's.
    """

    at: str  # ISO time, UTC
    night: str
    verdict: VerdictName
    promoted: bool
    suites: tuple[PastSuite, ...]
    phase: int | None = None
    chosen: bool = True


class Reanchored(Record):
    """One explicit re-anchoring: what the new anchor had lost against the old one, by suite."""

    at: str
    by: str
    reason: str
    losses: tuple[PastSuite, ...]
