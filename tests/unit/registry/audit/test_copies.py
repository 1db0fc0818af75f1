"""The ledgers' lines kept elsewhere by the audit: what is cut off here is found there."""

from pathlib import Path

import pytest

from infra.registry_guard.journal import journal_path
from tasks import place
from tasks.registry import audit_steps
from tests.audited import World


@pytest.fixture
def steps(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The audit as the flow runs it, with copies in a folder."""
    copies = tmp_path / "copies"
    for name, value in {
        "NIGHTSHIFT_HOME": str(world.home),
        "NIGHTSHIFT_MLFLOW_TRACKING_URI": f"sqlite:///{world.home}/mlflow.db",
        "NIGHTSHIFT_LEDGER_EXPORT": str(copies),
    }.items():
        monkeypatch.setenv(name, value)
    assert place.home() == world.home
    return copies


def test_an_audit_keeps_the_ledgers_lines_elsewhere_and_finds_an_end_that_was_cut_off(
    world: World, steps: Path
) -> None:
    report = audit_steps.audit(audit_steps.ALL)
    assert report.critical == ()
    kept = sorted(path.relative_to(steps).as_posix() for path in steps.rglob("*.jsonl"))
    assert any(one.startswith("ledger/registry/") for one in kept), kept

    # who cuts the journal also takes away the head that is kept beside it
    path = journal_path(world.home)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-2]))
    (world.home / "guard" / "head.json").unlink(missing_ok=True)
    found = audit_steps.audit(audit_steps.ALL)
    assert any("kept elsewhere" in one.what or "export" in one.what for one in found.critical), found.critical
    # nothing is written over what was kept
    assert sorted(path.relative_to(steps).as_posix() for path in steps.rglob("*.jsonl")) == kept


def test_without_a_place_nothing_is_kept(world: World, steps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIGHTSHIFT_LEDGER_EXPORT")
    audit_steps.audit(audit_steps.ALL)
    assert not steps.exists()
