"""The frozen records that pass between steps. Data itself lies in the store and passes by reference.

A record's ``digest`` covers what it *is*; fields in ``NOT_IDENTITY`` (times, costs, log-like extras) are left out.
"""

from typing import ClassVar, Literal

from infra.attempts import Attempt, Device
from infra.digest import Digest, Record, digest_of
from infra.store import Blob, Tree
from tasks.billed import AnswerLength, Bill, BillLine, Fate
from tasks.judged import (
    FixedLimit,
    Flip,
    Measure,
    Noise,
    PastNight,
    PastSuite,
    PhaseVerdict,
    Reanchored,
    Round,
    RoundSuite,
    SuiteResult,
    TwinRows,
    Verdict,
    VerdictName,
    WeakTopic,
    WearState,
)
from tasks.phased import Ended, PhasePlan, RewardModel
from tasks.receipts import Portability

Role = Literal["candidate", "champion", "anchor"]


class Night(Record):
    """One night's identity and the places it writes to. Two nights with the same id have the same inputs."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset(
        {"name", "folder", "flow_run", "mlflow_run", "promotable", "fresh", "core", "ends_by"}
    )

    id: Digest
    name: str
    folder: str
    flow_run: str
    mlflow_run: str
    promotable: bool  # False when the gate was overridden on the command line
    fresh: bool = False
    ends_by: str | None = None  # the schedule's deadline: a moment, ISO with its offset
    core: str = ""  # the id less the gate's items, which rotate: what the ledger knows a replayed night by


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

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"nights"})

    champion: Baseline | None
    anchor: Baseline | None
    nights: tuple[Digest, ...] = ()  # nights with a judged version in the registry: the ledger must know them all


class SourceFile(Record):
    """One object of a source, as it was read."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"url", "source"})

    source: str  # its path in the recipe
    kind: str
    url: str
    name: str  # relative to its source
    version: str  # sha256 of a file's bytes; of an object on S3 its version id or ETag
    size: int
    rows: int


class Shard(Record):
    """Some of a snapshot's rows: one Parquet file (columns: ``tasks.data.rows.COLUMNS``)."""

    rows: Blob
    n_rows: int


class Snapshot(Record):
    """The rows of all sources, normalised, in shards. A row's number counts through them in their order."""

    shards: tuple[Shard, ...]
    n_rows: int
    files: tuple[SourceFile, ...]
    served: Blob | None = None  # JSON: what is asked in service, counted (tasks/data/served.py)


class Preferences(Record):
    """The rows that passed, split by prompt hash, and what was kept out."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"data_docs", "page", "warnings"})

    train: Blob  # JSONL: {id, prompt, chosen, rejected}, or {id, prompt, completion, label}, as TRL names them; weight
    house: Blob  # JSONL: choice items {id, topic, messages, choices, answer}
    quarantine: Blob  # JSONL: {id, source, line, reasons, raw}
    profile: Blob  # JSON: one flat object
    data_docs: Tree
    page: Blob  # HTML: what came in, what left and why
    n_train: int
    n_house: int
    n_held_out: int  # with those that the house suite had no room for; none of them is trained on
    n_quarantined: int
    warnings: tuple[str, ...]


class Suites(Record):
    """The gate's own suites as they are tonight (the house suite comes from the preferences)."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"problems"})

    suites: Blob  # JSON: {name: tasks.gate.suites.Suite}
    guarded: Blob  # JSON list of {suite, item, text, is_prompt}: what must not be trained on, sealed items among them
    exhausted: tuple[str, ...] = ()  # suites that have no fresh items left to rotate in
    problems: tuple[str, ...]  # suites that can't be read: the gate blocks on them


class Plan(Record):
    """Train tonight, with what, and what it should take: all phases together, and where there are several each."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset(
        {"reason", "memory_bytes", "seconds", "amount", "currency", "example", "new_pairs", "earlier", "phases"}
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
    example: bool = False  # the amount is of a price that is nobody's
    earlier: Blob | None = None  # what the champion was trained on, where the recipe replays some of it
    phases: tuple[PhasePlan, ...] = ()  # of a recipe with several

    def alone(self, number: int) -> "Plan":
        """The plan of one phase, counted from 1: what its training reads."""
        if not self.phases:
            return self
        one = self.phases[number - 1]
        taken = {name: getattr(one, name) for name in ("reason", "pairs", "steps", "memory_bytes", "seconds", "amount")}
        return self.model_copy(update={**taken, "phases": ()})


class Candidate(Record):
    """Tonight's model, bound to what it was made from.

    Attributes:
        phase: of the recipe, from 1: the last of those that made it.
        of: how many candidates the night planned to judge; each is judged at so much less (docs/design/phases.md).
    """

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset(
        {"history", "mlflow_run", "machine", "device", "pairs", "phase", "of", "peak_memory_bytes"}
    )

    model: Model
    preferences: Digest
    recipe: Digest
    history: Blob  # JSON: metrics by step
    mlflow_run: str
    machine: Blob | None = None  # JSON: what the doctor found inside the job; None where it ran beside the night
    pairs: Blob | None = None  # JSON lines: the pairs that it was trained on, in their order; None before that was kept
    device: str | None = None  # the kind it was trained on (``Pool.device_kind``); None before that was kept
    phase: int = 1
    of: int = 1
    peak_memory_bytes: int | None = None  # that the training took since it last began, by the program's own word


class Trained(Record):
    """What the recipe's phases made, in their order: at least one candidate."""

    candidates: tuple[Candidate, ...]
    ended: tuple[Ended, ...] = ()


class ScorecardRef(Record):
    """A scorecard in the store, with the digests it claims to be about; judge reads it again and compares."""

    role: Role
    suite: str
    model: Digest
    items: Digest
    scorer: Digest
    card: Blob


class Engine(Record):
    """How models are scored. Another engine's results are other results: they are never compared.

    Attributes:
        name: ``packed`` (ours, or the model's own forward where it can't be packed); ``vllm`` answers in its place.
        device: ``cpu``, or the accelerator's kind.
        tokens: packed tokens a batch.
        form, quantise: of the artefact that serves (recipe's ``serve``).
        judge: the judge model's name; only suites that one grades depend on it.
    """

    name: Literal["packed", "vllm"]
    device: str
    dtype: str
    tokens: int
    form: str
    quantise: str | None
    judge: str | None = None


class Scores(Record):
    """All scorecards of a night, how they were made, and sample answers."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"samples", "mlflow_run"})

    cards: tuple[ScorecardRef, ...]
    engine: Engine
    noise: tuple[Noise, ...]  # A/A of this champion on this engine
    problems: tuple[str, ...] = ()  # models that could not be loaded; the gate blocks on them
    samples: Blob  # JSON: [{prompt, champion, candidate}]
    mlflow_run: str


class Release(Record):
    """A registered version and what it awaits."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"url"})

    name: str
    version: int
    verdict: VerdictName
    state: Literal["awaits approval", "recorded"]
    evidence: Blob
    url: str


class Inputs(Record):
    """What a night judged, kept so that the same model can be judged again when another one serves by then."""

    recipe: Blob  # JSON of a tasks.recipe.Recipe
    snapshot: Snapshot
    preferences: Preferences
    plan: Plan
    candidate: Candidate


class Evidence(Record):
    """Everything a version's verdict rests on. Stored as one blob; ``promote`` checks every digest again."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"inputs", "probe", "portability"})

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
    inputs: Blob | None = None  # JSON of Inputs; None in evidence of before it was kept
    probe: Blob | None = None  # JSON of a tasks.probes.ProbeSet; None where the candidate answered nothing
    portability: Portability | None = None  # None where the champion is of the same kind of device, or untrained

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
    "AnswerLength",
    "Attempt",
    "Baseline",
    "Baselines",
    "Bill",
    "BillLine",
    "Candidate",
    "Device",
    "Ended",
    "Engine",
    "Evidence",
    "Fate",
    "FixedLimit",
    "Flip",
    "Inputs",
    "Measure",
    "Model",
    "Night",
    "Noise",
    "PastNight",
    "PastSuite",
    "PhasePlan",
    "PhaseVerdict",
    "Plan",
    "Portability",
    "Preferences",
    "Reanchored",
    "Release",
    "RewardModel",
    "Role",
    "Round",
    "RoundSuite",
    "ScorecardRef",
    "Scores",
    "Shard",
    "Snapshot",
    "SourceFile",
    "StepReport",
    "SuiteResult",
    "Suites",
    "Trained",
    "TwinRows",
    "Verdict",
    "VerdictName",
    "WeakTopic",
    "WearState",
]
