"""The worker's journal: whole entries or none, and nothing of somebody else's."""

from pathlib import Path

import pytest

from infra.errors import NightLocked
from infra.lock import folder_lock
from infra.slurm.journal import Entry, Journal
from tests.unit.infra.slurm.examples import launch

ENTRY = Entry(flow_run="a", launch=launch())


def test_an_entry_is_found_again_until_it_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new" / "folder")
    journal.write(ENTRY)
    journal.write(ENTRY.model_copy(update={"job": "7"}))
    assert [entry.job for entry in Journal(journal.folder)] == ["7"]
    assert journal.read("a") == ENTRY.model_copy(update={"job": "7"})
    journal.forget("a")
    assert list(journal) == []
    assert journal.read("a") is None


def test_a_half_written_entry_and_a_foreign_file_are_passed_over(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(ENTRY)
    (tmp_path / "b.part").write_text('{"flow_run": "b"')
    (tmp_path / "c.json").write_text("{}")
    assert [entry.flow_run for entry in journal] == ["a"]


def test_a_second_worker_is_refused(tmp_path: Path) -> None:
    with (
        folder_lock(tmp_path, "another worker"),
        pytest.raises(NightLocked, match="another worker"),
        folder_lock(tmp_path, "another worker"),
    ):
        pass
    with folder_lock(tmp_path, "another worker"):
        pass
