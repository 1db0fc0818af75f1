"""What the data's report is made of: a frozen record a night. Nothing in it is masked or escaped: the page does."""

from typing import NamedTuple

from pydantic import Field, model_validator

from infra.digest import Record
from tasks.data.agreement import Agreement
from tasks.data.drift import DriftFigure
from tasks.data.judge_profile import Finding
from tasks.data.leakage import Common
from tasks.data.rows import Kind
from tasks.data.style import BiasFigure

# most samples of a reason that the page shows
SAMPLES = 3


class Source(Record):
    """What one source of the recipe gave.

    Attributes:
        rows, bytes: tonight, of all its objects; ``new_rows``: of them not in any earlier snapshot.
        rows_before: in the last accepted snapshot; None where there is none yet. A source that is gone has no rows now.
    """

    name: str
    kind: str
    objects: int = Field(ge=0)
    rows: int = Field(ge=0)
    new_rows: int = Field(ge=0)
    bytes: int = Field(ge=0)
    rows_before: int | None = Field(default=None, ge=0)


class Flow(Record):
    """Where rows went. A row is in quarantine, held out, to be trained on, or passed and is none of tonight's.

    Attributes:
        house: of the held-out rows, those that the house suite asks.
        to_train: passed and not held out.
    """

    kind: Kind
    rows: int = Field(ge=0)
    quarantined: int = Field(ge=0)
    held_out: int = Field(ge=0)
    house: int = Field(default=0, ge=0)
    to_train: int = Field(ge=0)

    @property
    def passed(self) -> int:
        return self.rows - self.quarantined

    @property
    def aside(self) -> int:
        """Passed, but neither held out nor to be trained on: documents without a rejected answer yet, and the like."""
        return self.passed - self.held_out - self.to_train

    @model_validator(mode="after")
    def _rows_go_to_one_place(self) -> "Flow":
        if self.aside < 0:
            raise ValueError(f"{self.rows} rows of kind {self.kind}, but {self.rows - self.aside} went somewhere")
        if self.house > self.held_out:
            raise ValueError(f"{self.house} house items of {self.held_out} held-out rows of kind {self.kind}")
        return self


class Trained(Record):
    """Rows that tonight trains on, once that is decided."""

    new: int = Field(ge=0)
    replayed: int = Field(ge=0)


class Reason(Record):
    """A check, and the rows that failed it. A row with several reasons counts under each."""

    name: str
    rows: int = Field(ge=0)


class Sample(Record):
    """A row in quarantine. An unreadable one has ``raw`` and ``error``, any other its texts.

    Attributes:
        because: what it is like or of whom it is a copy, where the reason is another row or an item.
    """

    reason: str
    id: str
    source: str
    line: int
    builder: str = ""
    because: str = ""
    error: str = ""
    prompt: str = ""
    chosen: str = ""
    rejected: str = ""
    raw: str = ""


class DriftAgainst(Record):
    """Drift against one thing: the last accepted snapshot, served traffic."""

    against: str
    figures: tuple[DriftFigure, ...]


class Leaked(NamedTuple):
    """An item of the gate whose text stands in training rows."""

    suite: str
    item: str
    rows: int


class DataReport(Record):
    """One night's data, as the report shows it.

    Attributes:
        made: ISO moment.
        flows: one a kind of row that came in.
        trained: None where the night has not decided yet, or stopped.
        reasons: of the quarantine, in any order; those without rows may be left out.
        samples: up to ``SAMPLES`` a reason; further ones are not shown.
        drift: empty where there is nothing to compare with yet.
        agreement: None where no row names its annotator.
        skipped: comparisons of near-duplicates that were left out in crowded bands.
    """

    night: str
    recipe: str
    made: str
    sources: tuple[Source, ...] = ()
    flows: tuple[Flow, ...] = ()
    trained: Trained | None = None
    reasons: tuple[Reason, ...] = ()
    samples: tuple[Sample, ...] = ()
    expectations: tuple[Finding, ...] = ()
    bias: tuple[BiasFigure, ...] = ()
    drift: tuple[DriftAgainst, ...] = ()
    agreement: Agreement | None = None
    leaked_items: tuple[Leaked, ...] = ()
    common: tuple[Common, ...] = ()
    skipped: int = Field(default=0, ge=0)

    @property
    def rows(self) -> int:
        return sum(flow.rows for flow in self.flows)

    @property
    def quarantined(self) -> int:
        return sum(flow.quarantined for flow in self.flows)

    @property
    def breaches(self) -> tuple[Finding, ...]:
        """Those that stop a night: critical and failed, or not computed at all."""
        return tuple(one for one in self.expectations if stops(one))

    @model_validator(mode="after")
    def _reasons_fit_the_rows(self) -> "DataReport":
        names = [flow.kind for flow in self.flows]
        if len(set(names)) < len(names):
            raise ValueError(f"flows name a kind twice: {', '.join(names)}")
        for reason in self.reasons:
            if reason.rows > self.quarantined:
                raise ValueError(f"{reason.rows} rows failed {reason.name}, of {self.quarantined} in quarantine")
        return self


def stops(finding: Finding) -> bool:
    """Whether this stops the night (as ``judge_profile.stop_on_breach``)."""
    return finding.error is not None or (not finding.success and finding.severity == "critical")
