"""The records of a night with several phases. Part of ``tasks.contracts``."""

from typing import ClassVar

from infra.digest import Record
from infra.store import Blob, Tree


class PhasePlan(Record):
    """What one of several phases takes. One without steps has too little to learn tonight, as its ``reason`` says."""

    number: int  # in the recipe, from 1
    method: str
    reason: str
    pairs: int
    steps: int
    memory_bytes: int
    seconds: float
    amount: float


class RewardModel(Record):
    """What a phase leaves that makes no candidate: a model which later phases' answers are rewarded by."""

    NOT_IDENTITY: ClassVar[frozenset[str]] = frozenset({"found", "history", "mlflow_run", "pairs"})

    model: Tree
    found: Blob  # JSON: what its training says of it
    history: Blob  # JSON: metrics by step
    pairs: Blob  # JSON lines: the pairs that it was trained on, in their order
    mlflow_run: str


class Ended(Record):
    """A phase that made nothing tonight, and why."""

    number: int
    method: str
    why: str
