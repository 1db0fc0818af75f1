"""Kept bills: a file a night under its local month, whole or not at all."""

from pathlib import Path

import pytest

from tasks.cost.kept import keep, read_bills
from tasks.errors import BillError
from tests.unit.cost.bills import kept, line


def test_a_night_counts_in_the_local_month_in_which_it_began(tmp_path: Path) -> None:
    # at that moment it is November in UTC
    late = kept("late", line(), started="2026-10-31T23:30:00-05:00", ended="2026-11-01T03:00:00-05:00")
    assert keep(tmp_path, late) == tmp_path / "bills" / "2026-10" / "late.json"
    assert read_bills(tmp_path, "2026-10") == [late]
    assert read_bills(tmp_path, "2026-11") == []


def test_a_night_that_ends_again_replaces_its_bill(tmp_path: Path) -> None:
    keep(tmp_path, kept("one", line(amount=3.0), state="Failed", verdict=None, version=None))
    keep(tmp_path, kept("one", line(amount=5.0)))
    (found,) = read_bills(tmp_path)
    assert (found.bill.amount, found.state) == (5.0, "Completed")


def test_a_write_that_fails_leaves_the_bill_that_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = keep(tmp_path, kept("one", line(amount=3.0)))
    before = path.read_text()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("infra.files.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        keep(tmp_path, kept("one", line(amount=5.0)))
    assert path.read_text() == before
    assert list(path.parent.iterdir()) == [path]


def test_bills_come_in_the_order_of_the_nights(tmp_path: Path) -> None:
    keep(tmp_path, kept("b", line(), started="2026-11-03T02:00:00+01:00"))
    keep(tmp_path, kept("a", line(), started="2026-11-03T02:30:00+02:00"))
    assert [one.night for one in read_bills(tmp_path)] == ["a", "b"]  # half past midnight and one o'clock UTC


def test_a_bill_that_cannot_be_read_stops_the_month_and_is_named(tmp_path: Path) -> None:
    path = keep(tmp_path, kept("one", line()))
    path.write_text(path.read_text()[:-40])
    with pytest.raises(BillError, match=r"one\.json can't be read"):
        read_bills(tmp_path, "2026-11")


@pytest.mark.parametrize("month", ["2026-13", "2026", "../secrets", "*"])
def test_what_is_no_month_is_refused(tmp_path: Path, month: str) -> None:
    with pytest.raises(BillError, match="is no month"):
        read_bills(tmp_path, month)
