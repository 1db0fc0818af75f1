"""How the training program says why it ended early: one event, and an exit code that is no crash's."""

from typing import Any, Literal

from infra.events import emit

Kind = Literal["interrupted", "unhealthy", "not_finite", "refused", "out_of_memory"]
EXIT = 75  # EX_TEMPFAIL; the event says what it was


def stopped(kind: Kind, **fields: Any) -> None:
    """Send the event. ``tasks.align.ended`` turns it into an error on the night's side."""
    emit("stopped", kind=kind, **fields)
