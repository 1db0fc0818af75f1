"""A whole night of each method: planned, trained, judged by the same gate, billed, registered and replayed."""

from pathlib import Path

import pytest

from tasks.phases import METHODS
from tests.flows.test_nightly import run, started, steps

__all__ = ["started"]

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]

DRAWN = 'reward=["not_refused", "length_penalty"], group_size=4, max_new_tokens=12'
COMMON = "max_steps=8, batch_size=8, learning_rate=5e-3, probe_every=0"
MODEL = f'{{method="reward", {COMMON}}}'
REWARDED = 'reward=["model"], group_size=4, max_new_tokens=12'


def phases(method: str) -> str:
    """The override that makes the recipe's phases this method's, with a reward model where there has to be one."""
    if METHODS[method].makes == "reward":  # it makes no candidate: another phase learns from it
        return f'phase=[{MODEL}, {{method="rloo", {REWARDED}, {COMMON}}}]'
    if method == "reject":  # of verifiable rewards that need no truth, what a tiny model says earns the same
        return f'phase=[{MODEL}, {{method="reject", {REWARDED}, {COMMON}}}]'
    own = f"{DRAWN}, " if METHODS[method].draws else ""
    return f'phase=[{{method="{method}", {own}{COMMON}}}]'


@pytest.mark.parametrize("method", list(METHODS))
def test_a_night_is_planned_trained_judged_billed_registered_and_replayed(method: str, started: Path) -> None:
    summary = run(started, phases(method))
    assert summary["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE"), summary["reason"]
    assert summary["release"]["version"] if "release" in summary else summary["awaits"]
    trained = [name for name in steps(summary) if name.startswith("align")]
    assert len(trained) == (2 if method in ("reward", "reject") else 1)
    assert not any(steps(summary)[name] for name in trained)
    assert summary["bill"]["amount"] > 0
    again = steps(run(started, phases(method)))
    assert all(again[name] for name in (*trained, "score", "judge"))
