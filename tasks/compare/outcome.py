"""From what a training left behind to its figures: preferences shown, steps, distance, cost. Nothing is typed in."""

import json
from collections.abc import Sequence

from infra.digest import digest_of
from infra.store import Store
from tasks.compared import Distance, Marks, Spent, State, Training, Trial
from tasks.contracts import Bill, Candidate, Device
from tasks.errors import Unhealthy
from tasks.parts import lines_of
from tasks.phases import METHODS

# steps of a training's bill that are no training: alike for all methods
APART = frozenset({"collect", "validate", "decide", "score"})


def spent_of(bill: Bill) -> Spent | None:
    """What trained, of a bill; None where nothing did."""
    lines = [line for line in bill.lines if line.step not in APART]
    if not lines:
        return None
    peaks = [line.peak_memory_bytes for line in lines if line.peak_memory_bytes is not None]
    planned = [line.planned_memory_bytes for line in lines if line.planned_memory_bytes is not None]
    meters = sorted({line.meter for line in lines if line.meter})
    return Spent(
        steps=tuple(sorted({line.step for line in lines})),
        attempts=sum(line.attempts for line in lines),
        failed=sum(line.failed for line in lines),
        seconds=sum(line.seconds for line in lines),
        queue_seconds=sum(line.queue_seconds for line in lines),
        device_hours=sum(line.device_hours for line in lines),
        gpu_hours=sum(line.gpu_hours for line in lines),
        kwh=sum(line.kwh for line in lines),
        estimated=any(line.estimated for line in lines),
        meter=", ".join(meters) or None,
        peak_memory_bytes=max(peaks) if peaks else None,
        planned_memory_bytes=max(planned) if planned else None,
        amount=sum(line.amount for line in lines),
        whole_amount=bill.amount,
        currency=bill.currency,
        digits=bill.digits,
        example=bill.example,
        price_book=bill.price_book,
    )


def distance_of(history: Sequence[dict[str, float]], scored: Distance) -> Distance:
    """What the training's last look at its own answers saw, beside what the drift suite says."""
    look = next((step for step in reversed(history) if "probe_tokens" in step), {})
    base = look.get("probe_base_tokens", 0.0)
    return scored.model_copy(
        update={
            "kl": look.get("probe_kl"),
            "length_ratio": look["probe_tokens"] / base if base > 0 else None,
        }
    )


def finished(
    trial: Trial,
    device: Device,
    candidate: Candidate,
    found: tuple[Sequence[Marks], Distance],
    bill: Bill,
    store: Store,
) -> Training:
    """A training that came to its end, and was scored to the end."""
    history = json.loads(store.read_bytes(candidate.history))
    phase = trial.recipe.phase[0]
    ids = [json.loads(line)["id"] for line in lines_of(candidate.pairs, store)] if candidate.pairs else None
    marks, scored = found
    return Training(
        method=trial.method,
        seed=trial.seed,
        state="Finished",
        pool=trial.recipe.pool,
        device=candidate.device or device.kind,
        accelerator=device.accelerator,
        shown=len(ids) if ids is not None else None,
        shown_digest=digest_of(ids) if ids is not None else None,
        drawn=len(ids) * phase.group_size if ids is not None and "group_size" in METHODS[phase.method].fields else 0,
        steps=len(history),
        of_steps=phase.max_steps,
        model=candidate.model.digest,
        marks=tuple(marks),
        distance=distance_of(history, scored),
        spent=_with_peak(spent_of(bill), candidate.peak_memory_bytes),
    )


def _with_peak(spent: Spent | None, program: int | None) -> Spent | None:
    """Where no gauge saw the device's memory, the program's own word counts."""
    if spent is None or spent.peak_memory_bytes is not None:
        return spent
    return spent.model_copy(update={"peak_memory_bytes": program})


def ended(trial: Trial, device: Device, error: BaseException, bill: Bill) -> Training:
    """A training that did not come to its end: a row of the table like any other."""
    state: State = "Unhealthy" if isinstance(error, Unhealthy) else "Failed"
    return Training(
        method=trial.method,
        seed=trial.seed,
        state=state,
        why=" ".join((str(error) or type(error).__name__).split())[:500],
        pool=trial.recipe.pool,
        device=device.kind,
        accelerator=device.accelerator,
        of_steps=trial.recipe.phase[0].max_steps,
        spent=spent_of(bill),
    )
