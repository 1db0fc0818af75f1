"""What answers to prompts that aren't trained on are looked at by: a verifier that the policy doesn't learn from, or,
without one, the rewards that it does. What rises in training and not here was not learned, but got around."""

import math
from collections.abc import Sequence
from statistics import fmean, pstdev
from typing import Any

from tasks.align.online.build import rows_of
from tasks.align.rewards.caller import Scored, Worker, verifiable
from tasks.align.rewards.verifiers import VERIFIERS
from tasks.errors import RewardError
from tasks.phases import MODEL, Phase


def watches(phase: Phase) -> list[str]:
    """What answers to held-out prompts are looked at by: ``phase.watch``, else the rewards that a program computes.

    None where a reward model is all there is: it would agree with itself, also where the policy has got around it.
    """
    return [phase.watch] if phase.watch else [name for name in phase.reward if name != MODEL]


class Watching:
    """Held-out prompts with what their answers are scored by.

    Args:
        pairs: lines of training data that no step trains on.

    Raises:
        RewardError: the watch compares with a truth, and none of the rows has one.
    """

    def __init__(self, phase: Phase, pairs: Sequence[dict[str, Any]], most: int) -> None:
        names = watches(phase)
        needs = any(VERIFIERS[name].truth for name in names)
        rows = [row for row in rows_of(list(pairs)) if row["truth"] is not None or not needs]
        if not rows:
            raise RewardError(
                f"the watch {', '.join(names)} compares answers with a row's `truth`, and none of the {len(pairs)} "
                "held-out rows has one",
                do="bring rows with truths, or set phase.watch to a reward that needs none: "
                + ", ".join(name for name, one in VERIFIERS.items() if not one.truth),
            )
        self.rows = rows[:most]
        given: dict[str, float] = dict(zip(phase.reward, phase.reward_weights, strict=False))
        weights = [1.0 if phase.watch else given.get(name, 1.0) for name in names]
        worker = Worker()
        self.scorers: list[tuple[float, Scored]] = [
            (weight, verifiable(name, worker)) for weight, name in zip(weights, names, strict=True)
        ]

    @property
    def prompts(self) -> list[Any]:
        return [row["prompt"] for row in self.rows]

    def look(self, answers: Sequence[str]) -> dict[str, float]:
        """``probe_watch``: the mean score of an answer to each prompt; ``_spread``: their deviation; ``_error``: the
        mean's; ``_room``: from it to the best.

        Raises:
            RewardError: a score is no finite number, or took too long.
        """
        truths = [row["truth"] for row in self.rows]
        found = [score(self.prompts, list(answers), truth=truths) for _, score in self.scorers]
        weights = [weight for weight, _ in self.scorers]
        scores = [sum(w * s for w, s in zip(weights, row, strict=True)) for row in zip(*found, strict=True)]
        spread = pstdev(scores)
        error = spread / math.sqrt(len(scores))
        mean = fmean(scores)
        return {
            "probe_watch": mean,
            "probe_watch_spread": spread,
            "probe_watch_error": error,
            "probe_watch_room": max(scores) - mean,
        }
