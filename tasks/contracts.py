"""The frozen records that pass between steps. Data itself lies in the store and passes by reference.

A record's ``digest`` covers what it *is*; fields in ``NOT_IDENTITY`` (times, costs, log-like extras) are left out.
"""

from typing import ClassVar, Literal

from infra.attempts import Attempt, Device
from infra.digest import Digest, Record, digest_of
from infra.store import Blob, Tree

VerdictName = Literal["PASS", "FAIL", "INCONCLUSIVE", "BLOCK"]
Role = Literal["candidate", "champion", "anchor"]
Measure = Literal["right", "probability"]


class Night(Record):
    """One night's identity and the places it writes to. Two nights with the same id have the same inputs."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset(
        {"name", "folder", "flow_run", "mlflow_run", "promotable", "fresh"}
    )

    id: Digest
    name: str
    folder: str
    flow_run: str
    mlflow_run: str
    promotable: bool  # False when the gate was overridden on the command line
    fresh: bool = False


class Model(Record):
    """A model as files: a base folder, and for a trained one a LoRA adapter on it."""

    base: Tree
    adapter: Tree | None = None

    def identity(self) -> dict[str, object]:
        return {"base": self.base.digest_, "adapter": self.adapter.digest_ if self.adapter else None}


class Baseline(Record):
    """A registered model that the night is compared with."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"version"})

    version: int
    model: Model
    trained_on: Blob | None  # the preferences it was trained on; None for a base model


class Baselines(Record):
    """What serves, and what drift is measured from. None where the alias is missing: the gate then blocks."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"decisions"})

    champion: Baseline | None
    anchor: Baseline | None
    decisions: int  # judged decisions of other nights so far, against this anchor


class SourceFile(Record):
    """One file of a source, as it was read."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"path"})

    path: str
    name: str
    digest_: Digest
    size: int
    rows: int


class Snapshot(Record):
    """The rows of all sources, normalised, in one Parquet file (columns: ``tasks.data.rows.COLUMNS``)."""

    rows: Blob
    n_rows: int
    files: tuple[SourceFile, ...]


class Preferences(Record):
    """The rows that passed, split by prompt hash, and what was kept out."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"data_docs", "warnings"})

    train: Blob  # JSONL: {id, prompt, chosen, rejected} in TRL's conversational form
    house: Blob  # JSONL: choice items {id, topic, messages, choices, answer}
    quarantine: Blob  # JSONL: {id, source, line, reasons, raw}
    profile: Blob  # JSON: one flat object
    data_docs: Tree
    n_train: int
    n_house: int
    n_held_out: int  # with those that the house suite had no room for; none of them is trained on
    n_quarantined: int
    warnings: tuple[str, ...]


class Suites(Record):
    """The gate's own suites as they are tonight (the house suite comes from the preferences)."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"problems"})

    suites: Blob  # JSON: {name: tasks.gate.suites.Suite}
    prompts: Blob  # JSON list of texts: what must not be trained on
    problems: tuple[str, ...]  # suites that can't be read: the gate blocks on them


class Plan(Record):
    """Train tonight, with what, and what it should take."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset(
        {"reason", "memory_bytes", "seconds", "amount", "currency", "new_pairs"}
    )

    train: bool
    reason: str
    new_pairs: int
    pairs: int
    steps: int
    memory_bytes: int
    seconds: float
    amount: float
    currency: str


class Candidate(Record):
    """Tonight's model, bound to what it was made from."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"history", "mlflow_run"})

    model: Model
    preferences: Digest
    recipe: Digest
    history: Blob  # JSON: metrics by step
    mlflow_run: str


class ScorecardRef(Record):
    """A scorecard in the store, with the digests it claims to be about; judge reads it again and compares."""

    role: Role
    suite: str
    model: Digest
    items: Digest
    scorer: Digest
    card: Blob


class Scores(Record):
    """All scorecards of a night, and sample answers."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"samples", "mlflow_run"})

    cards: tuple[ScorecardRef, ...]
    samples: Blob  # JSON: [{prompt, champion, candidate}]
    mlflow_run: str


class SuiteResult(Record):
    """One suite's comparison. Numbers are None where the evidence is missing (then ``verdict`` is BLOCK).

    ``lower`` is the one-sided bound of candidate minus champion at α; ``anchor_lower`` and ``anchor_upper`` those of
    candidate minus anchor at the α spent per decision.
    """

    name: str
    measure: Measure
    n: int
    champion: float | None
    candidate: float | None
    delta: float | None
    lower: float | None
    upper: float | None
    margin: float
    p_harm: float | None
    anchor_delta: float | None
    anchor_lower: float | None
    anchor_upper: float | None
    budget: float
    mde: float | None
    items_to_settle: int | None
    target: bool
    verdict: VerdictName
    reason: str


class Verdict(Record):
    """The gate's answer, with the numbers and one paragraph that explains it."""

    verdict: VerdictName
    paragraph: str
    suites: tuple[SuiteResult, ...]
    problems: tuple[str, ...]
    alpha: float
    anchor_z: float
    candidate: Digest
    champion: Digest | None
    anchor: Digest | None
    cards: tuple[Digest, ...]


class BillLine(Record):
    step: str
    attempts: int
    failed: int
    device: str
    seconds: float
    device_hours: float
    kwh: float
    amount: float
    estimated: bool


class Bill(Record):
    """What the night cost so far: all attempts, priced from a dated book."""

    lines: tuple[BillLine, ...]
    device_hours: float
    gpu_hours: float
    kwh: float
    amount: float
    currency: str
    estimated: bool
    price_book: str
    source: str


class Release(Record):
    """A registered version and what it awaits."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"url"})

    name: str
    version: int
    verdict: VerdictName
    state: Literal["awaits approval", "recorded"]
    evidence: Blob
    url: str


class Evidence(Record):
    """Everything a version's verdict rests on. Stored as one blob; ``promote`` checks every digest again."""

    night: Digest
    recipe: Digest
    snapshot: Digest
    preferences: Digest
    model: Model
    champion: Digest | None
    anchor: Digest | None
    cards: tuple[ScorecardRef, ...]
    verdict: Verdict
    trained_on: Blob
    promotable: bool

    @property
    def key(self) -> Digest:
        """The version's identity: registering the same evidence twice finds the same version."""
        return digest_of(self)


class StepReport(Record):
    name: str
    state: str
    cached: bool
    seconds: float


__all__ = [
    "Attempt",
    "Baseline",
    "Baselines",
    "Bill",
    "BillLine",
    "Candidate",
    "Device",
    "Evidence",
    "Measure",
    "Model",
    "Night",
    "Plan",
    "Preferences",
    "Release",
    "Role",
    "ScorecardRef",
    "Scores",
    "Snapshot",
    "SourceFile",
    "StepReport",
    "SuiteResult",
    "Suites",
    "Verdict",
    "VerdictName",
]
