"""Runs in MLflow: one ends as what was done in it did."""

from contextlib import nullcontext
from pathlib import Path

import pytest

from infra.tracking import Tracker


class Ends:
    """A stand-in for MLflow's client that notes how runs ended."""

    def __init__(self) -> None:
        self.ended: list[tuple[str, str]] = []

    def set_terminated(self, run: str, status: str) -> None:
        self.ended.append((run, status))


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt, SystemExit])
def test_a_run_ends_as_what_was_done_in_it_did(error: type[BaseException] | None, tmp_path: Path) -> None:
    tracker, ends = Tracker("http://h:5000/", tmp_path), Ends()
    tracker.client = ends  # pyright: ignore
    with pytest.raises(error) if error else nullcontext(), tracker.ending("run-1"):
        if error:
            raise error
    assert ends.ended == [("run-1", "FAILED" if error else "FINISHED")]
