"""Whole nights that train on the model's own answers: planned, drawn, rewarded, judged and registered."""

from pathlib import Path

import pytest

from tests.flows.test_nightly import run, started, steps

__all__ = ["started"]

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]

PHASE = (
    'phase.0.method="ppo"', 'phase.0.reward=["not_refused", "length_penalty"]', "phase.0.group_size=4",
    "phase.0.max_new_tokens=12", "phase.0.epochs=2", "phase.0.max_steps=12", "phase.0.probe_every=0",
)  # fmt: skip


def test_a_night_of_ppo_is_planned_trained_judged_and_replayed(started: Path) -> None:
    summary = run(started, *PHASE)
    assert summary["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE")
    assert not steps(summary)["align"]
    assert steps(run(started, *PHASE))["align"]


REJECT = (
    'phase.0.method="reject"', 'phase.0.reward=["not_refused", "length_penalty"]', "phase.0.group_size=8",
    "phase.0.max_new_tokens=160", "phase.0.min_gap=0.001", "phase.0.max_steps=3", "phase.0.batch_size=4",
)  # fmt: skip


@pytest.mark.parametrize("train_as", ["sft", "dpo"])
def test_a_night_of_rejection_sampling_is_planned_drawn_trained_judged_and_replayed(
    train_as: str, started: Path
) -> None:
    phase = (*REJECT, f'phase.0.train_as="{train_as}"', "phase.0.temperature=1.5")
    summary = run(started, *phase)
    assert summary["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE")
    assert not steps(summary)["align"]
    assert steps(run(started, *phase))["align"]
