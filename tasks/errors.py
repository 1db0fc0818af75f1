"""The errors of the night's steps. Every message names the value and the next action (see infra.errors)."""

from typing import Any

from infra.errors import NightshiftError


class RecipeError(NightshiftError):
    """The recipe can't be read, or a value of it is invalid."""


class SourceError(NightshiftError):
    """A source of the recipe can't be read."""


class SourceChanged(SourceError):
    """An object of a source is no more what was listed. What was read of it may be of two states: it has to go."""


class WorkerEnded(NightshiftError):
    """A process that reads or measures data was ended from outside."""


class DataBreach(NightshiftError):
    """The data as a whole fails a critical expectation, or an expectation could not be computed."""


class EngineError(NightshiftError):
    """What is to compute (Spark for the data's checks, vLLM for answers) is missing, doesn't start or fails."""


class MaskError(NightshiftError):
    """Personal data can't be masked as asked."""


class PlanError(NightshiftError):
    """The plan does not fit the pool's memory or the recipe's budget."""


class PoolDown(PlanError):
    """The pool can't run anything tonight; another may."""


class ModelError(NightshiftError):
    """A model folder is missing, incomplete, or of another kind than the recipe says."""


class RewardError(NightshiftError):
    """An answer can't be rewarded: the reward raised, hung, or gave no finite number."""


class Unhealthy(NightshiftError):
    """A training was stopped by a health condition; its last good checkpoint is kept.

    Args:
        pairs: ids of the training pairs that caused it, where it could be traced to some.
    """

    def __init__(self, what: str, *, do: str, pairs: tuple[str, ...] = ()) -> None:
        super().__init__(what, do=do)
        self.pairs = pairs


class BillError(NightshiftError):
    """What was held can't be billed: its times contradict each other, or amounts are in several currencies."""


class OverBudget(NightshiftError):
    """A step was asked to end because the night, or its month, has spent its budget; it can be gone on with."""


class PhaseSpent(OverBudget):
    """A phase has spent a budget of its own; what the phases before it made is judged all the same."""


class PastDeadline(NightshiftError):
    """A step was asked to end because the schedule's deadline came; it can be gone on with."""


class NotTonight(NightshiftError):
    """A scheduled night must not run: a blackout day, too late, or another night still runs."""


class ReceiptError(NightshiftError):
    """A portability receipt can't be made or read."""


class CompareError(NightshiftError):
    """A comparison of methods can't be made or read."""


class Interrupted(NightshiftError):
    """A training was asked to end before its last step; it can be gone on with."""


class SuiteError(NightshiftError):
    """A gate suite can't be read, or an item of it is invalid."""


class RegistryError(NightshiftError):
    """The registry lacks something, or holds something that contradicts the evidence."""


class RegistryRefused(RegistryError):
    """The server's guard doesn't allow a change of the registry, or somebody was faster."""


class NotPromotable(NightshiftError):
    """A version may not become champion: its verdict, evidence or approval doesn't allow it."""


class NeedsRejudgement(NotPromotable):
    """A version was judged against another model than the one that serves now."""


class ExportError(NightshiftError):
    """A version can't be exported, or an export isn't what its signed manifest says."""


class IncidentFound(NightshiftError):
    """The registry differs from its records.

    Args:
        summary: the whole audit, as one JSON object.
    """

    def __init__(self, what: str, *, do: str, summary: dict[str, Any] | None = None) -> None:
        super().__init__(what, do=do)
        self.summary = summary or {}


class DrillFailed(NightshiftError):
    """A rollback would fail now, or take too long."""


class NothingToDrill(RegistryError):
    """Nothing served before the champion, so there is no rollback to try."""
