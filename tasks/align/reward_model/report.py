"""What is known of a trained reward model: how right it is on pairs held out, and whether that suffices. Pure."""

import json
from collections.abc import Sequence
from typing import Any

from infra.digest import Record, canonical_json, digest_of, short
from tasks.align.reward_model.calibration import Accuracy, Calibration, accuracy, calibration, temperature_that_helps
from tasks.errors import ModelError
from tasks.phases import Phase

Pair = dict[str, Any]


class RewardReport(Record):
    """Of a reward model, beside it as ``reward.json`` and in the training program's result as ``reward``.

    Attributes:
        accuracy: on the pairs held out.
        calibration: of the rewards as the model gives them, after ``temperature``.
        before: of those it was trained to give.
        temperature: they were divided by, where that helps surely; 1 where it doesn't. It is in the model's weights.
        mean, spread: of the rewards of all held-out answers, after ``temperature``; whoever uses the model takes the
            mean off.
        trained: pairs it was trained on.
        floor: of the recipe (``phase.reward_floor``).
    """

    accuracy: Accuracy
    calibration: Calibration
    before: Calibration
    temperature: float
    mean: float
    spread: float
    trained: int
    floor: float


def is_held_out(prompt: Any, share: float) -> bool:
    """Whether pairs of this prompt are held out: by hash, so that no prompt ever changes sides while the share stays.

    It is another hash than the house suite's: that split has left before any pair gets here.
    """
    return _place(["reward model", prompt]) < share


def split(pairs: Sequence[Pair], phase: Phase) -> tuple[list[Pair], list[Pair]]:
    """Pairs to train on, and pairs held out.

    Raises:
        ModelError: there is none of one kind.
    """
    held_out = [is_held_out(pair["prompt"], phase.reward_holdout) for pair in pairs]
    train = [pair for pair, out in zip(pairs, held_out, strict=True) if not out]
    held = [pair for pair, out in zip(pairs, held_out, strict=True) if out]
    if not held or len(train) < phase.batch_size:
        raise ModelError(
            f"{len(train)} of {len(pairs)} pairs are left to train a reward model on, and {len(held)} are held out to "
            f"measure it (phase.reward_holdout = {phase.reward_holdout:g}); it takes one batch of {phase.batch_size} "
            "and at least one",
            do="bring more pairs of different prompts, or change phase.reward_holdout or phase.batch_size",
        )
    return train, held


def report_of(
    chosen: Sequence[float], rejected: Sequence[float], held: Sequence[Pair], trained: int, floor: float
) -> RewardReport:
    """The report of the rewards of held-out pairs' answers."""
    gaps = [one - other for one, other in zip(chosen, rejected, strict=True)]
    prompts = [canonical_json(pair["prompt"]).decode() for pair in held]
    found = temperature_that_helps(gaps, [_place(["half", prompt]) < 0.5 for prompt in prompts])
    rewards = [reward / found for reward in (*chosen, *rejected)]
    mean = sum(rewards) / len(rewards)
    return RewardReport(
        accuracy=accuracy(gaps, prompts),
        calibration=calibration([gap / found for gap in gaps]),
        before=calibration(gaps),
        temperature=found,
        mean=mean,
        spread=(sum((reward - mean) ** 2 for reward in rewards) / len(rewards)) ** 0.5,
        trained=trained,
        floor=floor,
    )


def refuse_weak(report: RewardReport, floor: float | None = None) -> None:
    """A reward model that is hardly better than a coin would teach its noise.

    Args:
        floor: that its accuracy's lower bound has to reach; None: the floor of its own phase.

    Raises:
        ModelError: it doesn't.
    """
    found, needed = report.accuracy, report.floor if floor is None else floor
    if found.lower >= needed:
        return
    raise ModelError(
        f"the reward model ranks {found.right} of {found.n} held-out pairs right, {found.accuracy:.1%} "
        f"[{found.lower:.1%}, {found.upper:.1%}]: the lower bound is below {needed:.1%} (phase.reward_floor), so no "
        f"phase may use it",
        do=f"{_remedy(found, needed)}; or leave the phases out that use it",
    )


def _remedy(found: Accuracy, floor: float) -> str:
    if found.accuracy > floor:
        return (
            f"bring more pairs: the {found.prompts} held-out prompts are too few to show that {found.accuracy:.1%} is "
            "above it"
        )
    return "train it for more steps or on more pairs, and look whether annotators agree on these pairs at all"


def said_of(report: RewardReport) -> str:
    """The report in a sentence, for a log."""
    found, kept = report.accuracy, report.calibration
    scaled = f", rewards divided by {report.temperature:.2f} to be calibrated" if report.temperature != 1 else ""
    return (
        f"reward model: {found.accuracy:.1%} [{found.lower:.1%}, {found.upper:.1%}] of {found.n} held-out pairs of "
        f"{found.prompts} prompts ranked right; calibration error {kept.error:.3f}{scaled}"
    )


def figures_of(report: RewardReport) -> dict[str, float]:
    """What of it is shown beside the training's metrics."""
    return {
        "held_out_accuracy": report.accuracy.accuracy,
        "held_out_lower": report.accuracy.lower,
        "held_out_pairs": report.accuracy.n,
        "held_out_loss": report.calibration.loss,
        "calibration_error": report.calibration.error,
        "temperature": report.temperature,
    }


def read_report(text: str | bytes, where: str) -> RewardReport:
    """The report in a ``reward.json``.

    Raises:
        ModelError: it is none.
    """
    try:
        return RewardReport.model_validate(json.loads(text))
    except ValueError as error:
        first = str(error).partition("\n")[0]
        raise ModelError(
            f"{where} is no report of a reward model: {first}", do='train one anew ([[phase]] method = "reward")'
        ) from error


def _place(key: Any) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return int(short(digest_of(key), 13), 16) / 16**13
